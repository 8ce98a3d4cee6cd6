"""Figures as data for the script of the page, which has plotly draw them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor, isfinite, log10
from typing import Any

from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.growth import laws, spelled
from odebench.figures.kinds import KINDS, Kind
from odebench.figures.looks import looks_of
from odebench.page.sources import Study
from odebench.report.text import plain

_DIGITS = 4  # of a coordinate; the table has them all


@dataclass(frozen=True)
class Drawing:
    """One kind of figure of one study: a figure for each cost that it may be set against."""

    kind: Kind
    study: Study
    figures: tuple[Figure, ...]

    @property
    def drawn(self) -> bool:
        """There is something to see."""
        return any(figure.panels for figure in self.figures)

    def to_data(self) -> dict[str, Any]:
        """JSON-ready. The cells of points are rows of the table."""
        rows = {record.cell.key: self.study.first + index for index, record in enumerate(self.study.records)}
        return {"figures": [_figure(figure, rows) for figure in self.figures if figure.panels]}


def drawings_of(studies: Sequence[Study]) -> list[list[Drawing]]:
    """For each kind of figure, in the order of the kinds: its drawings, one for each study."""
    return [[_drawing(kind, study) for study in studies] for kind in KINDS.values()]


def looks_data(studies: Iterable[Study]) -> dict[str, Any]:
    """Key of a series -> how it looks, for all figures of the page."""
    looks = looks_of([record for study in studies for record in study.records])
    return {key: asdict(look) for key, look in looks.items()}


def caption_of(figure: Figure) -> str:
    """Without the laws: the page has each beside its line."""
    return plain(figure.caption.replace(laws(figure.panels), ""))


def _drawing(kind: Kind, study: Study) -> Drawing:
    costs: tuple[str | None, ...] = kind.costs or (None,)
    return Drawing(kind, study, tuple(kind.figure(study.records, cost) for cost in costs))


def _figure(figure: Figure, rows: Mapping[str, int]) -> dict[str, Any]:
    return {
        "against": plain(figure.panels[0].y.title),
        "caption": caption_of(figure),
        "notes": list(map(plain, figure.notes)),
        "panels": [_panel(panel, rows) for panel in figure.panels],
    }


def _panel(panel: Panel, rows: Mapping[str, int]) -> dict[str, Any]:
    return {
        "title": plain(panel.title),
        "x": _axis(panel.x),
        "y": _axis(panel.y),
        "equal": panel.equal,
        "series": [_series(series, panel, rows) for series in panel.series],
    }


def _axis(axis: Axis) -> dict[str, Any]:
    return {"title": plain(axis.title), "log": axis.log, "limits": axis.limits}


def _series(series: Series, panel: Panel, rows: Mapping[str, int]) -> dict[str, Any]:
    """What is not so of most series is left out where it is not so."""
    data: dict[str, Any] = {
        "name": plain(series.name),
        "key": series.key,
        "x": _rounded(series.x, panel.x),
        "y": _rounded(series.y, panel.y),
        "cells": [rows.get(cell) for cell in series.cells],
        "of": rows.get(series.of),
        "law": spelled(series.law) if series.law else "",
        "bare": not series.marks,
        "cloud": not series.line,
        "dashed": series.dashed,
        "faint": series.faint,
    }
    # By identity: 0 is a row, and equal to False.
    return {key: each for key, each in data.items() if each is not None and each is not False and each not in ("", [])}


def _rounded(values: Sequence[float], axis: Axis) -> list[float | None]:
    """In as many digits as can be seen on the axis, also when a reader zooms in: a tenth of a pixel, or so."""
    if axis.log or not all(map(isfinite, values)):
        return [float(f"{value:.{_DIGITS}g}") if isfinite(value) else None for value in values]
    extent = max(values, default=0.0) - min(values, default=0.0)
    places = _DIGITS - floor(log10(extent)) - 1 if extent else 15
    return [round(value, places) for value in values]
