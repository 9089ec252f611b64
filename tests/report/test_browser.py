"""The page in a real browser, without a network."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from harness.ledger.record import Record
from harness.report.page import build, runs_data
from harness.score.runs import run_of
from tests.factories import device_class, ground, record, save, workload

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]

NAME = '"><img src=x onerror="document.title=1">'
ATTACK = f"{NAME}<script>document.title=2</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        running = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        yield running
        running.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Without what an earlier test opened."""
    yield chromium
    for context in chromium.contexts:
        context.close()


def runs() -> Iterator[Record]:
    """Two budgets, two seeds; `at` diverges, and a file beside them is no record."""
    for budget, seed in ((budget, seed) for budget in ("90s", "180s") for seed in range(2)):
        more = 0.1 * (budget == "180s") + 0.01 * seed
        yield record("baseline", seed, 0.50 + more, budget=budget)
        yield record("kd", seed, 0.54 + 1.2 * more, budget=budget, cost_ratio=2.1, iterations=430)
        yield record(
            "cirkd", seed, 0.53 + more, budget=budget, cost_ratio=3.4, iterations=270, family="segmentation",
            title="<i>bank</i>",
        )  # fmt: skip
        failed = record("at", seed, budget=budget, ending="diverged", reason="loss is not finite", family="general")
        yield failed.model_copy(update={"log_tail": "step 12\n<b>FloatingPointError</b>"})


def built(folder: Path, *records: Record) -> str:
    """The page on the records, as an address."""
    save(folder, *records)
    build(folder, folder / "reports")
    return (folder / "reports" / "index.html").as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("results")
    (results / "runs").mkdir()
    (results / "runs" / "x.1.json").write_text("{")
    return built(results, *runs())


@dataclass
class Opened:
    """A page, what it complained about and what it asked for."""

    page: Page
    complaints: list[str]
    requests: list[str]


def opened(browser: Browser, address: str, width: int = 1280, scheme: str = "light", scripts: bool = True) -> Opened:
    """The page offline."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, offline=True, color_scheme=scheme, java_script_enabled=scripts
    )
    found = Opened(context.new_page(), [], [])
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.goto(address)
    return found


def methods(page: Page, board: int = 0) -> list[str]:
    """In the order of a board, of the rows that are to be seen."""
    return page.locator("table.ranking").nth(board).locator("tbody.rows tr:visible th b").all_inner_texts()


def header(page: Page, name: str, table: str = "table.ranking") -> Locator:
    return page.locator(table).first.get_by_role("columnheader", name=name)


def legend(page: Page, method: str) -> Locator:
    return page.locator(".legend").first.locator(f'li[data-method="{method}"]')


def drawn(page: Page, method: str, figure: int = 0) -> Locator:
    """The method's parts of a figure that are to be seen."""
    return page.locator("svg.figure").nth(figure).locator(f'[data-part][data-method="{method}"]:not(.off)')


def places(page: Page, method: str) -> list[int]:
    """How far from the left its parts of the first figure stand, in pixels."""
    return [round(part.bounding_box()["x"]) for part in drawn(page, method).all()]


def test_a_header_sorts_its_column_on_every_board_and_the_line_stays(browser, address):
    """By cost both ways, then as it was; what is below the line stays below; nothing is asked of any network."""
    found = opened(browser, address)
    page, cost = found.page, header(found.page, "cost ×")

    assert methods(page) == ["kd", "cirkd", "baseline", "at"]
    cost.click()
    assert (methods(page), cost.get_attribute("aria-sort")) == (["baseline", "kd", "cirkd", "at"], "ascending")
    assert methods(page, board=1) == ["baseline", "kd", "cirkd", "at"]
    cost.click()
    assert (methods(page), cost.get_attribute("aria-sort")) == (["cirkd", "kd", "baseline", "at"], "descending")
    cost.click()
    assert (methods(page), cost.get_attribute("aria-sort")) == (["kd", "cirkd", "baseline", "at"], None)
    assert (found.complaints, found.requests) == ([], [address])


def test_a_header_is_reached_and_pressed_by_keys(browser, address):
    """Tab goes there, Enter sorts."""
    page = opened(browser, address).page
    header(page, "method").get_by_role("button").focus()
    for _ in range(5):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.closest('th').dataset.column") == "cost"
    assert methods(page) == ["baseline", "kd", "cirkd", "at"]


