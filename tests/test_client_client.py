"""The whole client on Twisted, in memory: a scripted server, and a real one through iosim."""

from asyncio import CancelledError
from random import Random

import pytest
from scripted import LOGIN_ACK, Desk, batch, result, subscription_ack
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump
from zope.interface import implementer, implementer_only

from tickstorm.client import (
    Authenticated,
    ClientLimits,
    Disconnected,
    Gap,
    Garbled,
    Mode,
    Position,
    ServerError,
    Silent,
    Subscribed,
    twisted_client,
)
from tickstorm.client.connection import LINGER
from tickstorm.clock import simulated_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.errors import (
    ChecksumFailed,
    ConfigError,
    InvalidAuth,
    InvalidSubscription,
    ShuttingDown,
    TickstormError,
)
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.frames import FrameType
from tickstorm.history import HistoryLimits
from tickstorm.hub import Hub, HubLimits
from tickstorm.messages import Heartbeat, error_frame, pong_frame
from tickstorm.subscriptions import Subscription, decode_subscription
from tickstorm.ticks import Tick


def is_waiting(deferred):
    return not deferred.called


def test_nothing_happens_before_it_is_asked():
    desk = Desk()
    assert desk.endpoint.dialed == []


def test_it_logs_in_and_subscribes_and_gives_batches_in_order():
    desk = Desk(mode=Mode.TICK, symbols=["B", "A"], snapshot=True)
    ended = desk.consume()
    server = desk.endpoint.accept()
    assert server.heard_types() == [FrameType.AUTH]
    server.say(LOGIN_ACK)
    (frame,) = server.heard()
    subscription = Subscription(Mode.TICK, frozenset("AB"), True)
    assert decode_subscription(frame.payload) == subscription
    server.say(subscription_ack(1), batch(1))
    server.say(batch(2))
    assert desk.batches == [1, 2]
    assert desk.events == [Authenticated(), Subscribed("e", 1, 15.0, 20.0)]
    assert is_waiting(ended)


def test_it_reconnects_and_resubscribes_and_tells_the_gap():
    desk = Desk()
    desk.consume()
    desk.connect(batch(1)).lose()
    assert desk.endpoint.dialed == []
    lost = desk.events[-1]
    assert (type(lost.error), lost.retry_in) == (ConnectionDone, 0.25)
    desk.clock.advance(0.25)
    desk.connect(batch(5), next_sequence=4)
    assert desk.batches == [1, 5]
    assert desk.events[3:] == [
        Authenticated(),
        Subscribed("e", 4, 15.0, 20.0),
        Gap(2, 3),
        Gap(4, 4),
    ]


def test_waits_grow_while_nobody_answers_and_start_over_after_a_stable_time():
    desk = Desk(random=lambda: 1.0)
    desk.consume()
    for wait in (0.5, 1.0, 2.0):
        desk.endpoint.refuse()
        assert desk.events[-1].retry_in == wait
        desk.clock.advance(wait)
    server = desk.connect()
    desk.clock.advance(12.0)
    server.say(pong_frame(Heartbeat(1, 1), 2))
    desk.clock.advance(12.0)
    server.say(pong_frame(Heartbeat(1, 2), 2))
    desk.clock.advance(5.9)
    server.lose()
    assert desk.events[-1].retry_in == 4.0
    desk.clock.advance(4.0)
    server = desk.connect()
    for _ in range(3):
        desk.clock.advance(10.0)
        server.say(pong_frame(Heartbeat(1, 1), 2))
    server.lose()
    assert desk.events[-1].retry_in == 0.5


def test_a_server_s_wish_is_obeyed():
    desk = Desk()
    desk.consume()
    server = desk.connect()
    server.say(error_frame(ShuttingDown("deploy", retry_after_ms=7_000), 5))
    told, lost = desk.events[-2:]
    assert (type(told), type(told.error), told.retryable) == (ServerError, ShuttingDown, True)
    assert lost == Disconnected(told.error, 7.25)
    assert server.transport.disconnected
    desk.clock.advance(7.2)
    assert desk.endpoint.dialed == []
    desk.clock.advance(0.1)
    assert len(desk.endpoint.dialed) == 1


def test_an_error_that_will_not_go_away_ends_it_behind_what_was_received():
    desk = Desk()
    first = desk.take()
    server = desk.endpoint.accept()
    server.stream_from(1, batch(1), batch(2), error_frame(InvalidAuth("revoked"), 5))
    assert result(first).sequence == 1
    assert result(desk.take()).sequence == 2
    for _ in range(2):
        assert type(result(desk.take())) is InvalidAuth
    assert desk.events[-1].retry_in is None
    desk.clock.advance(100)
    assert desk.endpoint.dialed == []


