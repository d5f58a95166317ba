"""Who may come in: every rule at its edge, and every table bounded."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.admission import AdmissionLimits, Door, LoginFailures, Rejection, counted_as
from tickstorm.errors import RateLimited


def door(**limits):
    for name in ("allow", "block"):
        limits[name] = tuple(map(ip_network, limits.get(name, ())))
    return Door(AdmissionLimits(**limits))


def failures(**limits):
    return LoginFailures(AdmissionLimits(**limits))


def test_who_may_come_in_by_default():
    assert AdmissionLimits() == AdmissionLimits(
        max_connections=100_000,
        max_connections_per_address=0,
        allow=(),
        block=(),
        max_login_failures=10,
        login_failure_window=60.0,
        max_addresses=10_000,
    )


# What an address shares its limits with.


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:A00:1", "10.0.0.1"),
        ("0:0:0:0:0:ffff:a00:1", "10.0.0.1"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("2001:db8:1:2::10.0.0.1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::10.0.0.1", "::/64"),
        ("", ""),
        ("unix", "unix"),
        ("/run/tickstorm:1.sock", "/run/tickstorm:1.sock"),
        (":", ":"),
        ("::ffff:10.0.0.256", "::ffff:10.0.0.256"),
        ("::/64", "::/64"),
    ],
)
def test_what_an_address_is_counted_as(address, expected):
    assert counted_as(address) == expected


@given(st.ip_addresses())
def test_every_address_is_counted_as_a_network_that_it_is_in(ip):
    counted = ip_network(counted_as(str(ip)))
    mapped = getattr(ip, "ipv4_mapped", None)
    assert (mapped or ip) in counted
    assert counted.prefixlen == (64 if ip.version == 6 and mapped is None else 32)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_written_as_ipv6_is_the_same(ip):
    assert counted_as(f"::ffff:{ip}") == counted_as(str(ip)) == str(ip)


# The door.


def test_the_limit_of_connections_in_all():
    entrance = door(max_connections=2)
    assert [entrance.enter(a) for a in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "unix")] == [
        None,
        None,
        Rejection.TOO_MANY,
        Rejection.TOO_MANY,
    ]
    assert entrance.total == 2
    entrance.leave("10.0.0.1")
    assert (entrance.total, entrance.enter("10.0.0.3"), entrance.total) == (1, None, 2)


def test_no_connection_at_all():
    assert door(max_connections=0).enter("10.0.0.1") is Rejection.TOO_MANY


def test_the_limit_of_connections_of_an_address():
    entrance = door(max_connections_per_address=2)
    assert [entrance.enter("10.0.0.1") for _ in range(3)] == [
        None,
        None,
        Rejection.TOO_MANY_FROM_ADDRESS,
    ]
    assert (entrance.enter("10.0.0.2"), entrance.total) == (None, 3)
    entrance.leave("10.0.0.1")
    assert [entrance.enter("10.0.0.1") for _ in range(2)] == [
        None,
        Rejection.TOO_MANY_FROM_ADDRESS,
    ]


def test_an_address_has_no_limit_of_its_own_unless_it_is_set():
    entrance = door()
    assert {entrance.enter("10.0.0.1") for _ in range(500)} == {None}


@pytest.mark.parametrize("peer", ["", "unix", "/run/tickstorm.sock"])
def test_a_peer_without_an_ip_address_has_only_the_limit_in_all(peer):
    entrance = door(
        max_connections=3, max_connections_per_address=1, allow=["10.0.0.0/8"], block=["::/0"]
    )
    assert [entrance.enter(peer) for _ in range(4)] == [None, None, None, Rejection.TOO_MANY]


BLOCKED, NOT_ALLOWED = Rejection.BLOCKED, Rejection.NOT_ALLOWED


@pytest.mark.parametrize(
    ("allow", "block", "address", "expected"),
    [
        ([], ["10.0.0.0/8"], "10.255.255.255", BLOCKED),
        ([], ["10.0.0.0/8"], "11.0.0.0", None),
        ([], ["10.0.0.1"], "10.0.0.1", BLOCKED),
        ([], ["10.0.0.1"], "10.0.0.2", None),
        (["10.0.0.0/8"], [], "10.0.0.0", None),
        (["10.0.0.0/8"], [], "9.255.255.255", NOT_ALLOWED),
        (["10.0.0.0/8", "192.168.0.0/16"], [], "192.168.1.1", None),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.1.2.3", BLOCKED),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.2.2.3", None),
        (["10.1.0.0/16"], ["10.0.0.0/8"], "10.1.2.3", BLOCKED),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "12.0.0.1", NOT_ALLOWED),
        ([], ["2001:db8::/32"], "2001:db8::1", BLOCKED),
        ([], ["2001:db8::/32"], "2001:DB8:0:0::1", BLOCKED),
        ([], ["2001:db8::/32"], "2001:db9::1", None),
        (["2001:db8::/32"], [], "10.0.0.1", NOT_ALLOWED),
        (["10.0.0.0/8"], [], "2001:db8::1", NOT_ALLOWED),
        (["fe80::/10"], [], "fe80::1%eth0", None),
        ([], ["0.0.0.0/0"], "::1", None),
        ([], ["10.0.0.0/8"], "::ffff:10.1.2.3", BLOCKED),
        ([], ["10.0.0.0/8"], "::ffff:a01:203", BLOCKED),
        (["10.0.0.0/8"], [], "::ffff:10.1.2.3", None),
        (["10.0.0.0/8"], [], "::ffff:11.1.2.3", NOT_ALLOWED),
    ],
)
def test_allowed_and_blocked_networks(allow, block, address, expected):
    entrance = door(allow=allow, block=block)
    assert (entrance.enter(address), entrance.total) == (expected, int(expected is None))


def test_nobody_comes_in_through_a_shut_door():
    entrance = door(max_connections=1, block=["10.0.0.1"])
    entrance.enter("10.0.0.2")
    entrance.shut()
    assert [entrance.enter(address) for address in ("10.0.0.1", "10.0.0.2", "unix")] == [
        Rejection.SHUTTING_DOWN
    ] * 3
    assert entrance.total == 1
    entrance.leave("10.0.0.2")
    assert (entrance.enter("10.0.0.3"), entrance.total) == (Rejection.SHUTTING_DOWN, 0)


def test_who_is_in_is_counted_when_addresses_begin_to_be_limited():
    entrance, told = Door(AdmissionLimits()), []
    entrance.on_change = lambda *change: told.append(change)
    inside = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"]
    for address in inside:
        entrance.enter(address)
    assert told == []
    limited = AdmissionLimits(max_connections_per_address=2)
    entrance.change(limited, inside)
    assert told == [("10.0.0.1", 2), ("10.0.0.2", 1), ("2001:db8::/64", 2)]
    assert entrance.enter("10.0.0.1") is Rejection.TOO_MANY_FROM_ADDRESS
    assert entrance.enter("10.0.0.2") is None
    told.clear()
    entrance.change(limited._replace(max_connections_per_address=3), [*inside, "10.0.0.2"])
    assert (entrance.enter("10.0.0.2"), told) == (None, [("10.0.0.2", 1)])
    entrance.change(AdmissionLimits(), [*inside, "10.0.0.2", "10.0.0.2"])
    assert (entrance.enter("10.0.0.2"), entrance.total, len(told)) == (None, 8, 1)


def test_a_full_server_says_so_before_anything_else():
    entrance = door(max_connections=0, block=["10.0.0.0/8"])
    assert entrance.enter("10.0.0.1") is Rejection.TOO_MANY


def test_a_blocked_address_is_told_so_before_it_is_counted():
    entrance = door(max_connections_per_address=1, block=["10.0.0.0/8"])
    assert [entrance.enter("10.0.0.1") for _ in range(3)] == [BLOCKED] * 3


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.2"),
        ("2001:db8::1", "2001:DB8:0:0:ff::1", "2001:db8:0:1::1"),
    ],
)
def test_an_address_is_one_however_it_is_written(address, same, other):
    entrance = door(max_connections_per_address=1)
    for first, second in ((address, same), (same, address)):
        assert entrance.enter(first) is None
        assert entrance.enter(second) is Rejection.TOO_MANY_FROM_ADDRESS
        entrance.leave(second)
        assert (entrance.total, dict(entrance._by_address)) == (0, {})
    assert [entrance.enter(each) for each in (address, other)] == [None, None]


def test_networks_are_asked_for_the_address_itself():
    entrance = door(allow=["2001:db8::/96"], block=["2001:db8::1/128"])
    addresses = ("2001:db8::1", "2001:db8::2", "2001:db8::1:0:0")
    assert [entrance.enter(address) for address in addresses] == [BLOCKED, None, NOT_ALLOWED]


def test_the_table_of_addresses_has_only_who_is_in():
    entrance = door(max_connections_per_address=1, block=["10.0.0.0/8"])
    for n in range(256):
        entrance.enter(f"10.0.0.{n}")
        entrance.enter(f"192.168.0.{n}")
        entrance.enter(f"192.168.0.{n}")
    assert (entrance.total, len(entrance._by_address)) == (256, 256)
    for n in range(256):
        entrance.leave(f"192.168.0.{n}")
    assert (entrance.total, len(entrance._by_address)) == (0, 0)


@given(st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "unix"]), max_size=40), st.data())
def test_who_is_in_is_always_who_entered_and_did_not_leave(addresses, data):
    entrance = door(max_connections=5, max_connections_per_address=3)
    inside = []
    for address in addresses:
        if entrance.enter(address) is None:
            inside.append(address)
        if inside and data.draw(st.booleans()):
            entrance.leave(inside.pop(0))
        assert entrance.total == len(inside) <= 5
        assert max(map(inside.count, ("10.0.0.1", "10.0.0.2"))) <= 3


# Failed logins.


def wait_ms(table, address, now):
    """What the check says: None if the login is let through, else its advice."""
    try:
        table.check(address, now)
    except RateLimited as error:
        return error.retry_after_ms
    return None


def test_ten_failures_within_a_minute():
    table = failures()
    for second in range(10):
        assert wait_ms(table, "10.0.0.1", float(second)) is None
        table.record("10.0.0.1", float(second))
    assert wait_ms(table, "10.0.0.1", 9.0) == 51_000
    with pytest.raises(RateLimited, match=r"^10 failed logins within 60 s$"):
        table.check("10.0.0.1", 9.0)
    assert wait_ms(table, "10.0.0.2", 9.0) is None


def test_other_limits_count_what_has_failed_before():
    table = failures()
    for second in range(10):
        table.record("10.0.0.1", float(second))
    table.change(AdmissionLimits(max_login_failures=12, login_failure_window=5.0))
    assert wait_ms(table, "10.0.0.1", 9.0) is None
    table.record("10.0.0.1", 9.0)
    table.record("10.0.0.1", 9.0)
    assert wait_ms(table, "10.0.0.1", 9.0) == 51_000  # for the oldest, as it was to be
    table.change(AdmissionLimits(max_login_failures=2, login_failure_window=5.0))
    assert wait_ms(table, "10.0.0.1", 9.0) == 5_000
    assert wait_ms(table, "10.0.0.1", 14.0) is None


def test_the_window_slides():
    table = failures()
    for second in range(10):
        table.record("10.0.0.1", float(second))
    assert wait_ms(table, "10.0.0.1", 59.75) == 250
    assert wait_ms(table, "10.0.0.1", 60.0) is None
    table.record("10.0.0.1", 60.0)
    assert wait_ms(table, "10.0.0.1", 60.0) == 1_000
    assert wait_ms(table, "10.0.0.1", 61.0) is None


def test_the_limit_and_the_window_can_be_set():
    table = failures(max_login_failures=1, login_failure_window=2.5)
    table.record("10.0.0.1", 0.0)
    with pytest.raises(RateLimited, match=r"^1 failed logins within 2\.5 s$") as caught:
        table.check("10.0.0.1", 1.0)
    assert caught.value.retry_after_ms == 1500
    table.check("10.0.0.1", 2.5)


@pytest.mark.parametrize(
    ("addresses", "other"),
    [
        (["10.0.0.1", "::ffff:10.0.0.1", "::ffff:a00:1"], "10.0.0.2"),
        ([f"2001:db8:0:0:{n}::1" for n in range(3)], "2001:db8:0:1::1"),
        (["unix"] * 3, "::1"),
    ],
)
def test_failures_of_one_address_count_together_however_it_is_written(addresses, other):
    table = failures(max_login_failures=3)
    for address in addresses:
        assert [wait_ms(table, each, 0.0) for each in addresses] == [None] * 3
        table.record(address, 0.0)
    assert [wait_ms(table, each, 0.0) for each in addresses] == [60_000] * 3
    assert (wait_ms(table, other, 0.0), len(table)) == (None, 1)
    assert [wait_ms(table, each, 60.0) for each in addresses] == [None] * 3
    assert len(table) == 0


def test_one_network_takes_the_place_of_no_other_addresses():
    table = failures(max_login_failures=1, max_addresses=2)
    table.record("10.0.0.1", 0.0)
    for n in range(100):
        table.record(f"2001:db8::{n}", 0.0)
    assert (len(table), wait_ms(table, "10.0.0.1", 0.0)) == (2, 60_000)


def test_failures_beyond_the_limit_lengthen_the_wait():
    table = failures()
    for second in range(15):
        table.record("10.0.0.1", float(second))
    assert wait_ms(table, "10.0.0.1", 15.0) == 50_000


@pytest.mark.parametrize(
    ("failed", "tried"),
    [
        (0.0, 59.9996),
        (0.0, 30.0006),
        (0.3, 60.3),
    ],
)
def test_who_waits_as_long_as_it_was_told_is_heard(failed, tried):
    table = failures()
    for _ in range(10):
        table.record("10.0.0.1", failed)
    told = wait_ms(table, "10.0.0.1", tried)
    assert told is None or told > 0
    assert wait_ms(table, "10.0.0.1", tried + (told or 0) / 1000) is None


def test_an_address_that_was_quiet_long_enough_is_forgotten_when_it_comes():
    table = failures()
    table.record("10.0.0.1", 0.0)
    assert len(table) == 1
    table.check("10.0.0.1", 60.0)
    assert len(table) == 0


def test_a_check_of_a_stranger_keeps_nothing():
    table = failures()
    table.check("10.0.0.1", 0.0)
    assert len(table) == 0


def test_only_so_many_addresses_are_remembered_and_the_longest_quiet_is_forgotten():
    table = failures(max_login_failures=1)
    for n in range(10_000):
        table.record(f"address {n}", 0.0)
    table.record("address 0", 1.0)
    table.record("one more", 1.0)
    assert len(table) == 10_000
    table.check("address 1", 1.0)
    for address in ("address 0", "address 2", "one more"):
        with pytest.raises(RateLimited):
            table.check(address, 1.0)


def test_each_address_keeps_only_as_many_times_as_the_limit():
    table = failures()
    for n in range(1000):
        table.record("10.0.0.1", n / 1000)
    assert [len(times) for times in table._forgotten_at.values()] == [10]