def test_a_cell_says_what_was_measured(browser, address):
    """The mean of 54.0 and 55.2 with its n; a title's markup as text."""
    page = opened(browser, address).page
    row = page.locator("table.ranking tr", has=page.locator("th b", has_text="kd")).first

    assert row.locator("td").nth(1).inner_text().startswith("54.6")
    assert "n = 2" in row.locator("td").nth(1).inner_text()
    assert "<i>bank</i>" in page.locator("table.ranking").first.inner_text()


def test_a_search_narrows_boards_runs_and_figures(browser, address):
    """Names and titles, all words of it."""
    page = opened(browser, address).page
    page.get_by_role("searchbox").fill("bank CIR")

    assert (methods(page), methods(page, board=1)) == (["cirkd"], ["cirkd"])
    assert set(page.locator(".runs tbody th").all_inner_texts()) == {"cirkd"}
    assert (drawn(page, "kd").count(), drawn(page, "cirkd").count() > 0) == (0, True)
    assert page.locator(".bar output").inner_text() == "2 of 8 rows, 4 of 16 runs"
    page.get_by_role("searchbox").fill("nothing like it")
    assert page.get_by_text("Nothing on the boards matches").is_visible()


@pytest.mark.parametrize(
    ("facet", "value", "rows", "shown_runs"),
    [("family", "general", 2, 4), ("ending", "diverged", 2, 4), ("budget", "180s", 4, 8)],
)
def test_a_filter_holds_for_boards_and_runs(browser, address, facet, value, rows, shown_runs):
    """What does not match is gone, the count says how much is left, and reset brings all of it back."""
    page = opened(browser, address).page
    page.locator(f"select[name={facet}]").select_option(value)

    assert page.locator("table.ranking tbody.rows tr:visible").count() == rows
    assert page.locator(".runs tbody th").count() == shown_runs
    page.get_by_role("button", name="Reset").click()
    assert page.locator("table.ranking tbody.rows tr:visible").count() == 8


def test_a_legend_hides_a_method_and_singles_one_out(browser, address):
    """Everywhere: boards, runs, figures; another click shows it again."""
    page = opened(browser, address).page
    name, only = legend(page, "kd").locator(".name"), legend(page, "kd").locator(".only")

    name.click()
    assert (methods(page), drawn(page, "kd").count()) == (["cirkd", "baseline", "at"], 0)
    assert name.get_attribute("aria-pressed") == "false"
    name.click()
    only.click()
    assert (methods(page), drawn(page, "cirkd").count()) == (["kd"], 0)
    assert set(page.locator(".runs tbody th").all_inner_texts()) == {"kd"}
    page.locator(".legend").first.get_by_role("button", name="show all").click()
    assert methods(page) == ["kd", "cirkd", "baseline", "at"]


def test_a_part_of_a_figure_says_its_values_and_dims_the_others(browser, address):
    """Under the pointer, and by arrow keys; gone when the pointer is."""
    page = opened(browser, address).page
    figure, tip = page.locator("svg.figure").first, page.locator(".tip")
    box = drawn(page, "kd").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    assert tip.inner_text().startswith("kd")
    assert figure.locator('[data-method="cirkd"]').first.evaluate("(part) => getComputedStyle(part).opacity < 1")
    page.mouse.move(2, 2)
    assert tip.is_hidden()
    figure.focus()
    page.keyboard.press("ArrowRight")
    first = tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert tip.is_visible()
    assert tip.inner_text() != first


def test_a_cell_of_the_heat_map_says_its_value(browser, address):
    """Method, class and IoU of the cell, by keys."""
    page = opened(browser, address).page
    page.locator("svg.figure", has=page.locator("rect.cell")).first.focus()
    page.keyboard.press("ArrowRight")

    assert re.fullmatch(r"kd, road: \d\d\.\d %", page.locator(".tip").inner_text())


def test_the_axis_of_the_frontier_changes(browser, address):
    """Iterations instead of hours: spots move, the label and the title say so, and hours bring it back."""
    page = opened(browser, address).page
    figure = page.locator("figure").first
    before, label = places(page, "cirkd"), figure.locator("svg").text_content()
    figure.get_by_role("button", name="iterations").click()

    assert places(page, "cirkd") != before
    assert "axis=iterations" in page.url
    assert "iterations" in figure.locator("h4").inner_text()
    assert figure.locator("svg").text_content() != label
    figure.get_by_role("button", name="device-hours").click()
    assert places(page, "cirkd") == before