@pytest.mark.parametrize("kind", [InvalidAuth, InvalidSubscription])
def test_a_refusal_before_the_stream_ends_it(kind):
    desk = Desk()
    ended = desk.consume()
    server = desk.endpoint.accept()
    server.say(b"" if kind is InvalidAuth else LOGIN_ACK, error_frame(kind("no"), 5))
    assert type(result(ended)) is kind
    assert desk.clock.getDelayedCalls() == []


def test_a_broken_frame_is_told_and_survived():
    desk = Desk()
    desk.consume()
    server = desk.connect()
    server.say(batch(1)[:-1] + b"!")
    assert type(desk.events[-2]) is Garbled
    assert type(desk.events[-2].error) is ChecksumFailed
    assert desk.events[-1] == Disconnected(desk.events[-2].error, 0.25)
    assert server.transport.disconnected
    server.lose()
    desk.clock.advance(0.25)
    desk.connect(batch(1))
    assert desk.batches == [1]


def test_a_silent_server_is_told_and_left():
    desk = Desk(random=lambda: 0.0)
    desk.consume()
    server = desk.connect()
    server.heard()
    desk.clock.advance(15.0)
    assert server.heard_types() == [FrameType.HEARTBEAT]
    desk.clock.advance(4.9)
    assert not server.transport.disconnected
    desk.clock.advance(0.1)
    assert desk.events[-2] == Silent(20.0)
    assert type(desk.events[-1].error) is TimeoutError
    assert server.transport.disconnected


def test_a_server_that_answers_heartbeats_stays():
    desk = Desk(random=lambda: 0.0)
    desk.consume()
    server = desk.connect()
    for count in range(1, 10):
        desk.clock.advance(15.0)
        server.say(pong_frame(Heartbeat(1, count), 2))
    assert desk.events == [Authenticated(), Subscribed("e", 1, 15.0, 20.0)]


def test_heartbeats_come_as_often_as_the_server_wants_them():
    desk = Desk(random=lambda: 0.0)
    desk.consume()
    server = desk.endpoint.accept()
    server.say(LOGIN_ACK, subscription_ack(1, heartbeat_interval_ms="2000"))
    server.heard()
    desk.clock.pump([1.0] * 4)
    assert server.heard_types() == [FrameType.HEARTBEAT] * 2


def test_a_server_that_cannot_be_reached_in_time():
    desk = Desk()
    desk.consume()
    desk.clock.advance(10.0)
    (lost,) = desk.events
    assert (type(lost.error), str(lost.error)) == (TimeoutError, "no connection in 10 s")
    assert desk.endpoint.cancelled == 1
    late = desk.endpoint.accept()
    assert late.transport.disconnected
    desk.clock.advance(0.25)
    assert len(desk.endpoint.dialed) == 1


