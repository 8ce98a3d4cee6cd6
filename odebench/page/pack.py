"""How the page carries scripts and data: compressed where they are large, and named to the browser by their digest."""

from __future__ import annotations

import base64
import gzip
import json
from hashlib import sha256
from typing import Any

from odebench.page.markup import Html, element

_LEVEL = 9


def block(name: str, text: str) -> Html:
    """Text that a script unpacks by the id `name`: gzip in base64, which is a third of it and holds no markup.

    Plain text would be simpler. But plotly alone takes 4.8 MB, and the paths of 2,000 cells as much again.
    """
    # No file name and no time of day in it, so that the same text gives the same block.
    packed = base64.b64encode(gzip.compress(text.encode(), _LEVEL, mtime=0)).decode()
    return element("script", Html(packed), type="application/gzip", id=name)


def data_block(name: str, data: Any) -> Html:
    """The same of JSON-ready data, without infinities."""
    return block(name, json.dumps(data, separators=(",", ":"), allow_nan=False))


def digest(script: str) -> str:
    """A script as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'"


def policy(scripts: list[str]) -> str:
    """Nothing is loaded, and no script runs but these: markup that slipped through would do nothing.

    Styles may stand inline: plotly sets them on what it draws.
    """
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(map(digest, scripts)),
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",  # pictures of figures that a reader saves
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{rule} {value}" for rule, value in rules.items())
