"""A place: what is known of its worker, and nothing of the one before it."""

import socket
from contextlib import closing
from itertools import count

import pytest
from places import Filled, Link

from tickstorm.auction.reading import NOTHING as NO_BIDDERS
from tickstorm.metrics import Metrics
from tickstorm.reading import NOTHING, Reading
from tickstorm.serving import WorkerReading
from tickstorm.workers.handover import PortKind, pair
from tickstorm.workers.link import AtAddress, Load, Report
from tickstorm.workers.place import SOON, Place
from tickstorm.workers.silence import Verdict
from tickstorm.workers.worker_process import WorkerProcess

SUBSCRIBERS, BIDDERS = PortKind


@pytest.fixture(name="filled")
def make_filled():
    """A place for 10 connections whose worker serves."""
    with closing(Filled(number=3, share=10)) as filled:
        yield filled


def hand(place, count=1, first_id=1, kind=SUBSCRIBERS):
    sockets = [socket.socket() for _ in range(count)]
    taken = place.hand(2, socket.AF_INET, first_id, sockets, kind)
    still_open = [each.fileno() >= 0 for each in sockets]
    for each in sockets:
        each.close()
    assert len(set(still_open)) == 1
    return taken, still_open[0]


def report(**fields):
    return Report(Reading(7, 0, 0, {}, Metrics()), cpu_seconds=1.5, resident_bytes=4096, **fields)


def test_an_empty_place():
    place = Place(3, 10)
    assert (place.link, place.placements, place.takes, place.room(SUBSCRIBERS)) == (
        None,
        None,
        False,
        10,
    )
    assert (place.reading, place.pid) == (NOTHING, 0)
    assert place.describe() == WorkerReading(3, 0, False, 0, 0, 0.0, 0)
    assert hand(place) == (False, True)


def test_a_worker_takes_once_it_serves():
    place = Place(1, 10)
    connections, taker = pair()
    with taker:
        link = Link()
        place.fill(link, connections, 5.0)
        assert (place.link, place.placements.link) == (link, link.outlet)
        assert (place.born_at, place.heard_in_time, place.takes) == (5.0, True, False)
        place.up = True
        assert place.takes
        place.let_go()
        assert (place.takes, place.leaving, place.link) == (False, True, link)
        place.empty()


def test_what_is_handed_over_is_closed_here_and_takes_room(filled):
    assert hand(filled.place, 4, first_id=7) == (True, False)
    assert filled.place.room(SUBSCRIBERS) == 6
    assert filled.take() == [(2, socket.AF_INET, [7, 8, 9, 10])]


def test_room_is_what_its_worker_says_less_what_is_on_its_way(filled):
    hand(filled.place, 4)
    hand(filled.place, 2)
    filled.place.take_load(Load(handed=4, open=3))  # one is closed, two have not arrived
    assert filled.place.room(SUBSCRIBERS) == 10 - 3 - 2
    filled.place.take_load(Load(handed=6, open=5))
    assert filled.place.room(SUBSCRIBERS) == 5
    filled.place.take_load(Load(handed=6, open=0))
    assert filled.place.room(SUBSCRIBERS) == 10


def test_a_worker_may_be_more_than_full(filled):
    hand(filled.place, 12)
    assert filled.place.room(SUBSCRIBERS) == -2


def test_what_is_not_taken_stays_open_and_takes_no_room(filled):
    filled.block()
    assert hand(filled.place, 3) == (False, True)
    assert filled.place.room(SUBSCRIBERS) == 10


def test_nor_when_its_worker_is_gone(filled):
    filled.taker.close()
    assert hand(filled.place, 3) == (False, True)
    assert filled.place.room(SUBSCRIBERS) == 10


def test_how_it_is(filled):
    filled.place.process = WorkerProcess(1234, None)
    filled.place.take_load(Load(9, 7))
    assert filled.place.describe() == WorkerReading(3, 1234, True, 0, 7, 0.0, 0)
    filled.place.take_report(report())
    assert filled.place.describe() == WorkerReading(3, 1234, True, 0, 7, 1.5, 4096)
    assert filled.place.reading == report()[0]._replace(metrics=filled.place.reading.metrics)


class Busy:
    """A process that works more than ever whenever it is looked at."""

    pid = 1234

    def __init__(self):
        self._looks = count(1)

    def cpu_seconds(self):
        return float(next(self._looks))


