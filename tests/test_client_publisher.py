"""The whole publisher on Twisted, in memory: a scripted server, and a real one through iosim."""

from traceback import extract_tb

import pytest
from conversation import PASSWORD, TICK, USER, Server
from scripted import ScriptedEndpoint, result
from test_client_client import PumpedEndpoint
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tickstorm.client import (
    Admitted,
    Disconnected,
    Held,
    Published,
    PublisherLimits,
    ServerError,
    Totals,
    twisted_publisher,
)
from tickstorm.client.connection import LINGER
from tickstorm.clock import simulated_clock
from tickstorm.errors import (
    InvalidAuth,
    InvalidPublication,
    InvalidTick,
    MayNotPublish,
    PublicationFailed,
    PublisherClosed,
    PublishingTooFast,
    ShuttingDown,
    TickstormError,
)
from tickstorm.frames import FrameType
from tickstorm.hub import HubLimits
from tickstorm.messages import ack_frame, decode_login, decode_publication, error_frame
from tickstorm.rates import Rate
from tickstorm.ticks import Tick

START = 1_700_000_000.0
FIRST_ID = round(START * 1e6)
ACME = Tick("ACME", 101.25, 5.0)


def login_ack(epoch="e"):
    return ack_frame(FrameType.AUTH, "authenticated", 5, {"epoch": epoch})


def published(request_id, **metadata):
    return ack_frame(FrameType.PUBLISH, "published", 5, {"request_id": str(request_id), **metadata})


class Desk:
    """A publisher, its clock and its endpoint."""

    def __init__(self, on_event=None, limits=PublisherLimits(), **options):
        self.clock = Clock()
        self.clock.rightNow = START
        self.endpoint = ScriptedEndpoint()
        self.events = []
        self.publisher = twisted_publisher(
            self.clock,
            self.endpoint,
            username="ann",
            password="secret",
            on_event=on_event or self.events.append,
            limits=limits,
            clock=simulated_clock(self.clock),
            random=lambda: 0.5,
            **options,
        )

    def publish(self, *ticks):
        return Deferred.fromCoroutine(self.publisher.publish(ticks))

    def close(self):
        return self.publisher.close()

    def connect(self, epoch="e"):
        server = self.endpoint.accept()
        assert server.heard_types() == [FrameType.AUTH]
        server.say(login_ack(epoch))
        return server


def requests(server):
    return [decode_publication(frame.payload, round(START * 1000)) for frame in server.heard()]


def ids(server):
    return [request.request_id - FIRST_ID for request in requests(server)]


def failure(deferred, kind):
    error = result(deferred)
    assert type(error) is kind
    return str(error)


def test_nothing_happens_before_it_is_asked():
    desk = Desk()
    assert result(desk.publish()) == Published(0, 0, 0)
    assert desk.endpoint.dialed == []


def test_it_publishes_once_it_is_let_in_and_returns_with_the_answer():
    desk = Desk(client_id="desk-1")
    call = desk.publish(ACME, ACME)
    server = desk.endpoint.accept()
    (auth,) = server.heard()
    assert decode_login(auth.payload)[:3] == ("ann", "secret", "desk-1")
    server.say(login_ack())
    (request,) = requests(server)
    assert request == (FIRST_ID, [ACME, ACME], 0)
    assert not call.called
    server.say(published(FIRST_ID))
    assert result(call) == Published(2, 1, 0)
    assert desk.publisher.totals == Totals(2, 1, 0)
    assert desk.events == [Admitted("e", 15.0, 20.0)]


def test_a_later_call_goes_out_at_once():
    desk = Desk()
    desk.publish(ACME)
    server = desk.connect()
    server.heard()
    desk.publish(ACME)
    assert ids(server) == [1]


def test_each_publisher_has_an_identity_of_its_own():
    logins = set()
    for _ in range(2):
        desk = Desk()
        desk.publish(ACME)
        (auth,) = desk.endpoint.accept().heard()
        logins.add(decode_login(auth.payload).client_id)
    assert len(logins) == 2


def test_a_client_id_that_is_too_long():
    with pytest.raises(ValueError, match="the client_id has 65 characters, over 64"):
        Desk(client_id="x" * 65)