def test_the_address_holds_what_was_chosen(browser, address):
    """Reloaded it says the same; a link to a place keeps it; one step back undoes the last choice."""
    page = opened(browser, address).page
    page.get_by_role("searchbox").fill("kd")
    page.locator("select[name=budget]").select_option("180s")
    header(page, "method", "table.ranking >> nth=1").click()
    page.locator(".menu summary").click()
    page.locator('.menu input[value="boards.share"]').click()
    legend(page, "cirkd").locator(".name").click()
    seen = ["kd"]

    assert methods(page, board=1) == seen
    page.reload()
    assert methods(page, board=1) == seen
    assert page.get_by_role("searchbox").input_value() == "kd"
    assert page.locator("table.ranking").nth(1).get_by_role("columnheader", name="% of teacher").count() == 0
    page.get_by_role("link", name="How to read this page").click()
    assert methods(page, board=1) == seen
    page.go_back()
    page.go_back()
    page.wait_for_function("!location.hash.includes('hide')")
    assert methods(page, board=1) == ["cirkd", "kd"]


def test_a_method_opens_with_its_failures(browser, address):
    """Its name on a board leads to its section; the log's tail is text."""
    page = opened(browser, address).page
    page.locator("table.ranking").first.get_by_role("link", name="at", exact=True).click()
    section = page.locator("details.method", has=page.locator("summary b", has_text=re.compile("^at$"))).first

    assert section.get_attribute("open") is not None
    section.get_by_text("end of its log").first.click()
    assert "<b>FloatingPointError</b>" in section.inner_text()


def test_what_is_no_record_is_named(browser, address):
    """By its file, with what is wrong."""
    assert "x.1.json" in opened(browser, address).page.locator("#unreadable").inner_text()


