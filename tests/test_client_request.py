"""What an application asks for: arguments in, a request out, or one error that says why not."""

import pytest

import tickstorm
from tickstorm.client.request import Request, make_request
from tickstorm.messages import Login
from tickstorm.subscriptions import Mode, Overload, Position, Subscription


def test_with_nothing_but_a_name():
    assert make_request("ann", "secret") == Request(
        Login("ann", "secret", "", tickstorm.__version__), Subscription(Mode.SECOND), True
    )


def test_with_all_that_there_is():
    assert make_request(
        "ann",
        "secret",
        Mode.MINUTE,
        ["EUR*", "ACME", "EUR*"],
        interval=0.25,
        snapshot=True,
        overload=Overload.CONFLATE,
        resume=False,
        resume_from=Position("e", 2**32 - 1),
        client_id="screen",
    ) == Request(
        Login("ann", "secret", "screen", tickstorm.__version__),
        Subscription(
            Mode.MINUTE,
            frozenset({"EUR*", "ACME"}),
            snapshot=True,
            interval_ms=250,
            overload=Overload.CONFLATE,
            resume=Position("e", 2**32 - 1),
        ),
        False,
    )


def test_with_a_beginning_in_the_past():
    assert make_request("ann", "", start_time_ms=5).subscription == Subscription(
        Mode.SECOND, start_time_ms=5
    )


@pytest.mark.parametrize("pair", [("e", 5), ["e", 5], Position("e", 5)])
def test_any_pair_is_a_position(pair):
    resume = make_request("ann", "", resume_from=pair).subscription.resume
    assert (type(resume), resume) == (Position, Position("e", 5))


@pytest.mark.parametrize(
    ("interval", "interval_ms"), [(0.01, 10), (0.29, 290), (1, 1000), (3600.0, 3_600_000)]
)
def test_intervals_are_whole_milliseconds(interval, interval_ms):
    assert make_request("ann", "", interval=interval).subscription.interval_ms == interval_ms


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"symbols": "ACME"}, TypeError, "symbols is the string 'ACME'"),
        ({"mode": "tick"}, TypeError, "mode is 'tick': give a Mode, such as Mode.TICK"),
        ({"mode": 7}, TypeError, "mode is 7: give a Mode"),
        ({"mode": None}, TypeError, "mode is None: give a Mode"),
        ({"overload": "conflate"}, TypeError, "overload is 'conflate': give an Overload, such as"),
        ({"overload": 9}, TypeError, "overload is 9: give an Overload"),
        ({"start_time_ms": 1.5}, TypeError, "start_time_ms is 1.5: give a whole number"),
        ({"resume_from": "x"}, TypeError, "resume_from is 'x': give a Position"),
        ({"resume_from": 5}, TypeError, "resume_from is 5: give a Position"),
        ({"resume_from": ("x", 5, 6)}, TypeError, r"resume_from is \('x', 5, 6\): give a Position"),
        ({"resume_from": (5, "x")}, TypeError, r"resume_from is \(5, 'x'\): give a Position"),
        (
            {"resume_from": ("x", "5")},
            TypeError,
            "the sequence of resume_from is '5': give a whole",
        ),
        ({"symbols": []}, ValueError, "symbols is empty"),
        ({"symbols": map(str, range(101))}, ValueError, "symbols is 101 of them, over 100"),
        ({"symbols": ["A", "b"]}, ValueError, "symbols has 'b', neither"),
        ({"symbols": ["*A"]}, ValueError, r"symbols has '\*A', neither"),
        ({"interval": 0.009}, ValueError, "interval 0.009 is not 0.01 to 3600 s"),
        ({"interval": 3601}, ValueError, "interval 3601 is not 0.01 to 3600 s"),
        ({"interval": float("nan")}, ValueError, "interval nan is not"),
        ({"interval": 0.0105}, ValueError, "interval 0.0105 is not in whole milliseconds"),
        ({"interval": 1, "mode": Mode.TICK}, ValueError, "interval is of bars, and TICK has none"),
        ({"mode": Mode.INTERVAL}, ValueError, "interval is missing"),
        ({"start_time_ms": -1}, ValueError, "start_time_ms -1 is not 0 to"),
        ({"start_time_ms": 2**63}, ValueError, "start_time_ms 9223372036854775808 is not 0 to"),
        (
            {"start_time_ms": 1, "resume_from": Position("e", 1)},
            ValueError,
            "start_time_ms and resume_from are two beginnings",
        ),
        ({"resume_from": Position("", 1)}, ValueError, "an epoch that is not 1 to 64 characters"),
        ({"resume_from": Position("e" * 65, 1)}, ValueError, "an epoch that is not 1 to 64"),
        ({"resume_from": Position("e", 2**32)}, ValueError, "the sequence 4294967296, not 0 to"),
    ],
)
def test_what_cannot_be_asked_for(arguments, error, text):
    with pytest.raises(error, match=text):
        make_request("ann", "", **arguments)
