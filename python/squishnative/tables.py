"""Plain text tables: the same in a terminal, a pipe and a log."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns as wide as their widest cell; the first `left` flush left, the others right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[c]) for row in cells) for c in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        )
        return "  ".join(padded).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(cells[0]), rule, *(line(row) for row in cells[1:])])


def shape_text(shape: Sequence[int]) -> str:
    """`64x55x55`."""
    return "x".join(str(extent) for extent in shape)


def percent(fraction: float) -> str:
    """`15.0%`."""
    return f"{100 * fraction:.1f}%"
