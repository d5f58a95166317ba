"""Health: every way to be well or not, from the readings alone."""

import subprocess
import sys
from math import inf

import pytest

from tickstorm.web.health import Health, HealthLimits, Status, Verdict

OK, DEGRADED, STOPPING = Status.OK, Status.DEGRADED, Status.STOPPING
NOT_ACCEPTING = "no connections are accepted"
OLD_SWEEP = "the last sweep is 10.1 s old, over 10 s"
OLD_TICK = "the last tick is 30.1 s old, over 30 s"
NO_TICK = "there was no tick yet"


def judge(sweep_age, feed_age, accepting=True, stopping=False, limits=HealthLimits()):
    health = Health(0.0, limits)
    health.accepting, health.stopping = accepting, stopping
    return health.judge(sweep_age, feed_age)


@pytest.mark.parametrize(
    ("readings", "verdict"),
    [
        ((0.0, 0.0), Verdict(True, OK, ())),
        ((10.0, 30.0), Verdict(True, OK, ())),
        ((10.1, 0.0), Verdict(False, DEGRADED, (OLD_SWEEP,))),
        ((0.0, 30.1), Verdict(True, DEGRADED, (OLD_TICK,))),
        ((0.0, inf), Verdict(True, DEGRADED, (NO_TICK,))),
        ((0.0, 0.0, False), Verdict(True, DEGRADED, (NOT_ACCEPTING,))),
        ((10.1, 30.1, False), Verdict(False, DEGRADED, (NOT_ACCEPTING, OLD_SWEEP, OLD_TICK))),
        ((0.0, 0.0, True, True), Verdict(True, STOPPING, ("the server is stopping",))),
        ((99.0, inf, False, True), Verdict(True, STOPPING, ("the server is stopping",))),
    ],
)
def test_the_verdict_follows_from_the_readings(readings, verdict):
    assert judge(*readings) == verdict


def test_a_server_that_has_something_wrong_is_not_ready():
    assert judge(0.0, 0.0).ready
    assert not judge(10.1, 0.0).ready
    assert not judge(0.0, 0.0, True, True).ready


def test_what_is_wrong_with_all_servers_is_no_reason_to_go_to_another():
    health = Health(0.0)
    health.accepting = True
    verdict = health.judge(0.0, 0.0, shared=["the store is away"])
    assert verdict == Verdict(True, DEGRADED, (), ("the store is away",))
    assert verdict.ready
    assert not health.judge(10.1, 0.0, shared=["the store is away"]).ready


def test_a_feed_may_be_allowed_to_fall_silent():
    limits = HealthLimits(feed_timeout=0)
    assert judge(0.0, 1e6, limits=limits) == Verdict(True, OK, ())
    assert judge(0.0, inf, limits=limits) == Verdict(True, OK, ())


def test_a_server_that_has_not_been_told_to_listen_does_not_accept():
    assert Health(0.0).judge(0.0, 0.0) == Verdict(True, DEGRADED, (NOT_ACCEPTING,))


def test_the_rule_does_not_load_twisted():
    program = "import sys, tickstorm.web.health; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"
