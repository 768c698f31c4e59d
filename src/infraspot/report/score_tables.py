"""Tables of scores with intervals and the papers' figures, as Markdown, CSV, LaTeX and an offline page."""

import csv
import html
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

NUMBERS: Mapping[str, tuple[str, float, int]] = {
    "iou": ("IoU", 100.0, 2),
    "niou": ("nIoU", 100.0, 2),
    "pd": ("Pd", 100.0, 2),
    "fa_area": ("Fa", 1e6, 2),
}
"""Label, factor and digits: percent, and false pixels of a million, as papers print them."""

BOX_NUMBERS: Mapping[str, tuple[str, float, int]] = {
    "box_ap.ap07_legacy": ("AP", 100.0, 2),
    "box_ap.centre_3": ("centre AP", 100.0, 2),
}
"""Average precision in percent: boxes at IoU .5, with 11 points and sides + 1; centres within 3 pixels."""

TARGETS = "targets"
"""What pairs are compared by beside the numbers: which targets each finds."""

COMPARED = {**NUMBERS, **BOX_NUMBERS, TARGETS: ("targets found", 100.0, 2)}


@dataclass(frozen=True)
class Figure:
    """A number of a row, as a fraction: mean and deviation over seeds, interval over frames, the paper's."""

    mean: float
    deviation: float = math.nan
    low: float = math.nan
    high: float = math.nan
    paper: float | None = None


@dataclass(frozen=True)
class ScoreRow:
    """A network trained by a scheme; ``seeds`` trainings are behind its figures."""

    network: str
    scheme: str
    seeds: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class PairRow:
    """Two rows compared by one number: their difference, and how likely chance would make it."""

    one: str
    other: str
    number: str
    difference: float
    low: float
    high: float
    p: float
    p_family: float = math.nan


@dataclass(frozen=True)
class ScoreTable:
    """The rows of one scored set, pairs of them compared, and what a reader must know."""

    title: str
    rows: Sequence[ScoreRow]
    pairs: Sequence[PairRow] = ()
    notes: Sequence[str] = field(default=())

    @property
    def numbers(self) -> dict[str, tuple[str, float, int]]:
        """``NUMBERS``, and those of ``BOX_NUMBERS`` that a row has."""
        held = {name for row in self.rows for name in row.figures}
        return {**NUMBERS, **{name: form for name, form in BOX_NUMBERS.items() if name in held}}


PAIR_HEAD = ("first", "second", "number", "first - second", "95 % interval", "p", "p (Holm)")


def head(table: ScoreTable) -> list[str]:
    """Names of the columns; those of the paper where any row has a figure of it."""
    paper = _has_paper(table)
    labels = [[label, "paper"] if paper else [label] for label, _, _ in table.numbers.values()]
    return ["network", "scheme", "seeds", *(name for pair in labels for name in pair)]


def cells(table: ScoreTable, row: ScoreRow) -> list[str]:
    """The row as text: ``mean ± deviation [low, high]``."""
    paper, shown = _has_paper(table), []
    for name, (_, factor, digits) in table.numbers.items():
        figure = row.figures.get(name, Figure(math.nan))
        shown.append(_figure(figure, factor, digits))
        if paper:
            shown.append("-" if figure.paper is None else f"{figure.paper * factor:.{digits}f}")
    return [row.network, row.scheme, str(row.seeds), *shown]


def pair_cells(pair: PairRow) -> list[str]:
    """The pair as text, in the units of the table."""
    label, factor, digits = COMPARED[pair.number]
    if math.isnan(pair.difference):
        return [pair.one, pair.other, label, "-", "-", "-", "-"]
    known = not math.isnan(pair.low)
    interval = f"[{pair.low * factor:+.{digits}f}, {pair.high * factor:+.{digits}f}]" if known else "-"
    difference = f"{pair.difference * factor:+.{digits}f}"
    return [pair.one, pair.other, label, difference, interval, f"{pair.p:.3f}", f"{pair.p_family:.3f}"]