def be_silent(place):
    """Let its worker say nothing until that is noticed."""
    while (verdict := place.stay_silent(1.0)) is Verdict.WELL:
        pass
    return verdict


def test_a_worker_that_says_nothing_because_it_works_takes_nothing_until_it_is_heard_of(filled):
    filled.place.process = Busy()
    assert be_silent(filled.place) is Verdict.BUSY
    assert (filled.place.takes, filled.place.awaited) == (False, False)
    filled.place.take_report(report())
    assert (filled.place.takes, filled.place.heard_in_time) == (True, True)
    assert filled.place.stay_silent(1.0) is Verdict.WELL


def test_one_whose_process_is_not_known_does_no_work(filled):
    assert be_silent(filled.place) is Verdict.HANGS


def test_nothing_is_left_of_a_worker_that_is_gone(filled):
    place = filled.place
    place.process = WorkerProcess(1234, None)
    place.count(AtAddress("10.0.0.1", 2))
    place.drained, place.fault, place.exit = True, "why", -9
    place.restarts, place.wait = 3, 0.8
    hand(place, 5)
    place.take_load(Load(5, 5))
    place.take_report(report())
    be_silent(place)
    place.let_go()
    place.empty()
    assert (place.link, place.placements, place.room(SUBSCRIBERS), place.takes) == (
        None,
        None,
        10,
        False,
    )
    assert (place.by_address, place.reading, place.leaving) == ({}, NOTHING, False)
    assert (place.drained, place.fault, place.exit) == (False, "", None)
    assert (place.process, place.heard_in_time) == (None, True)
    assert place.describe() == WorkerReading(3, 0, False, 3, 0, 0.0, 0)
    assert place.wait == 0.8  # it is the place's, not the worker's


def test_the_way_to_a_worker_is_closed_with_it(filled):
    taker = filled.taker
    filled.place.empty()
    with pytest.raises(BrokenPipeError):
        taker.send(b"nobody")


def test_an_address_that_has_no_connection_any_more_is_forgotten(filled):
    for key, change in (("a", 2), ("b", 1), ("a", -1), ("b", -1)):
        filled.place.count(AtAddress(key, change))
    assert dict(filled.place.by_address) == {SUBSCRIBERS: {"a": 1}}


@pytest.mark.parametrize(
    ("state", "awaited"),
    [
        ({}, True),
        ({"wait": SOON}, True),
        ({"wait": 2 * SOON}, False),
        ({"leaving": True}, False),
        ({"up": True}, False),  # it is there
        ({"up": True, "leaving": True, "wait": 2 * SOON}, False),
    ],
    ids=str,
)
def test_a_worker_is_awaited_that_is_to_come_within_moments(filled, state, awaited):
    filled.place.up = False
    for name, value in state.items():
        setattr(filled.place, name, value)
    assert filled.place.awaited is awaited


# Two kinds.


def test_each_kind_of_connection_has_its_own_room(filled):
    hand(filled.place, 4)
    hand(filled.place, 3, kind=BIDDERS)
    assert [filled.place.room(kind) for kind in (SUBSCRIBERS, BIDDERS)] == [6, 7]
    filled.place.take_load(Load(3, 1, BIDDERS))
    assert [filled.place.room(kind) for kind in (SUBSCRIBERS, BIDDERS)] == [6, 9]
    filled.place.take_load(Load(4, 4))
    assert filled.place.describe().connections == 5


def test_each_kind_is_counted_by_address_by_itself(filled):
    for at in (AtAddress("a", 1), AtAddress("a", 2, BIDDERS), AtAddress("b", 1, BIDDERS)):
        filled.place.count(at)
    assert filled.place.by_address == {SUBSCRIBERS: {"a": 1}, BIDDERS: {"a": 2, "b": 1}}


def test_what_its_worker_said_of_its_bidders(filled):
    assert filled.place.bidders == NO_BIDDERS
    filled.place.take_report(report())
    assert filled.place.bidders == NO_BIDDERS
    said = NO_BIDDERS._replace(connections=3)
    filled.place.take_report(report(bidders=said))
    assert filled.place.bidders == said
    filled.place.empty()
    assert filled.place.bidders == NO_BIDDERS