def test_no_more_is_under_way_than_the_limit():
    desk = Desk(limits=PublisherLimits(max_requests=2))
    call = desk.publish(*[ACME] * 3001)
    server = desk.connect()
    assert ids(server) == [0, 1]
    server.say(published(FIRST_ID))
    assert ids(server) == [2]
    server.say(published(FIRST_ID + 1), published(FIRST_ID + 2))
    assert ids(server) == [3]
    server.say(published(FIRST_ID + 3))
    assert result(call) == Published(3001, 4, 0)


def test_what_had_no_answer_is_sent_again_with_its_number():
    desk = Desk(client_id="desk-1")
    calls = [desk.publish(ACME) for _ in range(3)]
    server = desk.connect()
    assert ids(server) == [0, 1, 2]
    server.say(published(FIRST_ID))
    server.lose()
    assert (type(desk.events[-1]), desk.events[-1].retry_in) == (Disconnected, 0.25)
    calls.append(desk.publish(ACME))
    desk.clock.advance(0.25)
    server = desk.connect()
    assert ids(server) == [1, 2, 3]
    server.say(published(FIRST_ID + 1, repeated="true"), *map(published, (FIRST_ID + 2,)))
    assert [result(call) for call in calls[:3]] == [(1, 1, 0), (1, 1, 1), (1, 1, 0)]
    assert not calls[3].called


def test_a_call_that_was_refused_waits_for_no_other_connection():
    desk = Desk()
    call = desk.publish(*[ACME] * 2500)
    server = desk.connect()
    assert ids(server) == [0, 1, 2]
    server.say(error_frame(MayNotPublish("tick 0: no", f"request {FIRST_ID}"), 5))
    assert not call.called
    server.lose()
    assert failure(call, MayNotPublish) == "tick 0: no; no tick was published"


def test_a_server_that_was_started_again_cannot_tell():
    desk = Desk()
    call = desk.publish(ACME)
    server = desk.connect()
    server.lose()
    later = desk.publish(ACME)
    desk.clock.advance(0.25)
    server = desk.connect("f")
    assert failure(call, PublicationFailed) == (
        "the server was started again; no tick was published, whether tick 0 was is not known"
    )
    assert ids(server) == [1]
    server.say(published(FIRST_ID + 1))
    assert result(later) == Published(1, 1, 0)


def test_who_is_too_fast_waits_and_asks_again():
    desk = Desk()
    call = desk.publish(ACME)
    server = desk.connect()
    server.heard()
    server.say(error_frame(PublishingTooFast("too fast", f"request {FIRST_ID}", 3000), 5))
    assert desk.events[-1] == Held(3.0)
    desk.clock.advance(2.9)
    assert server.heard() == []
    desk.clock.advance(0.1)
    assert ids(server) == [0]
    server.say(published(FIRST_ID))
    assert result(call) == Published(1, 1, 0)


def test_a_refusal_is_raised_and_the_next_call_is_heard():
    desk = Desk()
    call = desk.publish(ACME)
    server = desk.connect()
    server.heard()
    server.say(error_frame(MayNotPublish("tick 0: no", f"request {FIRST_ID}"), 5))
    assert failure(call, MayNotPublish) == "tick 0: no; no tick was published"
    desk.publish(ACME)
    assert ids(server) == [1]


def test_a_bad_tick_needs_no_server():
    desk = Desk()
    bad = ACME._replace(price=0.0)
    assert failure(desk.publish(bad), InvalidTick).startswith("tick 0: price 0.0 is not")
    assert desk.endpoint.dialed == []


def test_an_error_that_will_not_go_away_comes_out_of_every_call():
    desk = Desk()
    calls = [desk.publish(ACME), desk.publish(ACME)]
    desk.endpoint.accept().say(error_frame(InvalidAuth("wrong"), 5))
    for call in calls:
        assert failure(call, InvalidAuth) == "wrong; no tick was published"
    assert failure(desk.publish(ACME), InvalidAuth) == "wrong"
    assert [type(event) for event in desk.events] == [ServerError, Disconnected]
    assert desk.clock.getDelayedCalls() == []


def test_a_server_s_wish_is_obeyed():
    desk = Desk()
    desk.publish(ACME)
    desk.connect().say(error_frame(ShuttingDown("deploy", retry_after_ms=7_000), 5))
    assert desk.events[-1].retry_in == 7.25
    desk.clock.advance(7.25)
    assert ids(desk.connect()) == [0]


