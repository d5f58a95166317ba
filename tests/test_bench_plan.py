"""plan: who opens what, and what this machine does not allow."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.bench.plan import (
    CONNECTIONS_PER_LOOPBACK_ADDRESS,
    RESERVED_FILES,
    Machine,
    Share,
    Wish,
    loopback_address,
    make_plan,
)
from tickstorm.errors import ConfigError

MACHINE = Machine(cores=2, files_per_process=1000 + RESERVED_FILES, files=100_000, ports=28_000)


def test_few_connections_are_one_process_with_one_address():
    assert make_plan(Wish(3, loopback=True), MACHINE) == (Share(0, 3, ("127.1.1.1",)),)


def test_elsewhere_the_kernel_chooses_the_address():
    assert make_plan(Wish(3), MACHINE) == (Share(0, 3, ()),)


def test_named_addresses_are_everybodys():
    plan = make_plan(Wish(5, 2, ("10.0.0.1", "10.0.0.2"), loopback=True), MACHINE)
    assert plan == (
        Share(0, 3, ("10.0.0.1", "10.0.0.2")),
        Share(3, 2, ("10.0.0.1", "10.0.0.2")),
    )


def test_a_process_for_each_core_but_one():
    roomy = MACHINE._replace(cores=4, files_per_process=50_000)
    assert [share.connections for share in make_plan(Wish(10_000), roomy)] == [3334, 3333, 3333]
    assert len(make_plan(Wish(1500), roomy)) == 2
    assert len(make_plan(Wish(10_000), roomy._replace(cores=1))) == 1


def test_there_are_no_processes_without_connections():
    assert make_plan(Wish(2, processes=5), MACHINE) == (Share(0, 1, ()), Share(1, 1, ()))


@given(
    st.integers(1, 50_000),
    st.none() | st.integers(1, 100),
    st.integers(1, 16),
    st.integers(RESERVED_FILES + 100, 20_000),
)
def test_every_plan_has_all_and_no_more_than_is_allowed(connections, processes, cores, files):
    machine = Machine(cores, files, 100_000, 28_000)
    wish = Wish(connections, processes, loopback=True)
    room = files - RESERVED_FILES
    if processes is not None and processes * room < connections:
        with pytest.raises(ConfigError, match=f"a process has at most {room:,}, as it may open"):
            make_plan(wish, machine)
        return
    shares = make_plan(wish, machine)
    sizes = [share.connections for share in shares]
    assert [share.first for share in shares] == [0, *accumulate(sizes)][:-1]
    assert sum(sizes) == connections
    assert all(0 < size <= room for size in sizes)
    sources = [source for share in shares for source in share.sources]
    assert len(set(sources)) == len(sources)
    assert all(
        share.connections <= len(share.sources) * CONNECTIONS_PER_LOOPBACK_ADDRESS
        for share in shares
    )


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(100_001), "100,001 connections are more than the 100,000 files"),
        (Wish(28_001), "a source address has 28,000 ports (net.ipv4.ip_local_port_range)"),
        (Wish(56_001, None, ("10.0.0.1", "10.0.0.2")), "give more of them with --source-address"),
        (Wish(1001, 1), "a process has at most 1,000, as it may open 1,064 files (ulimit -Hn)"),
    ],
)
def test_what_stands_in_the_way_is_said(wish, words):
    with pytest.raises(ConfigError) as caught:
        make_plan(wish, MACHINE)
    assert words in str(caught.value)


def test_a_machine_without_any_room():
    with pytest.raises(ConfigError, match="at most 0"):
        make_plan(Wish(1), MACHINE._replace(files_per_process=10))


def test_loopback_addresses():
    numbers = [0, 1, 249, 250, 62_499, 62_500, 255 * 62_500 - 1]
    assert [loopback_address(number) for number in numbers] == [
        "127.1.1.1",
        "127.1.1.2",
        "127.1.1.250",
        "127.1.2.1",
        "127.1.250.250",
        "127.2.1.1",
        "127.255.250.250",
    ]
