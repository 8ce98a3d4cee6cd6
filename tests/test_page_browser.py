"""The page of results, in a browser: drawn, sorted, filtered, used by keyboard, on a phone, on paper."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from page_records import MARKUP, many
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.record import Record
from odebench.spec import Spec
from odebench.store import Store

pytest.importorskip("plotly", reason="plotly is not installed here")
pytest.importorskip("selenium", reason="selenium is not installed here")
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="there is no Chromium with a chromedriver here")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1440,1000",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SUITE = """\
name: measured
problems: [{lotka_volterra: {span: [0, 1]}}]
solvers: [dopri5, alf]
gradients: [adjoint, reversible]
stepping: [{fixed: {steps: 8}}, {fixed: {steps: 16}}, {fixed: {steps: 32}}, {adaptive: {rtol: 1e-4, atol: 1e-4}}]
measure: {repeats: 1, warmup: 0}
"""
KINDS = {"work-precision", "gradient-precision", "memory", "time", "reverse", "reverse-error", "steps", "pareto"}
DRAW = """
const [wanted, done] = arguments;
(async () => {
  for (const section of document.querySelectorAll(wanted)) {
    section.scrollIntoView({behavior: "instant"});
    while (!section.dataset.drawn) await new Promise((next) => setTimeout(next, 20));
  }
  scrollTo({top: 0, behavior: "instant"});
  done(true);
})();
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite that was measured, and 200 cells that were not, among them one with markup in all its names."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "measured.yaml").write_text(SUITE)
    run(["run", str(folder / "measured.yaml"), "-o", str(folder / "measured"), "-q"], ends=(0, 3))
    records = many(1)
    with Store(folder / "wide") as store:
        store.append(*records[1:], hostile(records[0]))
    run(["report", str(folder / "measured"), str(folder / "wide"), "-o", str(folder / "page.html")])
    return folder / "page.html"


def run(words: list[str], ends: tuple[int, ...] = (0,)) -> None:
    result = CliRunner().invoke(app, words, prog_name="odebench")
    assert result.exit_code in ends, result.output


def hostile(record: Record) -> Record:
    """The first cell of `many`, which is in every figure but those of paths."""
    spec = Spec.of("dopri5", {"name": MARKUP, "link": "<a href='javascript:alert(2)'>x</a>"})
    return replace(record, cell=replace(record.cell, solver=spec), notes=("<script>alert(3)</script>",))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for word in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    """The page, just opened; at the end nothing may have been complained of, and nothing run."""
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script("return document.documentElement.dataset.ready"))
    yield browser
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert (
        browser.execute_script("return document.querySelectorAll('img, iframe, body a:not([href^=\"#\"])').length") == 0
    )


def told(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "told").text


def column(browser: webdriver.Chrome, name: str, what: str = "innerText") -> list[str]:
    """What stands in a column of the table, from top to bottom."""
    return browser.execute_script(
        "const at = document.querySelector(`#cells [data-column='${arguments[0]}']`).closest('th').cellIndex;"
        "const rows = [...document.querySelectorAll('#cells tbody tr.cell')];"
        f"return rows.map((row) => row.cells[at].{what})", name
    )  # fmt: skip


def raws(browser: webdriver.Chrome, name: str) -> list[float | None]:
    return [None if text is None else float(text) for text in column(browser, name, "dataset.raw")]


def filtered(browser: webdriver.Chrome, text: str) -> str:
    """Type a filter; what the page tells of it."""
    field = browser.find_element(By.ID, "filter")
    field.clear()
    field.send_keys(text, Keys.ENTER)
    return told(browser)


def header(browser: webdriver.Chrome, name: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, f"#cells [data-column='{name}']")


def drawn(browser: webdriver.Chrome, kind: str = "") -> WebElement:
    """Go to the section of a kind, or to all of them, until it is drawn; that section."""
    browser.execute_async_script(DRAW, f"#{kind}" if kind else "section.drawing")
    return browser.find_element(By.ID, kind or "figures")


def test_every_figure_is_drawn_by_plotly(opened: webdriver.Chrome) -> None:
    drawn(opened)
    found = opened.execute_script(
        "return [...document.querySelectorAll('section.drawing')].map((section) =>"
        " [section.id, section.querySelectorAll('.plot path.js-line, .plot path.point').length])"
    )
    assert {kind for kind, _ in found} == KINDS
    assert all(marks > 0 for _, marks in found), found
    faults = opened.execute_script(
        "const plots = [...document.querySelectorAll('.plot')];"
        "return plots.flatMap((plot) => Plotly.validate(plot.data, plot.layout) ?? [])"
        ".filter((fault) => fault.code !== 'unused').map((fault) => fault.msg)"
    )
    assert faults == []


