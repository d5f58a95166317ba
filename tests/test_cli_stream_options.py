"""What a command is told of the stream to follow, as the target that it makes of it."""

import time

import click
import pytest
from click.testing import CliRunner

from tickstorm.commands.stream_options import (
    Target,
    following_options,
    make_target,
    refine,
    stream_options,
)
from tickstorm.subscriptions import Mode, Overload

PLAIN = Target("a:1", "ann", "secret", Mode.SECOND, None)


def told(*arguments, mode="second"):
    """What a command with this default mode makes of the arguments: a target, or its last line."""
    targets = []

    @click.command
    @stream_options(mode)
    @following_options
    def command(*, user, password, mode, symbols, count, seconds, **options):
        targets.append(refine(make_target("a:1", user, password, mode, symbols), **options))

    done = CliRunner().invoke(command, ["--user", "ann", "--password", "secret", *arguments])
    return targets[0] if targets else done.stderr.splitlines()[-1]


def test_with_nothing():
    assert told() == PLAIN
    assert told(mode="tick") == PLAIN._replace(mode=Mode.TICK)


def test_with_all():
    found = told(
        *("--symbols", "eur*,ACME", "--mode", "minute", "--interval", "250ms"),
        *("--since", "2025-01-05T09:30:00.25Z", "--overload", "drop-oldest"),
    )
    assert found == Target(
        "a:1",
        "ann",
        "secret",
        Mode.MINUTE,
        frozenset({"EUR*", "ACME"}),
        0.25,
        Overload.DROP_OLDEST,
        1_736_069_400_250,
    )


@pytest.mark.parametrize("policy", Overload)
def test_each_policy(policy):
    assert told("--overload", policy.name.lower().replace("_", "-")).overload is policy


@pytest.mark.parametrize(
    ("text", "interval"), [("10ms", 0.01), ("1m30s", 90.0), ("1h", 3600.0), ("5", 5.0)]
)
def test_intervals(text, interval):
    assert told("--interval", text).interval == interval


def test_an_interval_is_of_bars():
    assert told("--interval", "5s", mode="tick").mode is Mode.SECOND
    assert told("--interval", "5s", "--mode", "tick") == (
        "Error: --interval is of bars, and --mode tick has none."
    )


def test_since_a_while_ago():
    before = time.time_ns() // 1_000_000
    found = told("--since", "10m").start_time_ms
    after = time.time_ns() // 1_000_000
    assert before - 600_000 <= found <= after - 600_000


@pytest.mark.parametrize("text", ["2262-01-01T00:00:00Z", "9000000000"])
def test_since_a_time_that_is_to_come(text):
    assert told("--since", text).endswith(f"{text!r} is in the future")


def test_since_a_number_of_the_epoch():
    assert told("--since", "1767605400").start_time_ms == 1_767_605_400_000


def test_symbols_count_once():
    hundred = [f"S{n}" for n in range(100)]
    assert told("--symbols", ",".join([*hundred, "s7"])).symbols == frozenset(hundred)
    assert told("--symbols", ",".join([*hundred, "S100"])).endswith("101 symbols are over 100")
