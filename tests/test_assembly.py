"""What the settings make of the parts of a server."""

from dataclasses import replace

import pytest
from conversation import Server
from listening import Listener, wants

from tickstorm.assembly import make_hub
from tickstorm.errors import TooManyIntervals
from tickstorm.fanout import FanOut
from tickstorm.history import HistoryLimits
from tickstorm.settings import Settings
from tickstorm.subscriptions import Mode


def hub_of(**settings):
    return make_hub(replace(Settings(), **settings), "epoch-1", Server().clock, 4)


def test_a_hub_has_what_the_settings_say_of_it():
    hub = hub_of(history=5.0, history_bytes=3000, history_stream_bytes=2000, max_intervals=1)
    assert hub.history.limits == HistoryLimits(5.0, 2000, 3000, 1000)
    assert (hub.epoch, hub.slots) == ("epoch-1", 4)
    feed = FanOut(hub, Server().clock)
    Listener(feed, wants(100))
    with pytest.raises(TooManyIntervals):
        Listener(feed, wants(200))


def test_unless_they_say_otherwise_a_minute_is_kept_and_there_may_be_32_intervals():
    hub = hub_of()
    assert hub.history.limits == HistoryLimits(60.0, 4 * 2**20, 64 * 2**20, 1000)
    feed = FanOut(hub, Server().clock)
    for interval in range(100, 132):
        Listener(feed, wants(interval))
    with pytest.raises(TooManyIntervals):
        Listener(feed, wants(132))


def test_without_a_history_nothing_is_kept():
    hub = hub_of(history=0.0)
    Listener(FanOut(hub, Server().clock), wants(Mode.SECOND)).leave()
    assert len(hub.streams[1000]) == 0
