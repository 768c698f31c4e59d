"""An evaluation as one HTML file that needs no network: tables, pictures, and what the numbers mean."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infraspot.core.files import write_text
from infraspot.report.scores import error_line, point_rows, score_rows, strata_rows

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 60rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .15rem .9rem .15rem 0; text-align: right; font-variant-numeric: tabular-nums }
td:first-child, th:first-child { text-align: left }
th { border-bottom: 1px solid #bbb; font-weight: 600 }
img { max-width: 100%; margin: .5rem 0 }
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ result.n_images }} images, {{ result.n_targets }} targets,
threshold {{ "%g" | format(result.threshold) }},
protocol <b>{{ result.protocol }}</b>: {{ result.definition }}</p>
{% if left_out %}<p><b>{{ left_out }} images could not be scored and are left out.</b></p>{% endif %}
{% for head, rows in tables if rows %}
<table><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endfor %}
<p>Errors: {{ errors }}.</p>
{% for name, data in pictures %}<img alt="{{ name }}" src="data:image/png;base64,{{ data }}">
{% endfor %}
</body></html>
"""


def write_page(path: Path, result: Mapping[str, Any], pictures: Sequence[Path]) -> Path:
    """Write the page with the pictures inside; returns its path."""
    from jinja2 import Environment

    source = result.get("source", {})
    tables = [
        (["", "value", "95 % interval"], score_rows(result)),
        (["best Pd", "Pd", "threshold"], point_rows(result)),
        (["targets by", "targets", "Pd", "IoU", "pixel recall"], strata_rows(result)),
    ]
    text = (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            title=f"{source.get('prediction', 'prediction')} against {source.get('truth', 'truth')}",
            result=result,
            left_out=len(result.get("left_out", ())),
            tables=tables,
            errors=error_line(result),
            pictures=[(one.name, base64.b64encode(one.read_bytes()).decode()) for one in pictures],
        )
    )
    write_text(path, text)
    return path
