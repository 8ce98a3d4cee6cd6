"""A figure as a file, and its caption as another."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odebench.errors import UsageError, did_you_mean
from odebench.figures.figure import Figure
from odebench.figures.looks import Look
from odebench.plot import style
from odebench.plot.draw import draw
from odebench.report.text import fold, plain
from odebench.writing import deliver

# What a file says of itself. Without a date, so that the same results give the same bytes.
_ABOUT = {
    "pdf": {"Creator": "odebench", "CreationDate": None},
    "svg": {"Creator": "odebench", "Date": None},
    "png": {"Software": "odebench"},
}
_LINE = 100  # characters of a line of the caption


def format_of(path: Path) -> str:
    """`pdf`, `svg` or `png`, by the suffix.

    Raises:
        UsageError: it is none of them.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in _ABOUT:
        near = did_you_mean(suffix, _ABOUT)
        raise UsageError(f"{path}: a figure is written as .pdf, .svg or .png; got {path.suffix or 'no suffix'!r}{near}")
    return suffix


def write(figure: Figure, looks: Mapping[str, Look], path: Path, width: str = "two") -> Path:
    """Write `figure`, which has panels, to `path`, and its caption beside it; the path of that one.

    Raises:
        UsageError: matplotlib is missing, the figure is too large for a page, or a file cannot be written.
    """
    form = format_of(path)
    content = render(figure, looks, form, width)
    caption = path.with_suffix(".caption.txt")
    deliver(path, content)
    deliver(caption, caption_text(figure))
    return caption


def render(figure: Figure, looks: Mapping[str, Look], form: str, width: str = "two") -> bytes:
    """The content of a file in one of the formats.

    Raises:
        UsageError: matplotlib is missing, or the figure is too large for a page.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError(
            f"a figure is drawn with matplotlib, which cannot be imported ({plain(error)}); "
            "pip install 'odebench[report]'"
        ) from error
    content = io.BytesIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A character that no font has is drawn as a box; that is seen, and needs no word on stderr.
        warnings.filterwarnings("ignore", message="Glyph")
        matplotlib.rcdefaults()
        settings: Any = style.STYLE
        matplotlib.rcParams.update(settings)
        draw(figure, looks, width).savefig(content, format=form, metadata=_ABOUT[form])
    return content.getvalue()


def caption_text(figure: Figure) -> str:
    """The caption in lines, a blank line, and the notes."""
    paragraphs = [figure.caption, *figure.notes]
    return "".join(f"{line}\n" for text in paragraphs for line in fold(plain(text), _LINE, 0))
