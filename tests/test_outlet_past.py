"""What an outlet is given of the past: ahead of what is live, whole, whatever the bounds say."""

import pytest
from conversation import Wire
from lagging import batch, told
from outlets import Direct, Owner, Peer, Wrapped
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from tickstorm.history import History, HistoryLimits
from tickstorm.outlet import FULL_BYTES, PIECE_BYTES, Outlet
from tickstorm.overload import BacklogLimits
from tickstorm.past import Copies, Past
from tickstorm.ring import Ring
from tickstorm.subscriptions import Overload

LIMITS = BacklogLimits(max_frames=8, max_bytes=4000, soft_bytes=4000)
MANY = 3000
"""Batches of the past: far beyond any bound of the queue."""


def batches(first, last):
    return [batch(number, ("A", float(number))) for number in range(first, last + 1)]


def got(first, last):
    return [(number, {"A": float(number)}) for number in range(first, last + 1)]


def past(frames):
    return Copies(frames).past()


PAST = batches(1, MANY)
PAST_BYTES = sum(map(len, PAST))


def replaying(policy=Overload.DISCONNECT, room=1000):
    """An outlet that was given the past, of which the socket took the beginning."""
    direct = Direct(room, LIMITS, policy)
    direct.outlet.replay(past(PAST))
    return direct


def deliver(outlet, first, last):
    for frame in batches(first, last):
        outlet.deliver(frame)


# To who keeps up.


def test_who_keeps_up_gets_it_at_once():
    direct = Direct()
    direct.outlet.replay(past(PAST))
    assert direct.taken == b"".join(PAST)
    assert (direct.owner.events, direct.outlet.own_bytes) == ([], PAST_BYTES)
    deliver(direct.outlet, MANY + 1, MANY + 2)
    assert told(direct.taken) == got(1, MANY + 2)
    assert direct.outlet.own_bytes == PAST_BYTES


def test_nothing_of_the_past_is_nothing():
    direct = Direct(0)
    direct.outlet.replay(past([]))
    deliver(direct.outlet, 1, 1)
    direct.outlet.replay(past([]))
    assert (direct.owner.events, direct.outlet.own_bytes) == (["congested"], 0)


# To who does not.


@pytest.mark.parametrize("policy", Overload)
def test_it_goes_out_whole_in_pieces_however_long_it_is(policy):
    direct = replaying(policy)
    while direct.transport in direct.wire.reactor.writers:
        direct.wire.take(7777)
        assert len(direct.buffered) <= PIECE_BYTES
    assert told(direct.taken) == got(1, MANY)
    assert direct.owner.events == ["congested", "relieved"]
    assert (direct.outlet.own_bytes, direct.outlet.pending_bytes) == (PAST_BYTES, 0)


@pytest.mark.parametrize("policy", Overload)
def test_as_much_as_may_wait_may_wait_behind_it(policy):
    direct = replaying(policy)
    deliver(direct.outlet, MANY + 1, MANY + LIMITS.max_frames)
    assert (direct.owner.fill, direct.owner.events) == (1.0, ["congested"])
    direct.drain()
    assert told(direct.taken) == got(1, MANY + LIMITS.max_frames)


@pytest.mark.parametrize(
    ("policy", "live"),
    [
        (
            Overload.CONFLATE,
            [
                (MANY + 1, MANY + 19, 19, "conflated"),
                (MANY + 20, {"A": MANY + 20.0}),
            ],
        ),
        (
            Overload.DROP_OLDEST,
            [(MANY + 1, MANY + 12, 12, "dropped"), *got(MANY + 13, MANY + 20)],
        ),
    ],
)
def test_behind_it_the_policy_acts_on_what_is_live_alone(policy, live):
    direct = replaying(policy)
    deliver(direct.outlet, MANY + 1, MANY + 20)
    assert direct.outlet.next_sequence(MANY + 21) <= MANY
    direct.drain()
    assert told(direct.taken) == got(1, MANY) + live
    assert direct.owner.events == ["congested", "relieved"]


def test_who_does_not_choose_is_ended_by_what_is_live_and_told_from_where_on():
    direct = replaying()
    first = direct.outlet.next_sequence(MANY + 1)
    deliver(direct.outlet, MANY + 1, MANY + LIMITS.max_frames)
    assert direct.outlet.unsent == f"batches {first} to {MANY + 8} were not sent"
    deliver(direct.outlet, MANY + 9, MANY + 9)
    assert direct.owner.events == ["congested", "more than 8 frames are waiting"]
    direct.drain()
    assert direct.taken.endswith(b"<slow>")
    assert told(direct.taken[: -len(b"<slow>")]) == got(1, first - 1)


