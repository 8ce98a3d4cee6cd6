"""The parts of the page that hold figures, as they stand before a script draws them: headings, choices, captions."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.page.drawings import Drawing, caption_of
from odebench.page.markup import Html, element, joined
from odebench.report.text import plain


def figure_sections(drawings: Sequence[Sequence[Drawing]]) -> Html:
    """One section for each kind of which there is something to see; then what there is not, and why."""
    drawn = [[each for each in of_kind if each.drawn] for of_kind in drawings]
    empty = [of_kind for of_kind in drawings if of_kind and not any(each.drawn for each in of_kind)]
    return joined([_section(of_kind) for of_kind in drawn if of_kind], _empty(empty) if empty else None)


def block_id(drawing: Drawing) -> str:
    """Of the block that holds the figures."""
    return f"data-{drawing.kind.name}-{drawing.study.first}"


def headings(drawings: Sequence[Sequence[Drawing]]) -> list[tuple[str, str]]:
    """(id, title) of every section with a figure."""
    return [(each[0].kind.name, _title(each[0])) for each in drawings if any(drawing.drawn for drawing in each)]


def _title(drawing: Drawing) -> str:
    return drawing.figures[0].title


def _section(drawings: Sequence[Drawing]) -> Html:
    first = drawings[0]
    name = first.kind.name
    figure = next(each for each in first.figures if each.panels)
    studies = [element("option", each.study.label, value=block_id(each)) for each in drawings]
    return element(
        "section",
        element("h3", _title(first), id=f"{name}-title"),
        element(
            "div",
            _choice(f"{name}-study", "study", "Of", studies, hidden=len(studies) == 1),
            _choice(f"{name}-cost", "cost", "Against", [], hidden=True),
            _choice(f"{name}-panel", "panel", "Show", [], hidden=True),
            class_="choices",
        ),
        element(
            "figure",
            element("div", class_="panels"),
            element("div", class_="legend", role="group", aria_label=f"Lines of {_title(first)}: shown or hidden"),
            element(
                "figcaption",
                element("p", caption_of(figure), class_="caption"),
                element("ul", [element("li", plain(note)) for note in figure.notes], class_="notes"),
                element("details", element("summary", "Its lines as a table"), element("div", class_="summary")),
            ),
        ),
        id=name,
        class_="drawing",
        aria_labelledby=f"{name}-title",
    )


def _choice(name: str, role: str, label: str, options: Sequence[Html], hidden: bool) -> Html:
    return element(
        "span",
        element("label", label, for_=name),
        element("select", options, id=name, data_choice=role),
        class_="choice",
        hidden=hidden,
    )


def _empty(drawings: Sequence[Sequence[Drawing]]) -> Html:
    told = []
    for of_kind in drawings:
        notes = dict.fromkeys(note for each in of_kind for figure in each.figures for note in figure.notes)
        title, why = _title(of_kind[0]), plain(" ".join(notes) or "no cell has what it shows")
        told.append(element("li", why if why.startswith(title) else f"{title}: {why}"))
    return element(
        "section",
        element("h3", "Not drawn", id="not-drawn-title"),
        element("ul", told, class_="notes"),
        id="not-drawn",
        aria_labelledby="not-drawn-title",
    )