def test_another_study_cost_and_panel_can_be_chosen(opened: webdriver.Chrome) -> None:
    section = drawn(opened, "gradient-precision")
    study, cost, _ = (Select(each) for each in section.find_elements(By.TAG_NAME, "select"))
    assert [each.text for each in study.options] == ["measured", "wide"]
    assert len(cost.options) == 4
    study.select_by_index(1)
    WebDriverWait(opened, 20).until(lambda _: "van_der_pol" in section.find_element(By.TAG_NAME, "h4").text)
    cost.select_by_visible_text("peak memory (bytes)")
    assert "peak memory (bytes)" in section.find_element(By.CSS_SELECTOR, ".ytitle").get_attribute("textContent")
    assert "against peak memory (bytes)" in section.find_element(By.CLASS_NAME, "caption").text


def test_a_law_stands_beside_its_line_in_words(opened: webdriver.Chrome) -> None:
    section = drawn(opened, "memory")
    assert "constant, exponent 0.00 ± 0.00" in section.find_element(By.CLASS_NAME, "legend").text


def test_a_column_sorts_and_what_it_lacks_comes_last(opened: webdriver.Chrome) -> None:
    Select(opened.find_element(By.ID, "size")).select_by_visible_text("all")
    for order, sign in (("ascending", 1), ("descending", -1)):
        header(opened, "gradient_error").click()
        assert header(opened, "gradient_error").find_element(By.XPATH, "..").get_attribute("aria-sort") == order
        values = raws(opened, "gradient_error")
        known = [value for value in values if value is not None]
        assert len(known) < len(values)
        assert values == sorted(known, key=lambda value: sign * value) + [None] * (len(values) - len(known))
    header(opened, "stepping").click()
    steppings = list(dict.fromkeys(column(opened, "stepping")))
    wide = [name for name in steppings if name.startswith("fixed")]
    assert wide == [f"fixed(steps={steps})" for steps in (8, 16, 30, 32, 100, 300)]


def test_the_filter_reads_words_names_and_figures(opened: webdriver.Chrome, page: Path) -> None:
    total = 216
    assert told(opened) == f"{total} of {total} cells"
    expected = {
        "solver=rk4": 20,
        "rk4": 40,  # the base of a coupled one is a name as well
        "solver=alf and not stepping=adaptive": 24 + 6,
        "solver=alf(eta=0.9)": 20,
        "coupled(base=rk4, coupling=0.999) steps=100": 4,
        "(bosh3 or tsit5) status=refused": 10,
        "steps<30 and results=wide": 0,
        'reason="the solution is not finite"': sum(each.status == "diverged" for each in many(1)),
        "nothing-like-this": 0,
    }
    for text, count in expected.items():
        assert filtered(opened, text) == f"{count} of {total} cells", text
    fault = opened.find_element(By.ID, "filter-fault")
    for text, why in (
        ("(rk4", "expected “)”"),
        ("colour=red", "there is no column colour"),
        ("work<few", "few is none"),
    ):
        filtered(opened, text)
        assert why in fault.text
    filtered(opened, "")
    assert fault.text == ""
    Select(opened.find_element(By.ID, "choice-gradient")).select_by_visible_text("aca")
    assert told(opened) == f"50 of {total} cells"


def test_columns_can_be_chosen(opened: webdriver.Chrome) -> None:
    opened.find_element(By.CSS_SELECTOR, "#columns summary").click()
    labels = {each.text: each for each in opened.find_elements(By.CSS_SELECTOR, "#columns label")}
    labels["command"].click()
    labels["solver"].click()
    assert opened.find_elements(By.CSS_SELECTOR, "#cells [data-column='solver']") == []
    assert column(opened, "command")[0].startswith("odebench run ")


def test_a_name_with_markup_in_it_is_shown_as_text(opened: webdriver.Chrome) -> None:
    assert filtered(opened, "onerror") == "1 of 216 cells"
    assert MARKUP in column(opened, "solver")[0]
    opened.find_element(By.CSS_SELECTOR, "#cells .opener").click()
    detail = opened.find_element(By.CSS_SELECTOR, "#cells .detail").text
    assert "<script>alert(3)</script>" in detail
    assert "<a href='javascript:alert(2)'>x</a>" in detail
    section = drawn(opened, "gradient-precision")
    Select(section.find_element(By.TAG_NAME, "select")).select_by_index(1)
    WebDriverWait(opened, 20).until(lambda _: MARKUP in section.find_element(By.CLASS_NAME, "legend").text)
    hovered = hover(opened, section, MARKUP)
    assert MARKUP in hovered
    assert "<a href='javascript:alert(2)'>x</a>" in hovered


