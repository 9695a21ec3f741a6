"""Figures as text: a plain table, a table of rich, a table in HTML."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jseq._interop.extras import need

if TYPE_CHECKING:
    from jseq._tools.report import Row, Summary

HEADER = ("path", "layer", "output", "params", "state", "FLOPs", "FLOPs/step", "kept")
LEFT = 3  # columns of text; the others are numbers
WIDEST = 48


def cells(row: "Row") -> list[str]:
    """One row as text."""
    times = f"{row.copies} x " if row.copies > 1 else ""
    return [
        row.path,
        "  " * row.depth + shortened(times + row.layer),
        shortened(row.output),
        counted(row.params),
        counted(row.state),
        counted(row.flops),
        counted(row.step_flops),
        in_bytes(row.kept_bytes),
    ]


def totals(found: "Summary") -> list[str]:
    """The lines below the table."""
    total = found.total
    lines = [
        f"params {total.params:,} ({in_bytes(found.params_bytes)}), state {total.state:,} "
        f"({in_bytes(found.state_bytes)}), input {in_bytes(found.input_bytes)}",
        f"forward{' (train)' if found.train else ''}: {counted(total.flops)} FLOPs, "
        f"peak memory about {in_bytes(found.peak_bytes)}",
    ]
    if found.trouble:
        return [*lines, f"no training step: {found.trouble}"]
    step = f"training step: {counted(total.step_flops)} FLOPs, {in_bytes(total.kept_bytes)} kept for the backward pass"
    return [*lines, f"{step}, peak memory about {in_bytes(found.step_peak_bytes)} without the optimiser"]


def shortened(text: str) -> str:
    """Text that fits into a column."""
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def counted(number: float | None) -> str:
    """A count: exact below a million, three digits above: `6.74 G`."""
    if number is None:
        return ""
    if number < 1e6:
        return f"{round(number):,}" if number else "-"
    return scaled(number, 1000, " MGTPE")


def in_bytes(number: int | None) -> str:
    """Bytes, in powers of 1024: `25.1 GiB`."""
    if number is None:
        return ""
    if number < 1024:
        return f"{number} B" if number else "-"
    text = scaled(number, 1024, "KMGTPE")
    return f"{text}iB"


def scaled(number: float, base: int, prefixes: str) -> str:
    """Three digits and a prefix, the first of them for one power of the base."""
    power = 0
    while number >= 999.5 and power < len(prefixes):
        number, power = number / base, power + 1
    digits = max(2 - len(str(int(number))) + 1, 0)
    return f"{number:.{digits}f} {prefixes[power - 1]}"


def as_text(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str]) -> str:
    """A table in plain text."""
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]

    def line(texts: Sequence[str]) -> str:
        parts = [text.ljust(width) if column < LEFT else text.rjust(width)
                 for column, (text, width) in enumerate(zip(texts, widths, strict=True))]  # fmt: skip
        return "  ".join(parts).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(header), rule, *map(line, rows), rule, *lines])


def as_html(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str]) -> str:
    """A table in HTML."""

    def line(texts: Sequence[str], tag: str) -> str:
        parts = [
            f'<{tag} style="text-align: {"left" if column < LEFT else "right"}; white-space: pre">'
            f"{html.escape(text)}</{tag}>"
            for column, text in enumerate(texts)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    below = "<br>".join(map(html.escape, lines))
    return f"<table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table><p>{below}</p>"


def as_rich(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str]) -> Any:
    """A table of rich."""
    table = need("rich.table", "examples").Table(caption="\n".join(lines), caption_justify="left")
    for column, name in enumerate(header):
        width = max(len(row[column]) for row in (header, *rows))  # layer and output shrink on a narrow screen
        table.add_column(name, justify="left" if column < LEFT else "right", no_wrap=True,
                         min_width=None if name in ("layer", "output") else width)  # fmt: skip
    for row in rows:
        table.add_row(*(need("rich.text", "examples").Text(text) for text in row))
    return table
