"""What a running server takes of settings that are read anew, and what it leaves."""

from dataclasses import fields, replace
from ipaddress import ip_network

import pytest

from tickstorm.auction.permits import read_bid_right
from tickstorm.declarations import Origin
from tickstorm.errors import ConfigError
from tickstorm.publishing import read_right
from tickstorm.reloading import HOLDS, Change, Holds, compare
from tickstorm.settings import SETTINGS, Settings
from tickstorm.stream_settings import Delivery

OTHERS = {
    "port": ("tcp:1",),
    "http": "",
    "source": (),
    "delivery": Delivery.SPREAD,
    "workers": 2,
    "log_format": "text",
    "log_level": "debug",
    "publishers": (read_right("alice:*"),),
    "allow": (ip_network("10.0.0.0/8"),),
    "block": (ip_network("10.1.0.0/16"),),
    "tcp_keepalive": False,
    "tls_client_auth": "optional",
    "tls_min_version": "1.2",
    "auction": ("tcp:2",),
    "auction_users": (read_bid_right("alice:*"),),
    "redis": "redis://other",
}
"""Other values than the defaults, where that is not a number or a text."""

ONE = Settings(username="alice", password="one")


def other(setting):
    """Another value than the default, or than that of ONE."""
    if setting.name in OTHERS:
        return OTHERS[setting.name]
    if isinstance(setting.default, bool):
        return not setting.default
    return "other" if isinstance(setting.default, str) else setting.default + 1


def test_the_table_has_every_setting_and_nothing_else():
    assert list(HOLDS) == [setting.name for setting in SETTINGS]
    assert {field.name for field in fields(Settings)} - {"origins"} == HOLDS.keys()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_taken_or_left_as_the_table_says(setting):
    read = replace(ONE, **{setting.name: other(setting)})
    left = HOLDS[setting.name] is Holds.RESTART
    assert compare(ONE, read) == Change(
        ONE if left else read,
        () if left else (setting.name,),
        (setting.name,) if left else (),
    )


def test_what_can_change_does_beside_what_cannot():
    read = replace(ONE, password="two", workers=4, block=OTHERS["block"])
    expected = replace(ONE, password="two", block=OTHERS["block"])
    assert compare(ONE, read) == Change(expected, ("password", "block"), ("workers",))


def test_nothing_has_changed():
    assert compare(ONE, ONE) == Change(ONE, (), ())


def test_what_does_not_go_with_what_stays_is_refused():
    running = replace(ONE, max_message_bytes=2**20)
    read = replace(
        ONE,
        max_message_bytes=40_000,
        max_write_queue_bytes=50_000,
        origins={"max_write_queue_bytes": Origin("max_write_queue_bytes", "new.toml")},
    )
    with pytest.raises(ConfigError) as caught:
        compare(running, read)
    assert str(caught.value) == (
        "max_write_queue_bytes in new.toml: 50000 must be at least 12 more than "
        "max_message_bytes, which is 1048576 (the default)"
    )


def test_each_value_says_where_it_came_from():
    old, new = Origin("a", "old.toml"), Origin("b", "new.toml")
    running = replace(ONE, origins={"workers": old, "block": old, "allow": old})
    read = replace(ONE, origins={"workers": new, "block": new, "delivery": new})
    assert compare(running, read).settings.origins == {"workers": old, "block": new}
