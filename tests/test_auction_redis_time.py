"""The clock of a server of Redis, as it is known here."""

from twisted.internet.task import Clock

from tickstorm.auction.redis_time import RedisClock


def test_it_goes_on_from_what_was_heard_last():
    local = Clock()
    clock = RedisClock(local.seconds, lambda: 1_000_000)
    assert clock.now_ms() == 1_000_000  # nothing was heard yet
    local.advance(1.5)
    assert clock.now_ms() == 1_001_500
    clock.heard(5_000_000)
    local.advance(0.25)
    assert clock.now_ms() == 5_000_250
    clock.heard_reply([b"4000", b"123999"])
    assert clock.now_ms() == 4_000_123