class TestSlowConsumer:
    LIMITS = ClientLimits(max_queued_batches=4)

    def test_reading_stops_at_the_bound_and_goes_on_at_half(self):
        desk = Desk(limits=self.LIMITS)
        first = desk.take()
        server = desk.connect(*map(batch, range(1, 5)))
        assert result(first).sequence == 1
        assert not server.reading_paused
        server.say(batch(5))
        assert server.reading_paused
        assert [result(desk.take()).sequence for _ in range(1)] == [2]
        assert server.reading_paused
        assert result(desk.take()).sequence == 3
        assert not server.reading_paused

    def test_what_was_read_already_waits_undecoded(self):
        desk = Desk(limits=self.LIMITS)
        first = desk.take()
        server = desk.connect(*map(batch, range(1, 21)))
        server.say(batch(21))
        assert len(desk.client._inbox) <= 4
        taken = [result(first).sequence]
        while len(taken) < 21:
            assert len(desk.client._inbox) <= 4
            taken.append(result(desk.take()).sequence)
        assert taken == list(range(1, 22))
        assert not server.reading_paused

    def test_heartbeats_go_out_and_silence_is_nobody_s_fault(self):
        desk = Desk(limits=self.LIMITS, random=lambda: 0.0)
        desk.take()
        server = desk.connect(*map(batch, range(1, 6)))
        assert server.reading_paused
        server.heard()
        for _ in range(4):
            desk.clock.pump([1.0] * 15)
            assert server.heard_types() == [FrameType.HEARTBEAT]
        assert desk.events == [Authenticated(), Subscribed("e", 1, 15.0, 20.0)]
        for _ in range(4):
            desk.take()
        assert not server.reading_paused
        desk.clock.pump([1.0] * 19)
        assert Silent(20.0) not in desk.events
        desk.clock.advance(1.0)
        assert Silent(20.0) in desk.events

    def test_a_connection_lost_meanwhile_ends_when_all_it_brought_is_taken(self):
        desk = Desk(limits=self.LIMITS)
        first = desk.take()
        goodbye = error_frame(ShuttingDown("deploy", retry_after_ms=1_000), 5)
        server = desk.connect(*map(batch, range(1, 11)), goodbye)
        server.lose()
        assert desk.clock.getDelayedCalls() == []
        taken = [result(first).sequence, *(result(desk.take()).sequence for _ in range(9))]
        assert taken == list(range(1, 11))
        assert type(desk.events[-1].error) is ShuttingDown
        desk.clock.advance(1.25)
        desk.connect(batch(11), next_sequence=11)
        assert result(desk.take()).sequence == 11

    def test_a_connection_lost_without_a_word_ends_then_too(self):
        desk = Desk(limits=self.LIMITS)
        first = desk.take()
        desk.connect(*map(batch, range(1, 6))).lose()
        assert [result(first).sequence, result(desk.take()).sequence] == [1, 2]
        assert len(desk.events) == 2
        assert result(desk.take()).sequence == 3
        assert type(desk.events[-1].error) is ConnectionDone

    def test_one_queued_batch_is_enough(self):
        desk = Desk(limits=ClientLimits(max_queued_batches=1))
        desk.consume()
        desk.connect(*map(batch, range(1, 8)))
        assert desk.batches == list(range(1, 8))


class TestEnd:
    def test_close_ends_the_iteration_and_the_connection(self):
        desk = Desk()
        ended = desk.consume()
        server = desk.connect()
        closed = desk.client.close()
        assert result(ended) is None
        assert server.transport.disconnecting
        assert is_waiting(closed)
        server.lose()
        assert result(closed) is None
        assert desk.clock.getDelayedCalls() == []
        assert desk.events == [Authenticated(), Subscribed("e", 1, 15.0, 20.0)]

    def test_close_cuts_a_server_that_does_not_close(self):
        desk = Desk()
        desk.consume()
        server = desk.connect()
        desk.client.close()
        desk.clock.advance(LINGER)
        assert server.transport.disconnected

    def test_close_while_dialing(self):
        desk = Desk()
        ended = desk.consume()
        assert result(desk.client.close()) is None
        assert result(ended) is None
        assert desk.endpoint.cancelled == 1
        assert desk.clock.getDelayedCalls() == []

    def test_close_while_waiting(self):
        desk = Desk()
        ended = desk.consume()
        desk.endpoint.refuse()
        assert result(desk.client.close()) is None
        assert result(ended) is None
        assert desk.clock.getDelayedCalls() == []

    def test_close_before_the_beginning(self):
        desk = Desk()
        assert result(desk.client.close()) is None
        assert result(desk.consume()) is None
        assert desk.endpoint.dialed == []

    def test_close_again(self):
        desk = Desk()
        desk.consume()
        server = desk.connect()
        closed = [desk.client.close(), desk.client.close()]
        server.lose()
        closed.append(desk.client.close())
        assert list(map(result, closed)) == [None] * 3

    def test_close_drops_what_is_queued(self):
        desk = Desk(limits=ClientLimits(max_queued_batches=2))
        first = desk.take()
        server = desk.connect(*map(batch, range(1, 9)))
        assert result(first).sequence == 1
        desk.client.close()
        assert type(result(desk.take())) is StopAsyncIteration
        assert server.transport.disconnecting
        assert not server.reading_paused

    def test_close_from_within_the_loop(self):
        desk = Desk()

        async def one():
            async for received in desk.client:
                desk.client.close()
                desk.batches.append(received.sequence)

        ended = Deferred.fromCoroutine(one())
        server = desk.connect(batch(1), batch(2), batch(3))
        assert desk.batches == [1]
        assert result(ended) is None
        assert server.transport.disconnecting

    def test_close_from_within_an_event(self):
        desk = Desk(on_event=lambda event: desk.client.close())
        ended = desk.consume()
        server = desk.endpoint.accept()
        server.say(LOGIN_ACK)
        assert result(ended) is None
        assert server.transport.disconnecting
        assert server.heard_types() == [FrameType.AUTH]

    def test_close_from_within_an_event_ends_it_before_what_is_behind_that(self):
        def close(event):
            desk.events.append(event)
            if isinstance(event, Gap):
                desk.client.close()

        desk = Desk(on_event=close)
        first = desk.take()
        server = desk.connect(batch(1))
        assert result(first).sequence == 1
        server.say(batch(5), batch(9))
        assert type(result(desk.take())) is StopAsyncIteration
        assert desk.client.position == Position("e", 1)
        assert desk.events[2:] == [Gap(2, 4)]

    def test_as_a_context(self):
        desk = Desk()

        async def watch():
            async with desk.client as client:
                return (await client.__anext__()).sequence

        watching = Deferred.fromCoroutine(watch())
        server = desk.connect(batch(1))
        assert server.transport.disconnecting
        server.lose()
        assert result(watching) == 1

    def test_what_on_event_raises_comes_out_of_the_iteration(self):
        def fail(event):
            raise TickstormError("mine")

        desk = Desk(on_event=fail)
        ended = desk.consume()
        server = desk.endpoint.accept()
        server.say(LOGIN_ACK)
        error = result(ended)
        assert (type(error), str(error)) == (TickstormError, "mine")
        assert server.transport.disconnecting

    def test_on_event_is_called_no_more_after_it_raised(self):
        def fail(event):
            desk.events.append(event)
            if isinstance(event, Subscribed):
                raise TickstormError("mine")

        desk = Desk(on_event=fail, resume_from=Position("old", 3))
        ended = desk.consume()
        desk.endpoint.accept().say(LOGIN_ACK, subscription_ack(1, recovered="false"), batch(1))
        assert type(result(ended)) is TickstormError
        assert list(map(type, desk.events)) == [Authenticated, Subscribed]

    def test_also_when_it_would_have_connected_again(self):
        def fail(event):
            raise TickstormError("mine")

        desk = Desk(on_event=fail)
        ended = desk.consume()
        desk.endpoint.refuse()
        assert type(result(ended)) is TickstormError
        assert desk.clock.getDelayedCalls() == []


