"""A board as lines of text that fit a terminal. Pure.

What does not fit is left out whole, column by column and row by row, and never cut in the middle:
a price without its last digit is another price.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tickstorm.commands.board import Board, Quote
from tickstorm.commands.text import (
    NONE,
    age,
    amount,
    counted,
    milliseconds,
    money,
    printable,
    signed,
)


class Span(NamedTuple):
    """A piece of a line, and its style as rich names it."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


class _Column(NamedTuple):
    """One column: the first to be left out has the greatest `rank`."""

    title: str
    width: int
    rank: int
    cell: Callable[[Quote, int], str]


_SYMBOL = _Column("symbol", 6, 0, lambda quote, _: printable(quote.symbol))
_COLUMNS = (
    _SYMBOL,
    _Column("last", 8, 0, lambda quote, _: f"{quote.last:.{quote.places}f}"),
    _Column("change", 8, 1, lambda quote, _: signed(quote.change, quote.places)),
    _Column("%", 7, 2, lambda quote, _: signed(quote.change_percent, 2) + "%"),
    _Column("volume", 7, 5, lambda quote, _: amount(quote.volume)),
    _Column("bid", 8, 7, lambda quote, _: money(quote.bid, quote.places)),
    _Column("ask", 8, 7, lambda quote, _: money(quote.ask, quote.places)),
    _Column("ticks", 6, 6, lambda quote, _: amount(quote.ticks)),
    _Column("age", 4, 3, lambda quote, now_ns: _age(quote.received_ns, now_ns)),
    _Column("ms", 5, 4, lambda quote, _: milliseconds(quote.latency_ms)),
)
_QUOTED = frozenset({"bid", "ask"})
_COLOURED = frozenset({"change", "%"})
_GAP = " "
_STATE_STYLES = {"streaming": "bold green", "disconnected": "bold red", "ended": "bold red"}
_HEADER_LINES = 4
"""The two of the header, an empty one, and the titles."""


def screen_lines(board: Board, now_ns: int, width: int, height: int) -> list[Line]:
    """Return a board as lines, at most `height` of at most `width` characters.

    Args:
        board: what to show.
        now_ns: this machine's clock, for the ages.
        width: in characters, at least 40.
        height: in lines, at least 8.
    """
    quotes = sorted(board.quotes.values(), key=lambda quote: quote.symbol)
    notice = _notice(board, now_ns, width)
    room = max(height - _HEADER_LINES - len(notice), 1)
    if len(quotes) > room:
        shown = quotes[: max(room - 1, 0)]
        more = counted(len(quotes) - len(shown), "more symbol")
        rest: list[Line] = [(Span(_fit(f"and {more}: choose with --symbols", width), "dim"),)]
    else:
        shown, rest = quotes, []
    return [
        *_header(board, width),
        (),
        *_table(shown, now_ns, width),
        *rest,
        *notice,
    ]


def _header(board: Board, width: int) -> list[Line]:
    sequence = NONE if board.sequence is None else str(board.sequence)
    state = Span(board.state, _STATE_STYLES.get(board.state, "bold yellow"))
    stream = f"{board.stream}  epoch {printable(board.epoch) or NONE}  sequence {sequence}"
    missing = Span(f"lost {board.missing:,}", "bold red" if board.missing else "")
    latency = (
        f"latency p50 {milliseconds(board.latency(0.5))} p95 {milliseconds(board.latency(0.95))} ms"
    )
    return [
        _clip(
            (Span(printable(board.server), "bold"), Span("  "), state, Span(f"  {stream}")), width
        ),
        _clip(
            (
                Span(f"{counted(board.batches, 'batch', 'batches')}  "),
                Span(f"{counted(board.ticks, 'tick')}  "),
                missing,
                Span(f"  {latency}"),
            ),
            width,
        ),
    ]


def _notice(board: Board, now_ns: int, width: int) -> list[Line]:
    if not board.notice:
        return []
    text = f"{_age(board.noticed_ns, now_ns)} ago: {board.notice}"
    return [(), (Span(_fit(text, width), "yellow"),)]


def _table(quotes: Sequence[Quote], now_ns: int, width: int) -> list[Line]:
    if not quotes:
        return [(Span("no prices yet", "dim"),)]
    cells = {
        column: [column.cell(quote, now_ns) for quote in quotes]
        for column in _COLUMNS
        if column.title not in _QUOTED or any(quote.bid or quote.ask for quote in quotes)
    }
    widths = {
        column: max(column.width, len(column.title), *map(len, texts))
        for column, texts in cells.items()
    }
    columns = _fitting(widths, width)
    titles = _GAP.join(_padded(column, column.title, widths[column]) for column in columns)
    lines: list[Line] = [(Span(titles, "bold dim"),)]
    for row, quote in enumerate(quotes):
        lines.append(_row(quote, [(column, cells[column][row]) for column in columns], widths))
    return lines


def _row(quote: Quote, cells: list[tuple[_Column, str]], widths: dict[_Column, int]) -> Line:
    direction = "green" if quote.change > 0 else "red" if quote.change < 0 else ""
    return tuple(
        Span(
            (_GAP if place else "") + _padded(column, text, widths[column]),
            "bold" if column is _SYMBOL else direction if column.title in _COLOURED else "",
        )
        for place, (column, text) in enumerate(cells)
    )


def _fitting(widths: dict[_Column, int], width: int) -> list[_Column]:
    columns = list(widths)
    while sum(widths[column] + len(_GAP) for column in columns) - len(_GAP) > width:
        least = max(column.rank for column in columns)
        if not least:
            break
        columns = [column for column in columns if column.rank < least]
    return columns


def _padded(column: _Column, text: str, width: int) -> str:
    return f"{text:<{width}}" if column is _SYMBOL else f"{text:>{width}}"


def _age(then_ns: int | None, now_ns: int) -> str:
    return NONE if then_ns is None else age((now_ns - then_ns) / 1e9)


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _clip(line: Line, width: int) -> Line:
    """Leave out what does not fit, word by word."""
    clipped = []
    for span in line:
        if len(span.text) > width:
            cut = span.text[: width + 1].rpartition(" ")[0].rstrip()
            clipped.append(Span(cut, span.style))
            break
        clipped.append(span)
        width -= len(span.text)
    return tuple(clipped)