@pytest.mark.parametrize("policy", Overload)
def test_the_bound_in_bytes_is_for_what_is_live_too(policy):
    direct = replaying(policy)
    fat = [(f"S{number}", 1.0, {f"{n:064}": "v" * 256 for n in range(20)}) for number in range(2)]
    direct.outlet.deliver(batch(MANY + 1, *fat))
    assert direct.owner.events == ["congested", "more than 4000 bytes are waiting"]


def test_the_past_is_bounded_in_time_as_anything_that_is_written():
    direct = replaying()
    direct.owner.time += LIMITS.write_deadline
    direct.outlet.check(direct.owner.time)
    assert direct.owner.events[1:] == ["what was written 5 s ago is not yet read"]


def test_the_budget_counts_it():
    direct = replaying()
    budget = direct.owner.backlogs.budget
    assert budget.bytes == direct.outlet.pending_bytes > PAST_BYTES - 1000 - PIECE_BYTES
    direct.drain()
    assert budget.bytes == direct.outlet.pending_bytes == 0


def test_an_outlet_that_is_congested_already_takes_it_in_order():
    direct = Direct(0, LIMITS)
    direct.outlet.answer(b"")
    direct.outlet.deliver(PAST[0])
    direct.outlet.replay(past(PAST[1:]))
    direct.outlet.replay(past(batches(MANY + 1, MANY + 2)))
    direct.drain()
    assert told(direct.taken) == got(1, MANY + 2)
    assert direct.outlet.own_bytes == len(direct.taken) - len(PAST[0])


# What is asked of it meanwhile.


def test_answers_go_ahead_of_it_and_cut_nothing():
    direct = replaying()
    direct.wire.take(3000)
    direct.outlet.answer(b"pong")
    direct.drain()
    before, _, behind = direct.taken.partition(b"pong")
    assert told(before) + told(behind) == got(1, MANY)
    assert 0 < len(before) < 1000 + 3000 + PIECE_BYTES


def test_the_next_number_is_that_of_what_a_pong_would_be_before():
    direct = replaying()
    asked = []
    while direct.transport in direct.wire.reactor.writers:
        asked.append(direct.outlet.next_sequence(MANY + 1))
        direct.outlet.answer(b"<pong>")
        direct.wire.take(50_000)
    expected = [1]
    for before in direct.taken.split(b"<pong>")[:-1]:
        expected.append(expected[-1] + len(told(before)))
    assert asked == expected[1:]
    assert asked[-1] > MANY - 1000
    assert len(asked) > 3


def test_snapshots_have_no_number():
    direct = Direct(0, LIMITS)
    snapshot = batch(6, ("A", 1.0), is_snapshot=True)
    direct.outlet.replay(past([snapshot] * 3))
    assert (direct.outlet.next_sequence(7), direct.outlet.unsent) == (7, "")
    deliver(direct.outlet, 7, 9)
    assert direct.outlet.next_sequence(10) == 7
    assert direct.outlet.unsent == "batches 7 to 9 were not sent"


# When it is not to go on.


def test_a_stream_that_is_left_takes_its_past_along():
    direct = replaying()
    deliver(direct.outlet, MANY + 1, MANY + 3)
    direct.outlet.drop_stream()
    left = len(direct.buffered)
    assert (direct.outlet.pending_bytes, direct.owner.backlogs.budget.bytes) == (left, left)
    own = direct.outlet.own_bytes
    direct.outlet.answer(b"<ack>")
    direct.outlet.replay(past(batches(7, 8)))
    deliver(direct.outlet, 9, 9)
    direct.drain()
    before, behind = direct.taken.split(b"<ack>")
    assert told(before) == got(1, len(told(before)))
    assert told(behind) == got(7, 9)
    live = sum(map(len, batches(MANY + 1, MANY + 3)))
    assert own == len(before) - live  # the stream counts these as sent
    assert direct.outlet.own_bytes == own + len(b"<ack>") + sum(map(len, batches(7, 8)))


def test_a_connection_that_is_lost_gives_it_back():
    direct = replaying()
    deliver(direct.outlet, MANY + 1, MANY + 3)
    given = direct.taken + direct.buffered
    direct.outlet.lose()
    assert (direct.outlet.pending_bytes, direct.owner.backlogs.budget.bytes) == (0, 0)
    live = sum(map(len, batches(MANY + 1, MANY + 3)))
    assert direct.outlet.own_bytes == len(given) - live
    direct.outlet.replay(past(PAST))
    assert direct.outlet.own_bytes == len(given) - live


