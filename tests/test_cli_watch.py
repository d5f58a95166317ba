"""`tickstorm watch`: the board, the screen, the lines, and following a subscription."""

import io
import json

import pytest
from rich.console import Console
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tickstorm.client import (
    Authenticated,
    Batch,
    Disconnected,
    Gap,
    Mode,
    ReceivedTick,
    Restarted,
    Subscribed,
)
from tickstorm.commands.board import LATENCIES, Board, Quote, stream_name
from tickstorm.commands.following import Following, NeverSubscribed
from tickstorm.commands.screen import screen_lines
from tickstorm.commands.tick_text import tick_json, tick_line
from tickstorm.commands.watch import Lines, Screen, _json, _plain
from tickstorm.errors import InvalidAuth

SECOND_NS = 1_000_000_000
NOW = 1_700_000_000 * SECOND_NS


def tick(symbol="AAPL", price=100.0, volume=10.0, bid=0.0, ask=0.0, **more):
    return ReceivedTick(symbol, NOW // 1_000_000, NOW, price, volume, bid, ask, **more)


def batch(*ticks, sequence=1, received_ns=NOW, latency_ns=250_000, **more):
    published = received_ns - latency_ns
    return Batch(ticks, NOW // 1_000_000, sequence, False, published, received_ns)._replace(**more)


def watched(*batches):
    board = Board("localhost:8080", "SECOND")
    for each in batches:
        board.take(each)
    return board


def values(quote):
    return {name: getattr(quote, name) for name in Quote.__slots__}


def shown(board, now_ns=NOW, width=80, height=24):
    return [
        "".join(span.text for span in line) for line in screen_lines(board, now_ns, width, height)
    ]


# The board.


def test_a_quote_keeps_the_first_price_and_adds_up():
    board = watched(
        batch(tick(price=100.0, volume=10.0)),
        batch(
            tick(price=100.125, volume=2.5, bid=100.1, ask=100.2, trade_count=7), latency_ns=10**6
        ),
    )
    quote = board.quotes["AAPL"]
    assert values(quote) == {
        "symbol": "AAPL",
        "first": 100.0,
        "last": 100.125,
        "places": 3,
        "volume": 12.5,
        "bid": 100.1,
        "ask": 100.2,
        "ticks": 8,
        "received_ns": NOW,
        "latency_ms": 1.0,
    }
    assert (quote.change, quote.change_percent) == (0.125, 0.125)


def test_a_snapshot_gives_prices_and_counts_for_nothing_else():
    board = watched(batch(tick(price=50.0), is_snapshot=True))
    quote = board.quotes["AAPL"]
    assert (quote.first, quote.volume, quote.ticks, quote.received_ns) == (50.0, 0.0, 0, None)
    assert (board.batches, board.ticks, board.sequence, board.latency(0.5)) == (0, 0, None, None)


def test_latencies_are_percentiles_of_the_last_batches():
    board = watched(*(batch(latency_ns=n * 10**6) for n in range(1, LATENCIES + 11)))
    assert [board.latency(part) for part in (0.001, 0.5, 0.95, 1)] == [11.0, 510.0, 960.0, 1010.0]
    assert watched(batch(publish_time_ns=0)).latency(0.5) is None


def test_symbols_are_bounded():
    board = Board("localhost:8080", "SECOND", max_symbols=2)
    board.take(batch(tick("A"), tick("B"), tick("C"), tick("A", 101.0)))
    assert ({symbol: quote.last for symbol, quote in board.quotes.items()}, board.ticks) == (
        {"A": 101.0, "B": 100.0},
        4,
    )


def test_events_change_the_state_and_leave_a_notice():
    board = watched()
    found = [(board.state, board.epoch, board.missing, board.notice, board.noticed_ns)]
    for time_ns, event in enumerate(
        (
            Authenticated(),
            Subscribed("e1", 4, 15.0, 20.0),
            Gap(4, 6),
            Disconnected(OSError("gone"), 1.0),
            Subscribed("e2", 1, 15.0, 20.0),
            Restarted(),
            Disconnected(InvalidAuth("no"), None),
        )
    ):
        board.note(event, time_ns)
        found.append((board.state, board.epoch, board.missing, board.notice, board.noticed_ns))
    lost, gone = "lost 3 batches: 4 to 6", "disconnected, again in 1.0 s: gone"
    anew = "the stream began anew: what was missed before cannot be counted"
    assert found == [
        ("connecting", "", 0, "", 0),
        ("logged in", "", 0, "", 0),
        ("streaming", "e1", 0, "", 0),
        ("streaming", "e1", 3, lost, 2),
        ("disconnected", "e1", 3, gone, 3),
        ("streaming", "e2", 3, gone, 3),
        ("streaming", "e2", 3, anew, 5),
        ("ended", "e2", 3, anew, 5),
    ]


def test_what_is_made_good_takes_the_place_of_what_went_wrong():
    board = watched()
    board.note(Subscribed("e1", 4, 15.0, 20.0, recovered=True), 1)
    found = [(board.notice, board.noticed_ns)]
    board.note(Disconnected(OSError("gone"), 1.0), 2)
    board.note(Subscribed("e1", 5, 15.0, 20.0, recovered=True), 3)
    found.append((board.notice, board.noticed_ns))
    board.note(Gap(5, 6, 7, "dropped"), 4)
    board.note(Subscribed("e1", 9, 15.0, 20.0, recovered=False), 5)
    found.append((board.notice, board.noticed_ns))
    assert found == [
        ("", 0),
        ("resumed: nothing was missed", 3),
        ("lost 2 batches: 5 to 6, dropped (7 ticks)", 4),
    ]


@pytest.mark.parametrize(
    ("mode", "interval", "name"),
    [
        (Mode.TICK, None, "TICK"),
        (Mode.SECOND, 0.25, "250ms"),
        (Mode.SECOND, 1.5, "1.5s"),
        (Mode.SECOND, 90.0, "90s"),
    ],
)
def test_a_stream_in_a_word(mode, interval, name):
    assert stream_name(mode, interval) == name


# The screen.


def full_board():
    board = watched(
        batch(tick("AAPL", 100.0), tick("BTC-USD", 64123.45, 0.125, 64120.0, 64130.5)),
        batch(tick("AAPL", 99.5, 25_000.0), tick("PENNY", 0.0123), sequence=2, latency_ns=10**6),
    )
    board.note(Subscribed("e1", 1, 15.0, 20.0), NOW)
    return board


def test_the_whole_screen():
    board = full_board()
    board.note(Gap(5, 5), NOW - 61 * SECOND_NS)
    assert shown(board, NOW + 2 * SECOND_NS) == [
        "localhost:8080  streaming  SECOND  epoch e1  sequence 2",
        "2 batches  4 ticks  lost 1  latency p50 0.25 p95 1.00 ms",
        "",
        "symbol      last   change       %  volume      bid      ask  ticks  age    ms",
        "AAPL       99.50    -0.50  -0.50%  25.01k        -        -      2 2.0s  1.00",
        "BTC-USD 64123.45     0.00   0.00%    0.12 64120.00 64130.50      1 2.0s  0.25",
        "PENNY     0.0123   0.0000   0.00%      10        -        -      1 2.0s  1.00",
        "",
        "63s ago: lost 1 batch: 5",
    ]


def test_before_the_first_price():
    assert shown(watched()) == [
        "localhost:8080  connecting  SECOND  epoch -  sequence -",
        "0 batches  0 ticks  lost 0  latency p50 - p95 - ms",
        "",
        "no prices yet",
    ]


def test_columns_that_do_not_fit_are_left_out_whole():
    titles = [shown(full_board(), width=width)[3].split() for width in (80, 70, 60, 55, 50, 40, 30)]
    assert titles == [
        ["symbol", "last", "change", "%", "volume", "bid", "ask", "ticks", "age", "ms"],
        ["symbol", "last", "change", "%", "volume", "ticks", "age", "ms"],
        ["symbol", "last", "change", "%", "volume", "ticks", "age", "ms"],
        ["symbol", "last", "change", "%", "volume", "age", "ms"],
        ["symbol", "last", "change", "%", "age", "ms"],
        ["symbol", "last", "change", "%", "age"],
        ["symbol", "last", "change"],
    ]


def test_nothing_is_wider_or_higher_than_the_terminal():
    board = full_board()
    board.note(Disconnected(OSError("a reason that is far too long for a line " * 3), 1.0), NOW)
    for width in range(40, 120):
        assert max(map(len, shown(board, width=width))) <= width
    for height in range(8, 24):
        assert len(shown(board, height=height)) <= height


def test_rows_that_do_not_fit_are_counted():
    board = watched(batch(*(tick(f"S{n}") for n in range(10))))
    lines = shown(board, height=8)
    assert [line.split()[0] for line in lines[4:]] == ["S0", "S1", "S2", "and"]
    assert lines[-1] == "and 7 more symbols: choose with --symbols"


def test_colours_say_the_direction():
    board = watched(batch(tick("DOWN"), tick("SAME"), tick("UP")))
    board.take(batch(tick("DOWN", 99.0), tick("UP", 101.0)))
    rows = screen_lines(board, NOW, 80, 24)[4:]
    assert [[span.style for span in row[:4]] for row in rows] == [
        ["bold", "", "red", "red"],
        ["bold", "", "", ""],
        ["bold", "", "green", "green"],
    ]


def test_a_strangers_words_do_not_command_the_terminal():
    board = watched(batch(tick("A\x1b[2J")))
    board.note(Subscribed("e\x1b", 1, 15.0, 20.0), NOW)
    board.note(Disconnected(InvalidAuth("no\x1b[2J"), 1.0), NOW)
    assert "\x1b" not in "".join(shown(board))


def test_the_live_screen_leaves_its_last_state():
    output = io.StringIO()
    console = Console(file=output, width=80, height=24)
    screen = Screen(watched(), console, 3, lambda: NOW)
    screen.event(Subscribed("e1", 1, 15.0, 20.0))
    assert screen.batch(batch(tick("AAPL"), tick("MSFT"))) is True
    assert screen.batch(batch(tick("AAPL"))) is False
    screen.close()
    assert output.getvalue().splitlines() == [
        "localhost:8080  streaming  SECOND  epoch e1  sequence 1",
        "2 batches  3 ticks  lost 0  latency p50 0.25 p95 0.25 ms",
        "",
        "symbol     last   change       %  volume  ticks  age    ms",
        "AAPL     100.00     0.00   0.00%      20      2 0.0s  0.25",
        "MSFT     100.00     0.00   0.00%      10      1 0.0s  0.25",
    ]


def test_a_screen_that_ends_before_anything_came_shows_nothing():
    output = io.StringIO()
    screen = Screen(watched(), Console(file=output, width=80, height=24), None, lambda: NOW)
    screen.event(Disconnected(InvalidAuth("no"), None))
    screen.close()
    assert output.getvalue() == ""


# Lines.


def test_a_line_has_nine_columns_that_keep_their_places():
    board = watched()
    lines = []
    for each in (
        batch(tick(price=100.0)),
        batch(tick(price=99.5, volume=0.25, bid=99.4, ask=99.6), publish_time_ns=0),
    ):
        board.take(each)
        lines.append(tick_line(each.ticks[0], each, board.quotes["AAPL"]))
    time = "2023-11-14T22:13:20.000Z"
    assert lines == [
        f"{time} AAPL          100.00       0.00    0.00%        10           -           -   0.25",
        f"{time} AAPL           99.50      -0.50   -0.50%      0.25       99.40       99.60      -",
    ]


def test_a_tick_as_json():
    each = batch(tick(bid=99.0, mode=Mode.TICK, metadata={"venue": "X"}), sequence=7)
    assert tick_json(each.ticks[0], each) == {
        "symbol": "AAPL",
        "timestamp_ms": NOW // 1_000_000,
        "timestamp_ns": NOW,
        "price": 100.0,
        "volume": 10.0,
        "bid": 99.0,
        "ask": None,
        "bid_size": None,
        "ask_size": None,
        "mode": "TICK",
        "metadata": {"venue": "X"},
        "batch_sequence": 7,
        "batch_timestamp_ms": NOW // 1_000_000,
        "is_snapshot": False,
        "publish_time_ns": NOW - 250_000,
        "received_ns": NOW,
        "latency_ms": 0.25,
    }


def test_a_bar_as_json_has_its_prices_and_no_number_that_json_has_not():
    each = batch(tick(open=1.0, high=3.0, low=0.5, vwap=float("nan"), trade_count=4))
    found = tick_json(each.ticks[0], each)
    assert [found[name] for name in ("open", "high", "low", "vwap", "trade_count", "mode")] == [
        1.0,
        3.0,
        0.5,
        None,
        4,
        None,
    ]


def test_lines_end_after_the_count_and_events_are_told_elsewhere():
    output, told = io.StringIO(), []
    lines = Lines(watched(), _plain, output, told.append, 3)
    lines.event(Authenticated())
    assert lines.batch(batch()) is True
    assert lines.batch(batch(tick("A"), tick("B"))) is True
    assert lines.batch(batch(tick("A", 101.0), tick("B"))) is False
    lines.event(Gap(1, 2))
    lines.event(Disconnected(InvalidAuth("no"), None))  # its error is what ends the command
    assert [line.split()[1:4] for line in output.getvalue().splitlines()] == [
        ["A", "100.00", "0.00"],
        ["B", "100.00", "0.00"],
        ["A", "101.00", "+1.00"],
    ]
    assert told == ["tickstorm: logged in", "tickstorm: lost 2 batches: 1 to 2"]


def test_json_lines():
    output = io.StringIO()
    lines = Lines(watched(), _json, output, print, None)
    assert lines.batch(batch(tick("A"), tick("B"))) is True
    assert [json.loads(line)["symbol"] for line in output.getvalue().splitlines()] == ["A", "B"]


# Following.


class Script:
    """A client whose batches are given by the test."""

    def __init__(self, on_event):
        self.on_event = on_event
        self.closed = False
        self._waiting = None

    def __aiter__(self):
        return self

    def __anext__(self):
        self._waiting = Deferred()
        return self._waiting

    def give(self, each):
        self._waiting.callback(each)

    def fail(self, error):
        self._waiting.errback(error)

    async def close(self):
        self.closed = True


class Memory:
    """A sink that wants two batches."""

    refresh_interval = 1.0

    def __init__(self, error=None):
        self.batches, self.events, self.refreshed = [], [], 0
        self._error = error

    def event(self, event):
        self.events.append(event)

    def batch(self, each):
        self.batches.append(each)
        return len(self.batches) < 2

    def refresh(self):
        self.refreshed += 1
        if self._error is not None:
            raise self._error

    def close(self):
        raise AssertionError("not its task")


@pytest.fixture
def clock():
    return Clock()


def followed(clock, sink, seconds=None):
    clients, outcome = [], []

    def open_client(on_event):
        clients.append(Script(on_event))
        return clients[0]

    following = Following(clock, open_client, sink, seconds)
    Deferred.fromCoroutine(following.run()).addBoth(outcome.append)
    return following, clients[0], outcome


def ended_cleanly(clock, client, outcome):
    return outcome == [None] and client.closed and not clock.getDelayedCalls()


def test_it_ends_when_the_sink_wants_no_more(clock):
    sink = Memory()
    _, client, outcome = followed(clock, sink, 60)
    client.give(1)
    clock.pump([1] * 3)
    assert (outcome, sink.refreshed) == ([], 3)
    client.give(2)
    assert sink.batches == [1, 2]
    assert ended_cleanly(clock, client, outcome)


def test_it_ends_when_its_time_is_over(clock):
    sink = Memory()
    _, client, outcome = followed(clock, sink, 60)
    event = Subscribed("e1", 1, 15.0, 20.0)
    client.on_event(event)
    clock.advance(59.9)
    assert outcome == []
    clock.advance(0.1)
    assert sink.events == [event]
    assert ended_cleanly(clock, client, outcome)


def test_a_time_that_is_over_before_the_subscription_is_an_error(clock):
    _, client, outcome = followed(clock, Memory(), 0.5)
    client.on_event(Authenticated())
    clock.advance(0.5)
    (failure,) = outcome
    assert failure.check(NeverSubscribed)
    assert failure.getErrorMessage() == "no subscription within 0.5 s"
    assert client.closed


def test_it_ends_when_it_is_told_to(clock):
    following, client, outcome = followed(clock, Memory())
    following.stop()
    following.stop()
    assert ended_cleanly(clock, client, outcome)


@pytest.mark.parametrize("error", [InvalidAuth("no"), BrokenPipeError()])
def test_what_ends_the_client_comes_out(clock, error):
    _, client, outcome = followed(clock, Memory())
    client.fail(error)
    assert [failure.value for failure in outcome] == [error]
    assert client.closed
    assert not clock.getDelayedCalls()


def test_what_a_refresh_raises_comes_out(clock):
    error = OSError("full")
    _, client, outcome = followed(clock, Memory(error))
    clock.advance(1)
    assert [failure.value for failure in outcome] == [error]
    assert client.closed