def to_markdown(tables: Sequence[ScoreTable]) -> str:
    """Sections with a table each, pairs below it."""
    return "\n\n".join(_section(table, _markdown_grid, "## {}", "### {}", "- {}") for table in tables) + "\n"


def to_html(tables: Sequence[ScoreTable], title: str) -> str:
    """One page that needs no network."""
    body = "\n".join(
        _section(table, _html_grid, "<h2>{}</h2>", "<h3>{}</h3>", "<p>{}</p>", html.escape)
        for table in tables
    )
    return HTML.replace("TITLE", html.escape(title)).replace("BODY", body)


def to_latex(tables: Sequence[ScoreTable]) -> str:
    """``booktabs`` tables, one a set, the notes as comments; the pairs are left to the other forms."""
    return "\n".join(_latex_table(table) for table in tables)


def to_csv(tables: Sequence[ScoreTable]) -> str:
    """A line for each number of each row; fractions, empty where there is none."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        ("set", "network", "scheme", "seeds", "number", "mean", "deviation", "low", "high", "paper")
    )
    for table in tables:
        for row in table.rows:
            for name, figure in row.figures.items():
                values = (figure.mean, figure.deviation, figure.low, figure.high, figure.paper)
                lines.writerow((table.title, row.network, row.scheme, row.seeds, name, *map(_plain, values)))
    return text.getvalue()


def pairs_to_csv(tables: Sequence[ScoreTable]) -> str:
    """A line for each compared number; differences are fractions."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("set", "first", "second", "number", "difference", "low", "high", "p", "p_holm"))
    for table in tables:
        for pair in table.pairs:
            values = (pair.difference, pair.low, pair.high, pair.p, pair.p_family)
            lines.writerow((table.title, pair.one, pair.other, pair.number, *map(_plain, values)))
    return text.getvalue()


HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>TITLE</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 80rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .15rem .9rem .15rem 0; text-align: right; font-variant-numeric: tabular-nums }
td:first-child, th:first-child, td:nth-child(2), th:nth-child(2) { text-align: left }
th { border-bottom: 1px solid #bbb; font-weight: 600 }
</style></head><body>
<h1>TITLE</h1>
BODY
</body></html>
"""

LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def _section(
    table: ScoreTable,
    grid: Callable[[Sequence[str], Sequence[Sequence[str]]], str],
    title: str,
    subtitle: str,
    note: str,
    escape: Callable[[str], str] = lambda text: text,
) -> str:
    pieces = [title.format(escape(table.title)), grid(head(table), [cells(table, row) for row in table.rows])]
    pieces.append("\n".join(note.format(escape(text)) for text in table.notes))
    if table.pairs:
        pieces += [subtitle.format("Pairs"), grid(PAIR_HEAD, [pair_cells(pair) for pair in table.pairs])]
    return "\n\n".join(piece for piece in pieces if piece)


def _markdown_grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _html_grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(kind: str, values: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{kind}>{html.escape(value)}</{kind}>" for value in values) + "</tr>"

    return "<table>" + "\n".join([line("th", columns), *(line("td", row) for row in rows)]) + "</table>"


def _latex_table(table: ScoreTable) -> str:
    columns = head(table)
    lines = [
        *(f"% {note}" for note in table.notes),
        r"\begin{table}\centering",
        rf"\caption{{{_latex(table.title)}}}",
        rf"\begin{{tabular}}{{ll{'r' * (len(columns) - 2)}}}",
        r"\toprule",
        " & ".join(map(_latex, columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex, cells(table, row))) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in text)


def _has_paper(table: ScoreTable) -> bool:
    return any(figure.paper is not None for row in table.rows for figure in row.figures.values())


def _figure(figure: Figure, factor: float, digits: int) -> str:
    if math.isnan(figure.mean):
        return "-"
    text = f"{figure.mean * factor:.{digits}f}"
    if not math.isnan(figure.deviation):
        text += f" ± {figure.deviation * factor:.{digits}f}"
    if not math.isnan(figure.low):
        text += f" [{figure.low * factor:.1f}, {figure.high * factor:.1f}]"
    return text


def _plain(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.8g}"