@pytest.mark.parametrize("flush", [False, True])
def test_a_close_with_a_flush_sends_all_of_it_before_the_last_words(flush):
    direct = replaying()
    deliver(direct.outlet, MANY + 1, MANY + 3)
    direct.outlet.close(b"<bye>", flush)
    left = len(direct.buffered)
    assert (direct.outlet.pending_bytes, direct.owner.backlogs.budget.bytes) == (left, left)
    direct.outlet.replay(past(PAST))
    direct.drain()
    assert direct.taken.endswith(b"<bye>")
    read = told(direct.taken[: -len(b"<bye>")])
    assert read == got(1, MANY + 3 if flush else len(read))
    assert flush or 0 < len(read) < MANY / 2
    live = sum(map(len, batches(MANY + 1, MANY + 3)))
    assert direct.outlet.own_bytes == len(direct.taken) - live
    assert direct.peer.lost == ["ConnectionDone"]


def test_an_owner_that_closes_as_it_hears_of_it_is_heeded():
    direct = Direct(1000, LIMITS)
    direct.owner.queued = lambda _: direct.outlet.close(b"<full>")
    direct.outlet.replay(past(PAST))
    direct.outlet.replay(past(PAST))
    direct.drain()
    assert direct.taken.endswith(b"<full>")
    assert direct.outlet.own_bytes == len(direct.taken)


# On what wraps a socket.


class Behind(Direct):
    """An outlet on a wrapper of one of Twisted's own transports, as TLS is one."""

    def __init__(self, room, limits, policy=Overload.DISCONNECT):
        self.peer = Peer()
        self.wrapper = ProtocolWrapper(WrappingFactory(None), self.peer)
        self.wire = Wire(self.wrapper, room=room)
        self.socket, self.transport = self.wire.socket, self.wire.transport
        self.wrapper.makeConnection(self.transport)
        self.owner = Owner(limits, policy)
        self.outlet = self.owner.outlet = Outlet(self.wrapper, self.owner)


@pytest.mark.parametrize("policy", Overload)
def test_a_wrapper_takes_it_piece_by_piece_too(policy):
    behind = Behind(1000, LIMITS, policy)
    behind.outlet.replay(past(PAST))
    deliver(behind.outlet, MANY + 1, MANY + 8)
    while behind.transport in behind.wire.reactor.writers:
        behind.wire.take(7777)
        assert len(behind.buffered) <= 2 * PIECE_BYTES
    assert told(behind.taken) == got(1, MANY + 8)
    assert behind.owner.events == ["congested", "relieved"]
    assert behind.outlet.own_bytes == PAST_BYTES


def test_a_wrapper_that_is_paused_gets_nothing_of_it():
    wrapped = Wrapped(LIMITS)
    wrapped.outlet.pauseProducing()
    wrapped.outlet.replay(past(PAST))
    assert (wrapped.taken, wrapped.outlet.pending_bytes) == (b"", FULL_BYTES + PAST_BYTES)
    wrapped.outlet.drop_stream()
    wrapped.outlet.replay(past(PAST[5:]))
    wrapped.outlet.close(b"", flush=True)
    assert told(wrapped.taken) == got(6, MANY)
    assert wrapped.outlet.own_bytes == len(wrapped.taken)


def test_who_is_ended_while_a_wrapper_takes_it_is_written_to_no_more():
    wrapped = Wrapped(LIMITS)
    wrapped.outlet.pauseProducing()
    wrapped.outlet.replay(past(PAST))
    wrapped.owner.queued = lambda _: wrapped.outlet.close(b"<end>")
    wrapped.outlet.resumeProducing()
    wrapped.outlet.deliver(PAST[0])
    assert wrapped.taken.endswith(b"<end>")
    assert wrapped.owner.events == ["congested"]


# What a history keeps, and drops.


class Keeping:
    """A ring with the past, of which an outlet was given all; copies stand behind it."""

    GONE = "the next of what it missed is not kept any more: it was not read in time"

    def __init__(self, way, copies=()):
        self.way = way
        self.history, self.ring = History(HistoryLimits()), Ring(1, 0)
        self.history.keep(self.ring, 1, 1, PAST)
        kept = self.ring.after(0, MANY + 1).kept
        self.way.outlet.replay(Past([kept, Copies(copies)]))

    @property
    def budget(self):
        return self.way.owner.backlogs.budget.bytes