def hover(browser: webdriver.Chrome, section: WebElement, name: str) -> str:
    """Leave but one line, hover its first point, and what is told there."""
    buttons = section.find_elements(By.CSS_SELECTOR, ".legend button")
    next(each for each in buttons if each.text == "none").click()
    next(each for each in section.find_elements(By.CSS_SELECTOR, ".legend button") if name in each.text).click()
    point = section.find_element(By.CSS_SELECTOR, ".plot .point")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", point)
    ActionChains(browser).move_to_element(point).perform()
    label = WebDriverWait(browser, 20).until(lambda _: section.find_elements(By.CSS_SELECTOR, ".hovertext"))[0]
    return str(label.get_attribute("textContent"))


def test_hovering_a_point_tells_the_cell_and_pressing_it_opens_its_row(opened: webdriver.Chrome) -> None:
    section = drawn(opened, "time")
    hovered = hover(opened, section, "dopri5, adjoint, fixed")
    for word in (
        "solver: dopri5",
        "gradient: adjoint",
        "stepping: fixed(steps=",
        "cpu, float64, 1, 0, ok",
        "nfe fwd: ",
    ):
        assert word in hovered
    ActionChains(opened).click().perform()
    row = WebDriverWait(opened, 20).until(lambda _: opened.find_elements(By.CSS_SELECTOR, "#cells .detail"))[0]
    assert "odebench run " in row.text
    assert opened.switch_to.active_element.get_attribute("aria-expanded") == "true"


def test_all_of_it_works_by_keyboard(opened: webdriver.Chrome) -> None:
    ActionChains(opened).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert opened.switch_to.active_element.get_attribute("id") == "main"
    header(
        opened, "work" if opened.find_elements(By.CSS_SELECTOR, "[data-column='work']") else "nfe_forward"
    ).send_keys(Keys.ENTER)
    assert opened.switch_to.active_element.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    opener = opened.find_element(By.CSS_SELECTOR, "#cells .opener")
    for state in ("true", "false"):
        opener.send_keys(Keys.SPACE)
        assert opener.get_attribute("aria-expanded") == state
    drawn(opened, "memory")
    line = opened.find_elements(By.CSS_SELECTOR, "#memory .legend button:not(.tool)")[0]
    lines = "return document.querySelectorAll('#memory .plot .js-line').length"
    before = opened.execute_script(lines)
    line.send_keys(Keys.SPACE)
    assert line.get_attribute("aria-pressed") == "false"
    assert opened.execute_script(lines) == before - 1
    figure = opened.find_element(By.CSS_SELECTOR, "#memory details")
    figure.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert "linear in steps" in figure.text or "constant" in figure.text


def test_every_control_has_a_name_and_every_figure_a_text(opened: webdriver.Chrome) -> None:
    drawn(opened, "pareto")
    opened.find_element(By.CSS_SELECTOR, "#columns summary").click()
    tree = opened.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    kinds = {"button", "combobox", "searchbox", "checkbox", "link", "region", "table", "navigation", "search"}
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    assert kinds <= {role for role, _ in named}
    assert [role for role, name in named if role in kinds and not name.strip()] == []
    levels = opened.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4')].map((each) => +each.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = opened.execute_script("return [...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_is_light_or_dark_as_the_system_or_the_reader_has_it(
    opened: webdriver.Chrome, scheme: str, dark: bool
) -> None:
    def is_dark() -> bool:
        colour = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour[4:-1].split(","))) < 380

    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert is_dark() is dark
    theme = Select(opened.find_element(By.ID, "theme"))
    theme.select_by_value("light" if dark else "dark")
    assert is_dark() is not dark
    theme.select_by_value("")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_fits_a_phone(opened: webdriver.Chrome) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        drawn(opened)
        assert opened.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_all_rows_and_figures_are_printed_in_light_colours(opened: webdriver.Chrome) -> None:
    Select(opened.find_element(By.ID, "theme")).select_by_value("dark")
    drawn(opened)
    opened.execute_script(
        "addEventListener('beforeprint', () => { window.printed = {"
        "  rows: document.querySelectorAll('#cells tbody tr.cell').length,"
        "  ink: document.querySelector('.plot .xtitle').style.fill,"
        "  widths: [...document.querySelectorAll('.plot')].map((plot) => plot._fullLayout.width) } })"
    )
    pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")
    printed: dict[str, Any] = opened.execute_script("return window.printed")
    assert printed["rows"] == 216
    assert sum(json.loads(f"[{printed['ink'][4:-1]}]")) < 200
    assert set(printed["widths"]) == {680}
    assert len(column(opened, "solver")) == 100
    Select(opened.find_element(By.ID, "theme")).select_by_value("")