@pytest.mark.parametrize("width", [360, 800, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_the_window(browser, address, width, scheme):
    """Wide tables scroll inside their own frame, on a phone and on a wide screen, with everything unfolded."""
    found = opened(browser, address, width, scheme)
    found.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    if width == 360:
        found.page.get_by_role("button", name="Filters").click()

    assert found.page.evaluate("document.documentElement.scrollWidth") == width
    assert found.page.locator("select[name=family]").is_visible()
    assert found.complaints == []


def test_dark_is_dark(browser, address):
    """Page and figure follow the reader's setting."""
    page = opened(browser, address, scheme="dark").page

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 26)"
    assert page.locator("figure svg text").first.evaluate("(text) => getComputedStyle(text).fill") != "rgb(27, 31, 36)"


def test_without_scripts_everything_can_be_read(browser, address):
    """Boards, figures that name their parts, methods, and where the single runs are; no control that does nothing."""
    found = opened(browser, address, scripts=False)
    page = found.page

    assert methods(page) == ["kd", "cirkd", "baseline", "at"]
    assert "kd" in " ".join(page.locator("svg.figure [data-method=kd] > title").all_text_contents())
    assert page.locator(".bar").is_hidden()
    assert "runs.csv" in page.locator("#runs").inner_text()
    assert "54.00 55.20" in page.locator("details.method", has_text="kd").first.text_content()
    assert (found.complaints, found.requests) == ([], [address])


def test_ten_thousand_runs_sort(browser, address, tmp_path, capsys):
    """Only the rows in view are in the page; the best is on top; the time is printed."""
    page_file = Path(address.removeprefix("file://"))
    one = run_of(record("kd"))
    many = [replace(one, seed=at, key=f"{at:016x}", miou=(at * 7919 % 10_007) / 25_000) for at in range(10_000)]
    text = re.sub(
        r'(id="runs-data">).*?(</script>)',
        lambda part: part[1] + str(runs_data.to_json(many)) + part[2],
        page_file.read_text(),
    )
    (tmp_path / "many.html").write_text(text)
    page = opened(browser, (tmp_path / "many.html").as_uri()).page
    header(page, "mIoU %", ".runs table").click()

    shown = [float(cell) for cell in page.locator(".runs tbody td:nth-child(4)").all_inner_texts()]
    assert 20 < len(shown) < 100
    assert shown[0] == round(100 * max(run.miou for run in many), 2)
    assert shown == sorted(shown, reverse=True)
    page.locator(".runs").evaluate("(frame) => { frame.scrollTop = frame.scrollHeight; }")
    page.wait_for_function("document.querySelector('.runs tbody').innerText.includes('0.01')")
    took = page.evaluate("""() => {
      const button = document.querySelector('.runs th[data-column="miou"] button'), before = performance.now();
      button.click();
      document.querySelector('.runs').getBoundingClientRect();
      return [performance.now() - before, performance.getEntriesByName("sort")[0].duration];
    }""")
    with capsys.disabled():
        print(f" 10 000 runs: {took[1]:.0f} ms to sort, {took[0]:.0f} ms with the whole page", end="")


def test_the_front_is_of_the_methods_that_are_shown(browser, address):
    """Without the best ones the next are on it; shown again they are back."""
    page = opened(browser, address).page
    front = page.locator("svg.figure").first.locator("[data-part]:not([data-method]) > path").evaluate_all
    before = front("(paths) => paths.map((path) => path.getAttribute('d'))")
    legend(page, "kd").locator(".name").click()
    without = front("(paths) => paths.map((path) => path.getAttribute('d'))")

    assert len([1 for one, other in zip(before, without, strict=True) if one != other]) == 1
    legend(page, "kd").locator(".name").click()
    again = front("(paths) => paths.map((path) => path.getAttribute('d'))")
    assert len([1 for one, other in zip(again, without, strict=True) if one != other]) == 1


def test_a_link_shows_what_a_filter_hides(browser, address):
    """The section of a method that the search left out opens, below the bar."""
    page = opened(browser, address).page
    page.get_by_role("searchbox").fill("cirkd")
    section = page.locator("details.method[data-method=kd]").first
    assert section.is_hidden()
    page.evaluate("location.hash = document.querySelector('details.method[data-method=kd] > div').id")
    section.locator("dl").first.wait_for(state="visible")

    top = section.locator(":scope > div").evaluate("(part) => part.getBoundingClientRect().top")
    assert top > page.locator(".bar").bounding_box()["height"]


def test_filters_that_do_not_reach_the_figures_say_so(browser, address):
    """Beside the counts."""
    page = opened(browser, address).page
    assert "figures" not in page.locator(".bar output").inner_text()
    page.locator("select[name=budget]").select_option("180s")

    assert page.locator(".bar output").inner_text().endswith("; figures show all budgets and endings")


def test_numbers_with_exponents_sort_as_numbers(browser, address):
    """5.00e-05 is less than 0.0250."""
    page = opened(browser, address).page
    found = page.evaluate(
        r"['5.00e-05', '0.0250', '\u22120.5 to 1.2', '40\u202f000', '\u2264 3', '\u2013', 'never'].map(amount)"
    )

    assert found[:5] == [5e-5, 0.025, -0.5, 40000, 3]
    assert all(value != value for value in found[5:])  # NaN


def test_what_strangers_wrote_is_text(browser, tmp_path):
    """Markup in a name, a title, a reason, a host, a log, a workload, a class or the address never runs."""
    held = ground(
        NAME,
        of=workload(title=ATTACK, caveat=ATTACK, classes=(ATTACK, "a", "b", "c")),
        device=device_class(model=ATTACK),
    )
    records = [
        record(name, seed, 0.5 + 0.01 * seed, title=ATTACK, host=ATTACK, on=held)
        for name in ("baseline", NAME)
        for seed in range(2)
    ]
    failed = record("kd", ending="failed", reason=ATTACK, on=held).model_copy(update={"log_tail": ATTACK})
    address = built(tmp_path, *records, failed)
    found = opened(browser, f"{address}#{ATTACK}?q={ATTACK}&only={NAME}&sort={ATTACK}&axis={ATTACK}")
    page = found.page
    page.goto(f"{address}#?")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.locator("svg.figure").first.focus()
    page.keyboard.press("ArrowRight")
    header(page, "reason", ".runs table").click()
    page.locator(".legend .only").last.click()

    assert page.title() == "Distillation at equal compute: leaderboard"
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 3
    assert page.locator("body").inner_text().count(ATTACK) >= 6
    assert [each for each in found.complaints if "favicon" not in each] == []