@pytest.mark.parametrize("policy", Overload)
def test_what_a_history_keeps_costs_the_budget_nothing(policy):
    keeping = Keeping(Direct(1000, LIMITS, policy))
    direct = keeping.way
    pending = direct.outlet.pending_bytes
    assert pending == PAST_BYTES - len(direct.taken)
    handed = len(direct.buffered)
    assert keeping.budget == direct.outlet.cost == handed
    deliver(direct.outlet, MANY + 1, MANY + 3)
    live = direct.outlet.pending_bytes - pending
    assert keeping.budget == direct.outlet.cost == handed + live > handed
    keeping.history.keep(keeping.ring, MANY + 1, 1, batches(MANY + 1, MANY + 3))
    direct.drain()
    assert told(direct.taken) == got(1, MANY + 3)
    assert (keeping.budget, direct.outlet.pending_bytes) == (0, 0)
    assert direct.outlet.own_bytes == PAST_BYTES


def test_copies_behind_it_are_counted():
    snapshot = batch(MANY, ("A", 1.0), is_snapshot=True)
    keeping = Keeping(Direct(1000, LIMITS), [snapshot])
    handed = len(keeping.way.buffered)
    assert keeping.budget == keeping.way.outlet.cost == handed + len(snapshot)
    keeping.way.drain()
    assert told(keeping.way.taken) == [*got(1, MANY), ("snapshot", {"A": 1.0})]
    assert keeping.budget == 0


def test_it_is_read_while_the_oldest_goes():
    keeping = Keeping(Direct(1000, LIMITS))
    direct = keeping.way
    while direct.outlet.pending_bytes:
        while keeping.ring and keeping.ring.entry(keeping.ring.first_place).sequence < (
            direct.outlet.next_sequence(MANY + 1)
        ):
            keeping.ring.drop_oldest()
        direct.wire.take(7777)
    direct.drain()
    assert told(direct.taken) == got(1, MANY)
    assert direct.owner.events == ["congested", "relieved"]


@pytest.mark.parametrize("how", ["dropped", "forgotten"])
@pytest.mark.parametrize("kind", [Direct, Behind])
def test_who_is_overtaken_is_ended_and_told_from_where_on(kind, how):
    keeping = Keeping(kind(1000, LIMITS), [batch(MANY, ("A", 1.0), is_snapshot=True)])
    way = keeping.way
    deliver(way.outlet, MANY + 1, MANY + 3)
    first = way.outlet.next_sequence(MANY + 4)
    if how == "forgotten":
        keeping.history.forget(keeping.ring)
    else:
        for _ in range(first):
            keeping.ring.drop_oldest()
    assert way.outlet.unsent == f"batches {first} to {MANY + 3} were not sent"
    assert way.outlet.next_sequence(MANY + 4) == first
    way.drain()
    assert way.owner.events == ["congested", Keeping.GONE]
    assert way.taken.endswith(b"<slow>")
    assert told(way.taken[: -len(b"<slow>")]) == got(1, first - 1)
    live = sum(map(len, batches(MANY + 1, MANY + 3)))
    assert way.outlet.own_bytes == len(way.taken) - live
    way.outlet.lose()
    assert (keeping.budget, way.outlet.pending_bytes) == (0, 0)


def test_who_is_overtaken_while_it_reads_nothing_is_ended_by_the_next_check():
    keeping = Keeping(Direct(1000, LIMITS))
    direct = keeping.way
    direct.outlet.check(direct.owner.time)
    assert direct.owner.events == ["congested"]
    keeping.history.forget(keeping.ring)
    direct.outlet.check(direct.owner.time)
    assert direct.owner.events == ["congested", Keeping.GONE]


def test_a_close_with_a_flush_sends_nothing_behind_what_is_gone():
    keeping = Keeping(Direct(1000, LIMITS))
    direct = keeping.way
    deliver(direct.outlet, MANY + 1, MANY + 3)
    first = direct.outlet.next_sequence(MANY + 4)
    keeping.history.forget(keeping.ring)
    direct.outlet.close(b"<bye>", flush=True)
    direct.drain()
    assert told(direct.taken.removesuffix(b"<bye>")) == got(1, first - 1)
    assert direct.taken.endswith(b"<bye>")
    assert direct.peer.lost == ["ConnectionDone"]
    live = sum(map(len, batches(MANY + 1, MANY + 3)))
    assert direct.outlet.own_bytes == len(direct.taken) - live
