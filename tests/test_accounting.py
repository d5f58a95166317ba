"""The whole server in any order of events: everybody has, or was told of, all that there was."""

from math import inf

import pytest
from accounts import Ledger, Reader
from conversation import SECOND, TICK, Server, WireClient, auth, heartbeat
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from lagging import FAT

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import MAX_PAYLOAD_BYTES, FrameType, encode_frame
from tickstorm.history import HistoryLimits
from tickstorm.hub import HubLimits
from tickstorm.outlet import FULL_BYTES
from tickstorm.overload import BacklogLimits
from tickstorm.records import split_records, tick_record
from tickstorm.ring import Kept
from tickstorm.session import SessionLimits
from tickstorm.stream import StreamKey
from tickstorm.subscriptions import Overload
from tickstorm.symbols import SymbolSet
from tickstorm.ticks import Tick

LIMITS = BacklogLimits(
    max_frames=12,
    max_bytes=150_000,
    write_deadline=5.0,
    soft_bytes=20_000,
    lossy_write_deadline=20.0,
)
BUDGET = 400_000
LAST_WORDS_BYTES = 300
"""At most: an end that is nobody's turn to make room for is looked at within a second."""
FOLLOWERS = 4
STEP = 0.25
"""Seconds: both periods are so many of these."""

ENOUGH = HistoryLimits(3600.0, 10**9, 10**9, 1000)
TOO_LITTLE = HistoryLimits(2.0, 20_000, 30_000, 1)

KINDS = {0: {"mode": TICK}, 1000: {"mode": SECOND}, 500: {"mode": 0, "interval_ms": 500}}
"""What a subscription says of its period, by that in ms."""
SETS = (None, ("S1*",), ("S2", "S3", "S11"))
ALL, NARROW = StreamKey(None), StreamKey(frozenset({"S1*"}))
UNSUBSCRIBE = encode_frame(FrameType.UNSUBSCRIBE, b"")

LARGE = tuple(f"S{number}" for number in range(8))
"""Symbols whose ticks may be large; a batch has room for a bar of each, which is as large."""
SMALL = (*LARGE, "S8", "S9", "S10", "S11")

ticks = st.tuples(st.sampled_from(SMALL), st.just(False)) | st.tuples(
    st.sampled_from(LARGE), st.just(True)
)
batches = st.lists(ticks, min_size=1, max_size=15)


streams = st.builds(
    lambda period_ms, symbols: StreamKey(symbols and frozenset(symbols), 0, period_ms),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(SETS),
)
rooms = st.sampled_from([None, 0, 1000])  # in the socket of a connection at its beginning
anybody = st.integers(0, FOLLOWERS - 1)