class TestConsumer:
    def test_one_that_gives_up_waiting_loses_nothing(self):
        desk = Desk()
        given_up = desk.take()
        server = desk.connect()
        given_up.cancel()
        assert result(given_up).__class__.__name__ == CancelledError.__name__
        server.say(batch(1))
        assert result(desk.take()).sequence == 1

    def test_a_second_one_at_a_time_is_refused(self):
        desk = Desk()
        first = desk.take()
        assert type(result(desk.take())) is RuntimeError
        desk.connect(batch(1))
        assert result(first).sequence == 1


@pytest.mark.parametrize(
    ("symbols", "error"), [("ACME", TypeError), ([], ValueError), (iter(()), ValueError)]
)
def test_symbols_that_would_ask_for_something_else(symbols, error):
    with pytest.raises(error, match="symbols is"):
        Desk(symbols=symbols)


@pytest.mark.parametrize("address", ["tcp:", "nowhere:1:2", "tls:host:1:trustRoots=/none"])
def test_an_address_that_is_none(address):
    with pytest.raises(ConfigError, match="address '"):
        twisted_client(Clock(), address, username="u", password="p")


@implementer_only(ITransport)
class Pipe(FakeTransport):
    """Not a TCP connection, and does not pretend to be one."""


@implementer(IStreamClientEndpoint)
class PumpedEndpoint:
    """Connects to a server's factory through iosim."""

    def __init__(self, server, clock):
        self.server, self._clock = server, clock

    def connect(self, factory):
        server, client = self.server.buildProtocol(None), factory.buildProtocol(None)
        ends = Pipe(client, isServer=False), Pipe(server, isServer=True)
        self.pump = IOPump(client, server, *ends, debug=False, clock=self._clock)
        server.makeConnection(ends[1])
        client.makeConnection(ends[0])
        return Deferred()


class Soon(Random):
    """Has a drain let its clients come back as soon as it ever does."""

    def random(self):
        return 0.0


