"""The shares: how many workers, what each has of the connections, and when its turn is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.open_files import RESERVE
from tickstorm.stream_settings import Delivery
from tickstorm.workers.shares import (
    SLOTS,
    SLOTS_A_WORKER,
    shares,
    slots_of_period,
    slots_of_worker,
    worker_count,
)

ENOUGH = 2**30
workers = st.integers(1, 1024)


# How many there are.


@pytest.mark.parametrize("wanted", [0, 1, 7, 1024])
def test_a_number_is_that_number(wanted):
    assert worker_count(wanted, connections=1, cores=4, limit=ENOUGH) == wanted


@pytest.mark.parametrize(
    ("connections", "cores", "limit", "expected"),
    [
        (1, 1, ENOUGH, 1),
        (100_000, 4, ENOUGH, 4),
        (100_000, 4, RESERVE + 25_000, 4),
        (100_001, 4, RESERVE + 25_000, 5),
        (100_000, 2, RESERVE + 800, 125),
        (3, 1, RESERVE + 1, 3),
        (3, 1, 10, 3),
    ],
)
def test_auto_is_one_a_core_and_more_if_files_are_short(connections, cores, limit, expected):
    assert worker_count("auto", connections, cores, limit) == expected


# Connections.


@pytest.mark.parametrize(
    ("connections", "count", "expected"),
    [(10, 1, [10]), (10, 2, [5, 5]), (10, 3, [4, 3, 3]), (2, 4, [1, 1, 0, 0])],
)
def test_shares_are_equal_as_far_as_they_can_be(connections, count, expected):
    assert shares(connections, count, ENOUGH) == expected


def test_no_share_is_more_than_there_are_files_for():
    assert shares(10_000, 3, RESERVE + 1000) == [1000, 1000, 1000]


@given(st.integers(0, 10**7), workers, st.integers(1, ENOUGH))
def test_together_they_are_what_was_asked_for_or_what_there_is_room_for(connections, count, limit):
    given_out = shares(connections, count, limit)
    room = max(1, limit - RESERVE)
    assert len(given_out) == count
    assert sum(given_out) == min(connections, count * room) or max(given_out) == room
    assert max(given_out) - min(given_out) <= 1
    assert sum(given_out) <= connections
    assert max(given_out) <= room


# Slots of a period.


@pytest.mark.parametrize("count", [0, 1, 2, 1024])
def test_aligned_has_one(count):
    assert slots_of_period(Delivery.ALIGNED, count) == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, 200), (1, 200), (2, 500), (3, 1000), (5, 1000), (6, 200), (1024, 200)],
)
def test_spread_has_enough_for_turns_or_few_for_all(count, expected):
    assert slots_of_period(Delivery.SPREAD, count) == expected


def test_what_a_period_is_cut_into_divides_a_second_into_whole_milliseconds():
    assert [1000 % slots for slots in SLOTS] == [0] * len(SLOTS)
    assert SLOTS[0] == SLOTS_A_WORKER


def test_workers_take_turns():
    assert [slots_of_worker(number, 3, 1000)[:3] for number in (1, 2, 3)] == [
        (0, 3, 6),
        (1, 4, 7),
        (2, 5, 8),
    ]


@pytest.mark.parametrize(("count", "slots"), [(3, 1), (2, 200), (6, 200), (6, 1000)])
def test_if_turns_came_too_seldom_all_have_all(count, slots):
    assert slots_of_worker(count, count, slots) == tuple(range(slots))


@pytest.mark.parametrize("count", range(1, 40))
def test_each_has_a_moment_every_5_ms(count):
    slots = slots_of_period(Delivery.SPREAD, count)
    for number in range(1, count + 1):
        assert len(slots_of_worker(number, count, slots)) >= SLOTS_A_WORKER


@given(workers, st.sampled_from(SLOTS))
def test_every_slot_has_a_worker_and_every_worker_a_slot(count, slots):
    taken = [slots_of_worker(number, count, slots) for number in range(1, count + 1)]
    assert all(taken)
    assert {slot for each in taken for slot in each} == set(range(slots))
    assert sum(map(len, taken)) in (slots, slots * count)