class Books:
    """Publishes, and enters what each stream makes of it: by the numbers that it goes on by."""

    def __init__(self, server):
        self.server = server
        self.ledger = Ledger()
        self.last = {}
        self._price = 0
        self._bars = {}

    def publish(self, batch):
        ticks = []
        for symbol, is_large in batch:
            self._price += 1
            metadata = FAT if is_large else {}
            ticks.append(Tick(symbol, float(self._price), 1.0, 10**18, metadata=metadata))
        before = self._numbers(0)
        self.server.hub.publish(ticks)
        self.last.update((tick.symbol, tick.price) for tick in ticks)
        for cadence in self.server.hub.bars.values():
            self._open_bars(cadence).update((tick.symbol, tick.price) for tick in ticks)
        for stream, first in before.items():
            wanted = [tick for tick in ticks if _is_in(tick.symbol, stream)]
            self._enter(stream, first, _runs(wanted) if wanted else [])

    def step(self):
        """Let time pass, which ends a period or does not."""
        before = {period_ms: self._numbers(period_ms) for period_ms in (500, 1000)}
        bars = {c.period_ms: self._open_bars(c) for c in self.server.hub.bars.values()}
        self.server.reactor.advance(STEP)
        now_ms = round(self.server.reactor.seconds() * 1000)
        for period_ms, numbers in before.items():
            if now_ms % period_ms == 0:
                closed = dict(sorted(bars.get(period_ms, {}).items()))
                self._bars.pop(period_ms, None)
                for stream, first in numbers.items():
                    found = [item for item in closed.items() if _is_in(item[0], stream)]
                    self._enter(stream, first, [found])

    def snapshot(self, stream):
        return {symbol: price for symbol, price in self.last.items() if _is_in(symbol, stream)}

    def _numbers(self, period_ms):
        """The number of the next batch of each stream of a period."""
        streams = self.server.hub.streams.get(period_ms, ())
        return {stream.key: stream.next_sequence for stream in streams}

    def _open_bars(self, cadence):
        """The prices in the present bars of a period, which begin with its cadence."""
        known, bars = self._bars.get(cadence.period_ms, (None, None))
        if known is not cadence:
            bars = {}
            self._bars[cadence.period_ms] = (cadence, bars)
        return bars

    def _enter(self, stream, first, runs):
        for at, run in enumerate(runs):
            self.ledger.add(stream, (first + at) % 2**32, run)
        found = self.server.hub.streams.get(stream.period_ms)
        present = found.get(stream) if found is not None else None
        if present is not None:
            assert present.next_sequence == (first + len(runs)) % 2**32


def kept_for(connection):
    """What of a connection's queue is the history's own."""
    backlog = connection._outlet._backlog
    stretches = backlog._past._stretches if backlog is not None else ()
    return sum(stretch.length for stretch in stretches if isinstance(stretch, Kept))


def _is_in(symbol, stream):
    return stream.symbols is None or symbol in SymbolSet(stream.symbols)


def _runs(ticks):
    """The symbols and prices of ticks, as they are cut into batches."""
    items = iter([(tick.symbol, tick.price) for tick in ticks])
    runs = split_records([tick_record(tick) for tick in ticks], MAX_PAYLOAD_BYTES)
    return [[next(items) for _ in run] for run in runs]


class Follower:
    """A client with a subscription, that comes and goes."""

    def __init__(self, books, policy, wrapped):
        self.books = books
        self.policy = policy
        self.wrapped = wrapped
        self.reader = Reader()
        self.stream = None
        self.client = None
        self.wants = False

    @property
    def is_here(self):
        return self.client is not None

    @property
    def is_served(self):
        """Whether the server knows of it, and has not closed on it."""
        return self.is_here and self.client.connection.stream is not None

    def arrive(self, room):
        self.reader.connected()
        self.client = WireClient(self.books.server, room, wrapped=self.wrapped)
        self.client.send(auth())

    def subscribe(self, stream, snapshot=False, **fields):
        """Begin anew."""
        self.stream = stream
        self.reader.asks(stream, self.books.snapshot(stream) if snapshot else None)
        self._ask(snapshot=snapshot, **fields)

    def go_on(self):
        """Subscribe to the same, behind what it has if that can be."""
        position = self.reader.position(self.stream)
        self.reader.asks(self.stream, self.books.snapshot(self.stream), resumes=bool(position))
        self._ask(snapshot=not position, **position)

    def unsubscribe(self):
        self.reader.gives_up()
        self.client.send(UNSUBSCRIBE)
        assert not self.is_served, "the server has not heard it"

    def take(self, room):
        """Let the socket take so much, any amount if it is None, and read what came."""
        if room is None:
            self.client.wire.drain()
        else:
            self.client.wire.take(room)
        self.client.socket.room = 0
        self.read()

    def read(self, part=1.0):
        """Read this part of what the socket took, and check it."""
        taken = self.client.socket.taken
        self.reader.feed(taken[: round(part * len(taken))])
        taken.clear()
        for stretch in (*self.reader.finished, self.reader.stretch):
            if stretch is not None:
                stretch.check(self.books.ledger)
        self.reader.finished.clear()
        if self.client.closed:
            self.client = None

    def leave(self, part):
        """Be cut off, with this part of what the socket took come through."""
        self.client.wire.cut()
        self.read(part)
        self.client = None

    def _ask(self, **fields):
        period = KINDS[self.stream.period_ms]
        symbols = sorted(self.stream.symbols or ())
        request = pb.SubscribeRequest(symbols=symbols, overload=self.policy, **period, **fields)
        self.client.send(encode_frame(FrameType.SUBSCRIBE, request.SerializeToString()))
        self.books.server.reactor.advance(0)  # a past that is asked for anew has its own turn