class RealServer:
    """A hub and a factory, and a client of it, on one clock."""

    def __init__(self, password="secret", slots=1, **request):
        self.clock = Clock()
        times = simulated_clock(self.clock)
        self.hub = Hub("e1", times.wall_ns, HubLimits(history=HistoryLimits()), slots)
        self.factory = self._start(times)
        self.endpoint = PumpedEndpoint(self.factory, self.clock)
        self.events, self.batches = [], []
        self.client = twisted_client(
            self.clock,
            self.endpoint,
            username="ann",
            password=password,
            on_event=self.events.append,
            clock=times,
            random=lambda: 0.5,
            **request,
        )
        self.ended = Deferred.fromCoroutine(self._collect())
        self.endpoint.pump.flush()

    def _start(self, times):
        factory = TickstormFactory(
            FanOut(self.hub, times), SharedCredentials("ann", "secret"), times, random=Soon()
        )
        factory.doStart()
        return factory

    async def _collect(self):
        async for received in self.client:
            self.batches.append(received)

    def deploy(self):
        """Put another factory in the place of this one, on the same feed."""
        self.factory.doStop()
        self.factory.drain(1.0)
        self.endpoint.pump.flush()
        self.factory = self.endpoint.server = self._start(simulated_clock(self.clock))

    def lose(self):
        """Cut the connection, with all that is on its way."""
        for protocol in (self.endpoint.pump.client, self.endpoint.pump.server):
            protocol.connectionLost(Failure(ConnectionDone("bye")))

    def advance(self, *seconds):
        for step in seconds:
            self.clock.advance(step)
            self.endpoint.pump.flush()


class TestAgainstTheServer:
    def test_ticks(self):
        real = RealServer(mode=Mode.TICK, symbols=["ACME"], snapshot=True)
        real.hub.publish([Tick("ACME", 10.0), Tick("OTHER", 1.0)])
        real.advance(0.005)
        real.hub.publish([Tick("ACME", 11.0)])
        real.advance(0.005)
        prices = [[tick.price for tick in batch.ticks] for batch in real.batches]
        assert prices[-2:] == [[10.0], [11.0]]
        assert real.batches[-1].sequence == real.batches[-2].sequence + 1

    def test_bars_for_an_hour_without_an_incident(self):
        real = RealServer()
        real.hub.publish([Tick("ACME", 10.0, 2.0)])
        real.advance(*[1.0] * 3600)
        assert [batch.sequence for batch in real.batches] == list(
            range(real.batches[0].sequence, real.batches[0].sequence + 3600)
        )
        assert [tick.symbol for tick in real.batches[0].ticks] == ["ACME"]
        assert [type(event) for event in real.events] == [Authenticated, Subscribed]

    def test_a_minute_s_silence_is_bridged_by_heartbeats(self):
        real = RealServer(mode=Mode.MINUTE)
        real.advance(*[1.0] * 200)
        assert len(real.batches) == 3
        assert [type(event) for event in real.events] == [Authenticated, Subscribed]

    @pytest.mark.parametrize("slots", [1, 200])
    @pytest.mark.parametrize(
        "request_",
        [{}, {"mode": Mode.TICK, "symbols": ["EUR*"]}, {"interval": 0.25}],
        ids=["SECOND", "TICK", "250ms"],
    )
    def test_over_lost_connections_each_batch_comes_once_and_in_order(self, request_, slots):
        real = RealServer(slots=slots, **request_)
        for number in range(1, 601):
            if number % 130 == 90:
                real.lose()
            real.hub.publish([Tick("EURUSD", float(number))])
            real.clock.advance(0.1)
            if real.endpoint.pump.client.transport is not None:
                real.endpoint.pump.flush()
        numbers = [batch.sequence for batch in real.batches]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        prices = [tick.price for batch in real.batches for tick in batch.ticks]
        assert prices == sorted(set(prices))
        assert {type(event) for event in real.events} == {Authenticated, Subscribed, Disconnected}
        assert [e.recovered for e in real.events if isinstance(e, Subscribed)] == [None] + 4 * [
            True
        ]

    def test_a_change_of_mind(self):
        real = RealServer(symbols=["ACME"])
        real.advance(1.0)
        changed = Deferred.fromCoroutine(real.client.change(mode=Mode.TICK, symbols=["EUR*"]))
        real.endpoint.pump.flush()
        assert result(changed) is None
        real.hub.publish([Tick("ACME", 1.0), Tick("EURUSD", 2.0)])
        real.advance(0.005)
        assert [tick.symbol for tick in real.batches[-1].ticks] == ["EURUSD"]
        assert real.events[-1].symbols == {"EUR*"}

    def test_a_wrong_password(self):
        real = RealServer(password="wrong")
        assert type(result(real.ended)) is InvalidAuth

    def test_a_drain_is_retried_without_a_gap(self):
        real = RealServer()
        real.advance(1.0)
        real.deploy()
        assert type(real.events[-1].error) is ShuttingDown
        real.advance(*[0.25] * 4, 1.0)
        numbers = [batch.sequence for batch in real.batches]
        assert numbers == list(range(numbers[0], numbers[0] + 3))
