"""The page in a real browser, without a network."""

import shutil

import pytest
from playwright.sync_api import Page, sync_playwright

from harness.report import build
from tests.factories import record, save

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        running = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        yield running
        running.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    for seed in range(2):
        save(results, record("baseline", seed, 0.50 + 0.01 * seed))
        save(results, record("kd", seed, 0.54 + 0.012 * seed, cost_ratio=2.1))
        save(
            results,
            record("cirkd", seed, 0.53 + 0.01 * seed, cost_ratio=3.4, family="segmentation", title="<i>bank</i>"),
        )
        save(results, record("at", seed, ending="diverged", reason="loss is not finite", family="general"))
    return build(results, results / "reports").as_uri()


def opened(browser, address: str, width: int, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page offline, and what it complained about."""
    page = browser.new_context(viewport={"width": width, "height": 800}, offline=True, color_scheme=scheme).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    return page, complaints


def methods(page: Page) -> list[str]:
    return page.locator("table.ranking tbody.rows th b").all_inner_texts()


def test_a_header_sorts_its_column_and_the_line_stays(browser, address):
    """By cost, both ways; what is below the line stays below it; no complaint on the console."""
    page, complaints = opened(browser, address, 1280)
    header = page.locator("table.ranking").get_by_role("columnheader", name="cost ×")

    assert methods(page) == ["kd", "cirkd", "baseline", "at"]
    header.click()
    assert (methods(page), header.get_attribute("aria-sort")) == (["baseline", "kd", "cirkd", "at"], "ascending")
    header.click()
    assert (methods(page), header.get_attribute("aria-sort")) == (["cirkd", "kd", "baseline", "at"], "descending")
    assert complaints == []


def test_a_cell_says_what_was_measured(browser, address):
    """The mean of 54.0 and 55.2 with its n; a title's markup as text."""
    page, _ = opened(browser, address, 1280)
    row = page.locator("table.ranking tr", has=page.locator("th b", has_text="kd")).first

    assert row.locator("td").nth(1).inner_text().startswith("54.6")
    assert "n = 2" in row.locator("td").nth(1).inner_text()
    assert page.get_by_text("<i>bank</i>").count() == 1


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_the_window(browser, address, width, scheme):
    """Wide tables scroll inside their own frame, on a phone and on a desk."""
    page, complaints = opened(browser, address, width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert complaints == []


def test_dark_is_dark(browser, address):
    """Page and figure follow the reader's setting."""
    page, _ = opened(browser, address, 1280, "dark")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 26)"
    assert page.locator("figure svg text").first.evaluate("(text) => getComputedStyle(text).fill") != "rgb(27, 31, 36)"