class Accounting(RuleBasedStateMachine):
    """Everything, with a history that has all that anybody missed."""

    history = ENOUGH

    @initialize(
        sequence=st.sampled_from([1, 2**32 - 5]),
        kinds=st.lists(
            st.tuples(st.sampled_from(Overload), st.booleans(), streams, st.booleans(), rooms),
            min_size=FOLLOWERS,
            max_size=FOLLOWERS,
        ),
    )
    def begin(self, sequence, kinds):
        self.server = Server(
            batch_window=0,
            hub_limits=(HubLimits(history=self.history),),
            backlog_limits=LIMITS,
            max_backlog_bytes=BUDGET,
            session_limits=SessionLimits(heartbeat_timeout=1e9),
        )
        self.server.hub.ticks._next_sequence = sequence
        self.books = Books(self.server)
        self.everybody = []
        for policy, wrapped, stream, snapshot, room in kinds:
            follower = Follower(self.books, policy, wrapped)
            self.everybody.append(follower)
            follower.arrive(room)
            follower.subscribe(stream, snapshot)

    # Who comes and goes.

    @rule(who=anybody, part=st.floats(0, 1))
    def cut(self, who, part):
        if self.everybody[who].is_here:
            self.everybody[who].leave(part)

    @rule(room=rooms)
    def come_back(self, room):
        """All who are gone do."""
        for follower in self.everybody:
            if not follower.is_here:
                follower.arrive(room)
                follower.go_on()

    @rule(who=anybody, part=st.floats(0, 1), batch=batches, times=st.integers(1, 20), room=rooms)
    def miss(self, who, part, batch, times, room):
        self.cut(who, part)
        self.publish(batch, times)
        self.come_back(room)

    @rule(who=anybody, stream=streams, snapshot=st.booleans())
    def change(self, who, stream, snapshot):
        follower = self.everybody[who]
        if follower.is_served:
            follower.unsubscribe()
            follower.subscribe(stream, snapshot)

    @rule(who=anybody, stream=streams, seconds=st.floats(0, 5))
    def ask_for_the_past(self, who, stream, seconds):
        follower = self.everybody[who]
        if follower.is_served:
            follower.unsubscribe()
            now = self.server.reactor.seconds()
            follower.subscribe(stream, start_time_ms=round((now - seconds) * 1000))

    # What is published, and who reads it.

    @rule(batch=batches, times=st.integers(1, 8))
    def publish(self, batch, times):
        for _ in range(times):
            self.books.publish(batch)

    @rule(who=anybody, room=st.none() | st.integers(0, 60_000))
    def take(self, who, room):
        if self.everybody[who].is_here:
            self.everybody[who].take(room)

    @rule()
    def ask(self):
        for follower in self.everybody:
            if follower.is_here:
                follower.client.send(heartbeat())

    @rule(steps=st.integers(1, 8))
    def wait(self, steps):
        for _ in range(steps):
            self.books.step()

    @invariant()
    def the_bounds_hold(self):
        factory = self.server.factory
        counted = [each.pending_bytes - kept_for(each) for each in factory.connections.values()]
        lingering = factory.congestion.lingering
        most = BUDGET + LAST_WORDS_BYTES * len(lingering)
        assert counted == [each.cost for each in factory.connections.values()]
        assert factory.congestion.queued_bytes == sum(counted) <= most
        assert lingering <= {each for each in factory.connections.values() if each.stream is None}
        assert not lingering & factory.congestion.connections
        for connection in factory.congestion.connections:
            backlog = connection._outlet._backlog
            assert backlog.bytes - backlog._past.length <= LIMITS.max_bytes
            assert backlog.fill <= 1.0 or len(backlog._queue) == 1
        history = self.server.hub.history
        assert history.bytes <= self.history.total_bytes
        assert self.server.metrics.failures == {}

    @invariant()
    def what_a_full_socket_was_handed_is_counted(self):
        for follower in self.everybody:
            backlog = follower.client.connection._outlet._backlog if follower.is_here else None
            if backlog is not None:
                uncounted = len(follower.client.wire.buffered) - backlog.with_transport
                assert uncounted <= (FULL_BYTES if follower.wrapped else 0)

    # The end.

    def teardown(self):
        # What one alone missed may be more than all may have waiting here.
        self.server.factory.congestion.backlogs.budget.max_bytes = inf
        self.server.reactor.advance(0)  # whoever was given up is let go of
        for follower in self.everybody:
            if follower.is_here:
                follower.take(None)
            if not follower.is_here:
                follower.arrive(None)
                follower.go_on()
                follower.take(None)
        for _ in range(4):  # all periods end
            self.books.step()
        for follower in self.everybody:
            assert follower.is_here, follower.reader.error
            follower.take(None)
            self.check(follower)
        self.check_nothing_is_left()

    def check(self, follower):
        stretch = follower.reader.stretch
        assert stretch.expected == stretch.next == follower.client.connection.stream.next_sequence
        assert stretch.epoch == follower.client.connection.stream.epoch
        stretch.check_values(self.books.ledger)
        if follower.policy is Overload.DISCONNECT:
            assert stretch.gaps == 0
        if stretch.is_whole and follower.policy is not Overload.DROP_OLDEST:
            assert stretch.values == self.books.snapshot(stretch.stream)
        if self.history is ENOUGH:
            assert follower.reader.not_recovered == 0

    def check_nothing_is_left(self):
        for follower in self.everybody:
            follower.leave(1.0)
        for _ in range(3):  # a sweep runs once an advance, and some look at what the last one added
            self.server.reactor.advance(ENOUGH.seconds)
        assert self.server.left_behind() == {}
        hub, congestion = self.server.hub, self.server.factory.congestion
        assert (hub.history.bytes, len(hub.history), len(hub.bars)) == (0, 0, 2)
        assert (congestion.queued_bytes, congestion.warned) == (0, set())
        assert (congestion.connections, congestion.lingering) == (set(), set())
        assert len(congestion.backlogs._newest) == 0


