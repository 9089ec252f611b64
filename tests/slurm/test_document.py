"""docs/cluster.md, read as a person reads it: every command in it is typed, in its order."""

import shlex
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.story import bench, tiny

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("sweeps on slurm")]  # a cluster for both

DOCUMENT = Path(__file__).parents[2] / "docs" / "cluster.md"

SMALLER = {"streets": "tiny.yaml", "20s": "2s", "baseline,kd": "baseline"}
"""What the tests put in the place of the document's words: fewer scenes, one method, and a tenth of the budget."""

TOLD = {
    "bench run --workload streets --methods baseline,kd --budget 20s --seeds 1": "1 done",
    "bench plan": "4 devices, idle for",
    "bench run": "1 of 2 runs have ended already",
    "bench teacher": "SHA-256",
    "bench status": "results: 0 under way; 2 ended: 2 done",
    "bench results merge": "2 records and",
    "bench report": "page: ",
}
"""By its beginning, what each command says."""


def commands() -> list[str]:
    """The document's commands of this program."""
    lines = (line.strip() for line in DOCUMENT.read_text().splitlines() if line.startswith("    "))
    return [line for line in lines if line.startswith("bench ")]


def test_the_document_walks_from_a_laptop_to_a_cluster_and_home(cluster: Cluster, tmp_path: Path):
    """Each command ends with 0 and says what a reader waits for; runs done at home are not done again."""
    tiny(tmp_path)
    assert bench(tmp_path / "cache", "teacher", "--workload", "tiny.yaml", cwd=tmp_path).returncode == 0
    for command in commands():
        words = [SMALLER.get(word, word) for word in shlex.split(command)[1:]]
        quick = ["--profile-time", "0.1s"] if words[0] in {"run", "plan"} else []
        ended = bench(tmp_path / "cache", *words, *quick, cwd=tmp_path)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, f"{command}: {said}"
        expected = next(told for beginning, told in TOLD.items() if command.startswith(beginning))
        assert expected in said, f"{command}: {said}"
    assert len(commands()) == len(TOLD)
