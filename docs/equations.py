"""A hook of mkdocs: equations become MathML while the site is built, so that no page needs a script or a network."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert

# What pymdownx.arithmatex makes of $…$ and of $$…$$.
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(html: str, **_: Any) -> str:
    """The page with every equation in it as MathML."""
    return _EQUATION.sub(_mathml, html)


def _mathml(found: re.Match[str]) -> str:
    block = found[1] == "div"
    mathml = convert(unescape(found[2]), display="block" if block else "inline")
    return f'<div class="equation">{mathml}</div>' if block else mathml