class AccountingOfLittle(Accounting):
    """The same with a history that is often too small: then a snapshot makes up for it."""

    history = TOO_LITTLE


@pytest.mark.parametrize(
    ("another", "outcome"), [(ALL, (0, 0, 1)), (NARROW, (1, 0, 0))], ids=["alone", "not alone"]
)
def test_who_has_left_what_it_comes_back_to_finds_it_if_others_have_kept_it(another, outcome):
    """One is cut before it reads that it has left, and goes on by what it has read."""
    machine = Accounting()
    kinds = [(Overload.CONFLATE, False, stream, False, None) for stream in (ALL, ALL, ALL, another)]
    machine.begin(1, kinds)
    machine.ask_for_the_past(who=1, stream=NARROW, seconds=0.0)
    machine.publish([("S1", True)], times=1)
    machine.ask_for_the_past(who=1, stream=NARROW, seconds=0.0)
    machine.cut(who=1, part=0.5)
    machine.teardown()
    reader = machine.everybody[1].reader
    assert (reader.recovered, reader.not_recovered, reader.not_kept) == outcome


Accounting.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
AccountingOfLittle.TestCase.settings = Accounting.TestCase.settings
TestAccounting = Accounting.TestCase
TestAccountingOfLittle = AccountingOfLittle.TestCase
