"""Numbers, times and strangers' strings as people read them."""

from math import inf, nan

import pytest

from tickstorm.client import (
    Authenticated,
    Disconnected,
    Gap,
    GoAway,
    Repeated,
    Restarted,
    ServerError,
    Silent,
    Subscribed,
)
from tickstorm.commands.event_text import error_line, event_line
from tickstorm.commands.text import (
    age,
    amount,
    counted,
    milliseconds,
    money,
    number,
    places,
    printable,
    signed,
    wall_time,
)
from tickstorm.errors import InvalidAuth, ProtocolError


def test_what_would_command_a_terminal_is_escaped():
    assert printable("AAPL é") == "AAPL é"
    assert printable("a\x1b[2Jb\n\u202e") == "a\\x1b[2Jb\\n\\u202e"


@pytest.mark.parametrize(
    ("time_ns", "digits", "text"),
    [
        (0, 3, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_123_456_789, 3, "2023-11-14T22:13:20.123Z"),
        (1_700_000_000_123_456_789, 9, "2023-11-14T22:13:20.123456789Z"),
        (-1, 3, "1969-12-31T23:59:59.999Z"),
        (2**63 * 1_000_000, 3, str(2**63 * 1_000_000)),
    ],
)
def test_wall_time(time_ns, digits, text):
    assert wall_time(time_ns, digits) == text


@pytest.mark.parametrize(
    ("price", "digits"),
    [(100, 2), (0.5, 2), (189.91, 2), (0.0123, 4), (1.234567891, 6), (nan, 2), (inf, 2)],
)
def test_places(price, digits):
    assert places(price) == digits


def test_money_knows_no_zero():
    assert (money(189.9, 2), money(0.0, 2)) == ("189.90", "-")


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.125, "+0.12"), (-3.0, "-3.00"), (0.0, "0.00"), (-0.001, "0.00"), (0.001, "0.00")],
)
def test_signed(difference, text):
    assert signed(difference, 2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.25, "0.25"),
        (1200.0, "1200"),
        (9999.5, "9999.5"),
        (10_000.0, "10.00k"),
        (999_994.0, "999.99k"),
        (999_996.0, "1.00M"),
        (136_100_000.0, "136.10M"),
        (5e9, "5.00G"),
    ],
)
def test_amount(value, text):
    assert amount(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (99.4, "99s"),
        (99.6, "2m"),
        (5940, "99m"),
        (6000, "2h"),
        (170_000, "47h"),
        (172_800, "2d"),
    ],
)
def test_age(seconds, text):
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.309, "0.31"),
        (9.999, "10.0"),
        (-12.34, "-12.3"),
        (99.96, "100"),
        (1234.4, "1234"),
    ],
)
def test_milliseconds(value, text):
    assert milliseconds(value) == text


def test_counted():
    assert [counted(1, "batch", "batches"), counted(1200, "tick")] == ["1 batch", "1,200 ticks"]


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5"), (0.1, "0.1"), (1e-7, "1e-07"), (1e300, "1e+300")]
)
def test_number_reads_back(value, text):
    assert number(value) == text
    assert float(text) == value


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Authenticated(), "logged in"),
        (Subscribed("e1", 5, 15.0, 20.0), "subscribed, epoch e1, next batch 5"),
        (Subscribed("", None, 15.0, 20.0), "subscribed"),
        (
            Subscribed("e1", 5, 15.0, 20.0, recovered=True),
            "subscribed, epoch e1, next batch 5, recovered",
        ),
        (
            Subscribed("e1", 5, 15.0, 20.0, recovered=False),
            "subscribed, epoch e1, next batch 5, not all recovered",
        ),
        (Gap(7, 7), "lost 1 batch: 7"),
        (Gap(7, 9, 1, "drop\x07ed"), "lost 3 batches: 7 to 9, drop\\x07ed (1 tick)"),
        (Gap(7, 9, 1200, "conflated"), "lost 3 batches: 7 to 9, conflated (1,200 ticks)"),
        (GoAway(1_500, "deploy"), ""),
        (Gap(2**32 - 1, 1), "lost 3 batches: 4294967295 to 1"),
        (Restarted(), "the stream began anew: what was missed before cannot be counted"),
        (Repeated(4), "batch 4 came again and was dropped"),
        (Disconnected(OSError("refused."), 2.345), "disconnected, again in 2.3 s: refused"),
        (Disconnected(TimeoutError(), None), "disconnected: TimeoutError"),
        (ServerError(InvalidAuth("no"), retryable=False), ""),
        (Silent(20.0), ""),
    ],
)
def test_events(event, line):
    assert event_line(event) == line


def test_errors_are_one_line_with_their_code():
    assert error_line(InvalidAuth("wrong\x07", "name")) == "INVALID_AUTH: wrong\\x07 (name)"
    assert error_line(ProtocolError("error 99: what")) == "UNSPECIFIED: error 99: what"
    assert error_line(OSError("one\ntwo")) == "one two"
