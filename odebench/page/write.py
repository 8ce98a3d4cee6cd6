"""The page as one file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from odebench.errors import UsageError
from odebench.page import figure_sections, sections
from odebench.page.cells import cells_data
from odebench.page.drawings import drawings_of, looks_data
from odebench.page.markup import Html, element, joined
from odebench.page.pack import block, data_block, policy
from odebench.page.sources import Source, studies_of
from odebench.report.text import plain
from odebench.writing import deliver

# One script, in the order in which its parts need one another.
SCRIPTS = (
    "unpack.js",
    "theme.js",
    "filter.js",
    "table.js",
    "detail.js",
    "marks.js",
    "traces.js",
    "figures.js",
    "start.js",
)


def write(path: Path, sources: Sequence[Source]) -> int:
    """Write the page of `sources`, which have records, to `path`; an older file is replaced, all at once. Its bytes.

    Raises:
        UsageError: plotly is missing, or the file cannot be written.
    """
    page = render(sources).encode()
    deliver(path, page)
    return len(page)


def render(sources: Sequence[Source]) -> str:
    """The page. The same records, read from the same folders, give the same text.

    Raises:
        UsageError: plotly is missing.
    """
    plotly, script = _plotly(), "\n".join(map(_asset, SCRIPTS))
    records = [record for source in sources for record in source.records]
    studies = studies_of(sources)
    drawings = drawings_of(studies)
    headings = figure_sections.headings(drawings)
    figures = [
        data_block(figure_sections.block_id(each), each.to_data()) for row in drawings for each in row if each.drawn
    ]
    suites = dict.fromkeys(plain(record.cell.suite) for record in records)
    return Template(_asset("page.html")).substitute(
        policy=element("meta", http_equiv="Content-Security-Policy", content=policy([script, plotly])),
        title=element("title", f"odebench: {', '.join(suites)}"),
        heading=element("h1", "odebench: ", ", ".join(suites)),
        counts=element("p", f"{sections.counts(records)}.", id="counts"),
        style=Html(_asset("page.css")),
        contents=element("ul", [element("li", element("a", text, href=f"#{name}")) for name, text in headings]),
        runs=sections.runs(sources),
        warnings=_warnings(sources),
        figures=figure_sections.figure_sections(drawings),
        failures=sections.failures(records),
        meanings=sections.meanings(records),
        cells=data_block("data-cells", cells_data(sources)),
        blocks=joined(data_block("data-looks", looks_data(studies)), figures, block("plotly", plotly)),
        script=Html(script),
    )


def _warnings(sources: Sequence[Source]) -> Html:
    told = sections.warnings(sources)
    if told is None:
        return Html()
    heading = element("h2", "What to mind", id="warnings-title")
    return element("section", heading, told, id="warnings", aria_labelledby="warnings-title")


def _asset(name: str) -> str:
    return (files("odebench.page") / "assets" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """The library as it came with the Python package.

    Raises:
        UsageError: it is not there.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UsageError(
            f"the figures of a page are drawn with plotly, which cannot be imported ({plain(error)}); "
            "pip install 'odebench[report]'"
        ) from error
    return str(get_plotlyjs())
