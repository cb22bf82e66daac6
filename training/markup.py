"""The parts that pages of HTML are made of."""

from collections.abc import Collection, Sequence
from html import escape


def section(title: str, content: str) -> str:
    """Return a section of a page."""
    return f"<section><h2>{title}</h2>\n{content}</section>"


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int] = (), kind: str = "wide"
) -> str:
    """Return a table; what stands in the first column heads its row. Cells are escaped.

    Parameters
    ----------
    heads, rows
        Texts.
    left : collection of int
        Columns that hold words: they begin at the left, as the first one always does.
    kind : str
        ``wide`` for a table that scrolls where it does not fit; ``wide narrow`` where its cells may be broken first,
        ``wide dense`` in smaller letters.
    """

    def line(texts: Sequence[str], first: str, other: str) -> str:
        cells = []
        for column, text in enumerate(texts):
            tag = other if column else first
            words = ' class="left"' if column in left else ""
            cells.append(f"<{tag}{words}>{escape(text)}</{tag[:2]}>")
        return f"<tr>{''.join(cells)}</tr>"

    head = line(heads, 'th scope="col"', 'th scope="col"')
    body = "".join(line(row, 'th scope="row"', "td") for row in rows)
    inside = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div class="{kind}" tabindex="0">{inside}</div>\n'
