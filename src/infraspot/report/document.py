"""One HTML file that needs no network and no other file: its style, its scripts and its data inside.

The page builds itself from the JSON in it, as text and never as markup. A content security policy names the
hashes of its own style and scripts: nothing else runs, and nothing is fetched, whatever a name in it says.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from infraspot.core.files import write_text
from infraspot.metrics import jsonable

SHARED = ("elements.js", "plots.js", "tables.js")

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style></head><body>
<main id="page"><noscript><p>This report draws itself with JavaScript, which is switched off here. Its numbers
stand as JSON in the file.</p></noscript></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body></html>
"""


def write_document(path: Path | str, title: str, data: Mapping[str, Any], parts: Sequence[str]) -> Path:
    """Write the page, or leave the old one whole; returns its path.

    Parameters
    ----------
    data
        Numbers, texts and lists; NaN becomes null.
    parts
        Scripts of the page beside :data:`SHARED`, by their file names.
    """
    script = "\n".join(_asset(name) for name in (*SHARED, *parts))
    style = _asset("report.css")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'"
    )
    page = _PAGE.format(
        policy=policy,
        title=html.escape(readable(title)),
        style=style,
        script=script,
        data=embedded_json(data),
    )
    write_text(path, page)
    return Path(path)


def embedded_json(data: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element.

    >>> embedded_json({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(jsonable(data), separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def readable(name: str) -> str:
    """A name that UTF-8 can hold: bytes of a file name that are no text become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _asset(name: str) -> str:
    return files("infraspot.report").joinpath("static", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
