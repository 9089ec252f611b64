.POSIX:

PYTHON = .venv/bin/python
BENCH = .venv/bin/bench
DEMO = baseline,kd,featmse,featl2norm,fitnet,at,cwd,dist
# A thread each: two workers with two threads each get in each other's way on two cores.
PYTEST = OMP_NUM_THREADS=1 $(PYTHON) -m pytest --dist loadgroup -n

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv and install the project with all that its tests need
	@python3 bootstrap.py

# Exit code 3 says that some run failed, which the page shows as a row: so the page is made, and the code passed on.
# Eight of the methods: all of them take a quarter of an hour.
demo: setup ## run eight methods on drawn street scenes, 10 s each, and make the page
	@$(BENCH) run --workload streets --methods $(DEMO) --budget 10s --seeds 1 --yes --results demo/results || code=$$?; \
	[ "$${code:-0}" -eq 0 ] || [ "$$code" -eq 3 ] || exit "$$code"; \
	$(BENCH) report --results demo/results --out demo/reports && exit "$${code:-0}"

lint: setup ## ruff, its formatter and mypy
	@$(PYTHON) -m ruff check --quiet
	@$(PYTHON) -m ruff format --check --quiet
	@$(PYTHON) -m mypy --no-error-summary

test: lint ## lint, then all tests that need neither a browser nor a cluster nor patience
	@$(PYTEST) 2 -m "not browser and not slow and not slurm and not thorough"

# pytest ends with 5 where no test bears the marks. Four workers: many of these wait for a cluster or a page.
test-all: test chromium slurm ## the same, then the tests that are slow, open the page in Chromium or use a Slurm
	@$(PYTEST) 4 -m "browser or slow or slurm" || [ $$? -eq 5 ]

test-thorough: setup ## more of the same: variants of methods against the contract, longer fuzzing
	@$(PYTEST) 2 -m thorough

chromium:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || \
	{ [ "$$(id -u)" -eq 0 ] && command -v apt-get > /dev/null && echo "installing chromium …" && \
	apt-get -qq -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive \
	apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends chromium > /dev/null; } || \
	echo "no chromium here, and none can be installed: the tests that need it are skipped"

# Debian starts no daemon of them by itself where there is no systemd; the tests start their own, on free ports.
slurm:
	@PATH="$$PATH:/usr/sbin:/sbin"; command -v slurmctld > /dev/null && command -v munged > /dev/null || \
	{ [ "$$(id -u)" -eq 0 ] && command -v apt-get > /dev/null && echo "installing slurm-wlm and munge …" && \
	apt-get -qq -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive \
	apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends slurm-wlm munge > /dev/null; } || \
	echo "no Slurm here, and none can be installed: the tests that need it are skipped"

speed: setup ## print what the measurements themselves cost (tests/speed)
	@for file in tests/speed/*.py; do \
	[ ! -e "$$file" ] || PYTHONPATH=. $(PYTHON) "$$file" || exit; \
	done

clean: ## remove caches and the demo's output; .venv and results stay
	@rm -rf demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find harness methods tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo lint test test-all test-thorough chromium slurm speed clean