def test_what_on_event_raises_ends_it():
    def broken(event):
        raise LookupError("mine")

    desk = Desk(broken)
    first, second = desk.publish(ACME), desk.publish(ACME)
    server = desk.connect()
    errors = [result(first), result(second)]
    assert [(type(error), str(error)) for error in errors] == [
        (TickstormError, "on_event raised LookupError('mine'); no tick was published")
    ] * 2
    assert errors[0] is not errors[1]
    assert type(errors[0].__cause__.__cause__) is LookupError
    assert failure(desk.publish(ACME), TickstormError) == "on_event raised LookupError('mine')"
    assert server.transport.disconnecting


def test_an_end_that_is_raised_often_has_no_longer_traceback_each_time():
    desk = Desk()
    desk.close()
    tracebacks = []
    for _ in range(3):
        with pytest.raises(PublisherClosed) as raised:
            desk.publisher.publish([ACME]).send(None)
        tracebacks.append(len(extract_tb(raised.value.__traceback__)))
    assert tracebacks == tracebacks[:1] * 3


def test_an_idle_publisher_stays_alive():
    desk = Desk()
    desk.publish(ACME)
    server = desk.connect()
    server.heard()
    desk.clock.advance(13.5)
    assert server.heard_types() == [FrameType.HEARTBEAT]


# The end.


def test_a_call_that_is_cancelled_sends_nothing_more():
    desk = Desk(limits=PublisherLimits(max_requests=1))
    call = desk.publish(*[ACME] * 2000)
    after = desk.publish(ACME)
    server = desk.connect()
    assert ids(server) == [0]
    call.cancel()
    assert type(result(call)) is CancelledError
    server.say(published(FIRST_ID))
    assert ids(server) == [1]
    server.say(published(FIRST_ID + 1))
    assert result(after) == Published(1, 1, 0)


def test_an_idle_publisher_closes_at_once():
    desk = Desk()
    call = desk.publish(ACME)
    server = desk.connect()
    server.say(published(FIRST_ID))
    assert result(call) == Published(1, 1, 0)
    closed = desk.close()
    assert server.transport.disconnecting
    assert not closed.called
    server.lose()
    assert closed.called
    assert failure(desk.publish(ACME), PublisherClosed) == "the publisher is closed"
    assert desk.clock.getDelayedCalls() == []


def test_one_that_never_connected_closes():
    assert Desk().close().called


def test_closing_waits_for_what_is_under_way():
    desk = Desk()
    call = desk.publish(ACME)
    server = desk.connect()
    closed, again = desk.close(), desk.close()
    assert not server.transport.disconnecting
    assert failure(desk.publish(ACME), PublisherClosed) == "the publisher is closed"
    server.say(published(FIRST_ID))
    assert result(call) == Published(1, 1, 0)
    assert server.transport.disconnecting
    server.lose()
    assert (closed.called, again.called) == (True, True)
    assert desk.clock.getDelayedCalls() == []


def test_what_an_error_of_the_connection_decides_is_answered():
    desk = Desk()
    call = desk.publish(*[ACME] * 1001)
    server = desk.connect()
    server.say(error_frame(MayNotPublish("tick 0: no", f"request {FIRST_ID}"), 5))
    server.say(error_frame(ShuttingDown("deploy"), 5))
    assert failure(call, MayNotPublish) == "tick 0: no; no tick was published"


def test_who_closes_in_an_event_gets_the_answer_that_came_with_it():
    def close(event):
        if isinstance(event, Held):
            desk.close()

    desk = Desk(close)
    call = desk.publish(*[ACME] * 1001)
    server = desk.connect()
    server.say(error_frame(MayNotPublish("tick 0: no", f"request {FIRST_ID}"), 5))
    server.say(error_frame(PublishingTooFast("", f"request {FIRST_ID + 1}", 3000), 5))
    assert failure(call, MayNotPublish) == "tick 0: no; no tick was published"
    assert server.transport.disconnecting


def test_closing_waits_for_a_cancelled_call_no_longer():
    desk = Desk()
    call = desk.publish(ACME)
    desk.close()
    call.addErrback(lambda _: None)
    call.cancel()
    assert desk.clock.getDelayedCalls() == []


def test_closing_makes_no_connection_for_a_call_that_was_cancelled():
    desk = Desk()
    call = desk.publish(ACME)
    server = desk.connect()
    call.addErrback(lambda _: None)
    call.cancel()
    closed = desk.close()
    assert not closed.called
    server.lose()
    assert (closed.called, desk.clock.getDelayedCalls()) == (True, [])


