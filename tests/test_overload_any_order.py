"""Overload in any order of events: what was published is sent, conflated or dropped, and told."""

from conversation import Server, heartbeat
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from lagging import FAT, Lagging

from tickstorm.overload import BacklogLimits
from tickstorm.session import SessionLimits
from tickstorm.subscriptions import Overload
from tickstorm.ticks import Tick

LIMITS = BacklogLimits(
    max_frames=12,
    max_bytes=150_000,
    write_deadline=5.0,
    soft_bytes=20_000,
    lossy_write_deadline=20.0,
)
BUDGET = 300_000
LAST_WORDS_BYTES = 300
"""At most: an end that is nobody's turn to make room for is looked at within a second."""

symbols = st.sampled_from([f"S{number}" for number in range(12)])
batches = st.lists(st.tuples(symbols, st.booleans()), min_size=1, max_size=15)


class Overloaded(RuleBasedStateMachine):
    clients = Bundle("clients")

    @initialize(sequence=st.sampled_from([1, 2**32 - 3]))
    def begin(self, sequence):
        self.server = Server(
            batch_window=0,
            backlog_limits=LIMITS,
            max_backlog_bytes=BUDGET,
            session_limits=SessionLimits(heartbeat_timeout=1e9),
        )
        self.server.hub.ticks._next_sequence = sequence
        self.everybody = []
        self.published = []
        self.price = 0

    @rule(
        target=clients,
        policy=st.sampled_from(Overload),
        snapshot=st.booleans(),
        stuck=st.booleans(),
    )
    def subscribe(self, policy, snapshot, stuck):
        client = Lagging(self.server, policy, snapshot, stuck)
        client.since = len(self.published)
        self.everybody.append(client)
        return client

    @rule(batch=batches, times=st.integers(1, 8))
    def publish(self, batch, times):
        for _ in range(times):
            ticks = []
            for symbol, is_large in batch:
                self.price += 1
                ticks.append(Tick(symbol, float(self.price), metadata=FAT if is_large else {}))
            self.server.hub.publish(ticks)
            self.published += ticks

    @rule(client=clients, room=st.integers(0, 60_000))
    def take(self, client, room):
        client.take(room)

    @rule(client=clients)
    def catch_up(self, client):
        client.drain()

    @rule(client=clients)
    def ask(self, client):
        if client.is_alive:
            outlet = client.connection._outlet
            client.asked.append(outlet.next_sequence(client.stream.next_sequence))
            client.client.send(heartbeat())

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds):
        self.server.advance(seconds)

    @invariant()
    def the_bounds_hold(self):
        congestion = self.server.factory.congestion
        pending = [client.connection.pending_bytes for client in self.everybody]
        most = BUDGET + LAST_WORDS_BYTES * len(congestion.lingering)
        assert congestion.queued_bytes == sum(pending) <= most
        for connection in congestion.connections:
            backlog = connection._outlet._backlog
            assert backlog.bytes - backlog._past.length <= LIMITS.max_bytes  # a snapshot is exempt
        assert congestion.warned <= congestion.connections
        assert congestion.connections == {
            client.connection for client in self.everybody if client.is_congested
        }

    def teardown(self):
        for client in self.everybody:
            client.drain()
            self.check(client)
        told = [client.account.lost for client in self.everybody if not client.was_cut]
        lost = self.server.metrics.ticks_lost
        for reason in ("conflated", "dropped"):
            assert lost[reason] >= sum(each[reason] for each in told)
        assert self.server.factory.congestion.queued_bytes == 0

    def check(self, client):
        account = client.account
        assert account.pongs == client.asked[: len(account.pongs)]
        if client.policy is Overload.DISCONNECT:
            assert account.gaps == []
        if not client.is_alive:
            assert self.server.metrics.slow_consumers > 0
            if account.error is not None and account.error.details:
                assert account.error.details.split()[1] == str(account.expected)
            return
        stream = client.stream
        assert account.expected == stream.next_sequence
        due = self.published[client.since :]
        assert account.ticks + sum(account.lost.values()) == len(due)
        if client.policy is Overload.DROP_OLDEST and account.gaps:
            return  # the newest of a symbol may have been in a batch that was dropped
        newest = {tick.symbol: tick.price for tick in due}
        assert {symbol: account.newest[symbol] for symbol in newest} == newest


Overloaded.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOverloaded = Overloaded.TestCase