def test_closing_reconnects_to_learn_what_became_of_it():
    desk = Desk()
    call = desk.publish(ACME)
    desk.connect().lose()
    closed = desk.close()
    desk.clock.advance(0.25)
    server = desk.connect()
    assert ids(server) == [0]
    server.say(published(FIRST_ID, repeated="true"))
    assert result(call) == Published(1, 1, 1)
    server.lose()
    assert closed.called


def test_closing_does_not_wait_for_ever():
    desk = Desk()
    call = desk.publish(ACME)
    server = desk.connect()
    closed = desk.close()
    desk.clock.advance(5.0)
    assert failure(call, PublisherClosed) == (
        "the publisher was closed before all was answered; no tick was published, "
        "whether tick 0 was is not known"
    )
    desk.clock.advance(LINGER)
    assert server.transport.disconnected
    server.lose()
    assert closed.called


def test_as_a_context_manager_it_connects_and_closes():
    desk = Desk()

    async def run():
        async with desk.publisher as publisher:
            await publisher.publish([ACME])

    done = Deferred.fromCoroutine(run())
    server = desk.connect()
    server.say(published(FIRST_ID))
    assert not done.called
    server.lose()
    assert done.called


# A real server.


class RealServer:
    """A server that a user may publish to, and a publisher of it, on one clock."""

    def __init__(self, limits=PublisherLimits(), publishers=(f"{USER}:*",), **options):
        self.server = Server(publishers=publishers, batch_window=0, **options)
        self.endpoint = PumpedEndpoint(self.server.factory, self.server.reactor)
        self.events = []
        self.publisher = twisted_publisher(
            self.server.reactor,
            self.endpoint,
            username=USER,
            password=PASSWORD,
            on_event=self.events.append,
            limits=limits,
            clock=self.server.clock,
            random=lambda: 0.5,
        )
        self.subscriber = self.server.subscribed(TICK)

    def publish(self, *prices):
        ticks = [Tick("ACME", price) for price in prices]
        return Deferred.fromCoroutine(self.publisher.publish(ticks))

    def flow(self, seconds=0.0):
        while seconds > 0:
            self.server.reactor.advance(min(0.25, seconds))
            self.endpoint.pump.flush()
            seconds -= 0.25
        self.endpoint.pump.flush()

    def prices(self):
        return [price for batch in self.subscriber.names() for price in batch]


def test_what_is_published_reaches_a_subscriber():
    desk = RealServer()
    call = desk.publish(1.0, 2.0)
    desk.flow()
    assert result(call) == Published(2, 1, 0)
    assert desk.prices() == [1.0, 2.0]
    assert desk.events == [Admitted("epoch-1", 15.0, 20.0)]


def test_more_than_the_rate_comes_in_order_and_all_of_it():
    desk = RealServer(publish_rate=Rate(1000, 1000))
    prices = [1.0 + index for index in range(3500)]
    call, last = desk.publish(*prices), desk.publish(0.5)
    desk.flow(5.0)
    assert result(call) == Published(3500, 4, 0)
    assert result(last) == Published(1, 1, 0)
    assert desk.prices() == [*prices, 0.5]
    assert Held in map(type, desk.events)


def test_a_refusal_by_a_real_server_leaves_the_first_ticks():
    desk = RealServer(hub_limits=[HubLimits(max_symbols=2)])
    ticks = [*[ACME] * 2500, Tick("B", 1.0), Tick("C", 1.0), *[ACME] * 2500]
    call = Deferred.fromCoroutine(desk.publisher.publish(ticks))
    after = desk.publish(7.0)
    desk.flow()
    assert failure(call, InvalidPublication) == (
        "tick 2501: C is one more than 2 symbols; the first 2,000 ticks were published"
    )
    assert result(after) == Published(1, 1, 0)
    assert len(desk.prices()) == 2001


def test_an_idle_publisher_outlives_the_timeout_of_its_server():
    desk = RealServer()
    desk.publish(1.0)
    desk.flow(60.0)
    assert desk.events == [Admitted("epoch-1", 15.0, 20.0)]
    desk.publish(2.0)
    desk.flow()
    assert desk.server.hub.ticks_published == 2


def test_a_user_who_may_not_publish():
    desk = RealServer(publishers=())
    call = desk.publish(1.0)
    desk.flow()
    assert failure(call, MayNotPublish) == "this user may not publish; no tick was published"
