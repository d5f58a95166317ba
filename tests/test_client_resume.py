"""A client that goes on where it was, is sent away, and changes its mind: on Twisted, in memory."""

import pytest
from scripted import LOGIN_ACK, Desk, batch, result, subscription_ack
from twisted.internet.defer import Deferred

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client import (
    Authenticated,
    ClientLimits,
    Disconnected,
    Gap,
    GoAway,
    Mode,
    Overload,
    Position,
    Restarted,
    ServerError,
    Subscribed,
)
from tickstorm.client.connection import LINGER
from tickstorm.client.messages import subscription_frame, unsubscription_frame
from tickstorm.errors import InvalidMessage, InvalidSubscription, ShuttingDown, TickstormError
from tickstorm.frames import FrameDecoder, FrameType, encode_frame
from tickstorm.messages import ack_frame, error_frame
from tickstorm.records import batch_frame
from tickstorm.subscriptions import Subscription

UNSUBSCRIPTION_ACK = ack_frame(FrameType.UNSUBSCRIBE, "unsubscribed", 5)
GOAWAY = encode_frame(
    FrameType.GOAWAY, pb.GoAway(retry_after_ms=3_000, reason="deploy").SerializeToString()
)
ALL = Subscription(Mode.SECOND)


def snapshot(sequence):
    return batch_frame([], timestamp_ms=1, sequence=sequence, publish_time_ns=2, is_snapshot=True)


def request_of(subscription):
    decoder = FrameDecoder()
    decoder.feed(subscription_frame(subscription))
    return decoder.next_frame()


def log_in(desk):
    """Accept the next connection and its login; return it, and what it asks for."""
    server = desk.endpoint.accept()
    server.say(LOGIN_ACK)
    _, request = server.heard()
    return server, request


def lose(desk, server):
    """Lose a connection, and let the client dial again."""
    server.lose()
    desk.clock.advance(desk.events[-1].retry_in)


def behind(sequence, epoch="e"):
    return request_of(ALL._replace(resume=Position(epoch, sequence)))


class TestResume:
    def test_all_that_can_be_asked_for_is(self):
        desk = Desk(
            mode=Mode.MINUTE,
            symbols=["EUR*"],
            interval=0.25,
            overload=Overload.CONFLATE,
            start_time_ms=5,
        )
        desk.take()
        _, request = log_in(desk)
        assert request == request_of(
            Subscription(
                Mode.MINUTE,
                frozenset({"EUR*"}),
                interval_ms=250,
                overload=Overload.CONFLATE,
                start_time_ms=5,
            )
        )

    def test_it_goes_on_behind_the_last_batch_consumed_or_not(self):
        desk = Desk()
        first = desk.take()
        server = desk.connect(batch(1), batch(2), batch(3)[:-1])
        assert result(first).sequence == 1
        lose(desk, server)
        server, request = log_in(desk)
        assert request == behind(2)
        server.say(subscription_ack(3, recovered="true"), batch(3))
        assert [result(desk.take()).sequence for _ in range(2)] == [2, 3]
        assert desk.events[-2:] == [Authenticated(), Subscribed("e", 3, 15.0, 20.0, True)]

    def test_before_the_first_batch_it_goes_on_where_that_was_to_be(self):
        desk = Desk()
        desk.take()
        lose(desk, desk.connect(next_sequence=0))
        assert log_in(desk)[1] == behind(2**32 - 1)

    def test_what_is_not_recovered_is_told_before_the_snapshot_and_the_rest(self):
        desk = Desk()
        desk.consume()
        lose(desk, desk.connect(batch(1)))
        server, request = log_in(desk)
        assert request == behind(1)
        server.say(subscription_ack(9, recovered="false"), snapshot(8), batch(9))
        assert desk.batches == [1, 8, 9]
        assert desk.events[-2:] == [Subscribed("e", 9, 15.0, 20.0, False), Gap(2, 8)]
        lose(desk, server)
        server, request = log_in(desk)
        assert request == behind(9)
        server.say(subscription_ack(1, epoch="f-17", recovered="false"))
        assert desk.events[-1] == Restarted()
        lose(desk, server)
        assert log_in(desk)[1] == request_of(ALL._replace(snapshot=True))

    def test_the_past_is_asked_for_once_it_has_begun_no_more(self):
        desk = Desk(start_time_ms=5)
        desk.consume()
        lose(desk, desk.connect())
        server, request = log_in(desk)
        assert request == request_of(ALL._replace(start_time_ms=5))
        server.say(subscription_ack(1, recovered="true"), batch(1))
        lose(desk, server)
        assert log_in(desk)[1] == behind(1)

    def test_who_does_not_want_to_resume_does_not(self):
        desk = Desk(resume=False, snapshot=True)
        desk.consume()
        for _ in range(2):
            server, request = log_in(desk)
            assert request == request_of(ALL._replace(snapshot=True))
            server.say(subscription_ack(1), batch(1))
            lose(desk, server)

    def test_a_server_of_plain_version_1_is_asked_for_what_it_knows(self):
        desk = Desk()
        desk.consume()
        for _ in range(2):
            server, request = log_in(desk)
            assert request == request_of(ALL)
            server.say(ack_frame(FrameType.SUBSCRIBE, "", 5), batch(7))
            lose(desk, server)
        assert desk.batches == [7, 7]
        assert desk.client.position is None

    def test_a_snapshot_that_was_to_come_behind_the_past_comes_and_what_it_replaces_is_told(self):
        desk = Desk(snapshot=True, start_time_ms=5)
        desk.consume()
        server, _ = log_in(desk)
        server.say(subscription_ack(7, recovered="false"), batch(7))
        lose(desk, server)
        server, request = log_in(desk)
        assert request == request_of(ALL._replace(snapshot=True))
        server.say(subscription_ack(10), snapshot(9), batch(10))
        lose(desk, server)
        assert log_in(desk)[1] == behind(10)
        assert desk.batches == [7, 9, 10]
        assert [event for event in desk.events if isinstance(event, Gap)] == [Gap(8, 9)]


class TestPosition:
    def test_it_is_that_of_the_batch_handed_out_last(self):
        desk = Desk()
        assert desk.client.position is None
        first = desk.take()
        server = desk.connect(snapshot(0), batch(1), batch(2))
        assert result(first).is_snapshot
        assert desk.client.position is None
        result(desk.take())
        assert desk.client.position == Position("e", 1)
        lose(desk, server)
        server, _ = log_in(desk)
        server.say(subscription_ack(8, epoch="f", recovered="false"), snapshot(7), batch(8))
        found = []
        for _ in range(3):
            result(desk.take())
            found.append(desk.client.position)
        assert found == [Position("e", 2), Position("e", 2), Position("f", 8)]

    def test_another_client_goes_on_behind_it(self):
        desk = Desk(resume_from=Position("e", 6), snapshot=True)
        assert desk.client.position == Position("e", 6)
        desk.consume()
        server, request = log_in(desk)
        assert request == behind(6)
        server.say(subscription_ack(7, recovered="true"), batch(7))
        assert desk.batches == [7]
        assert desk.events == [Authenticated(), Subscribed("e", 7, 15.0, 20.0, True)]

    def test_another_client_is_told_what_is_missing(self):
        desk = Desk(resume_from=Position("d", 6))
        desk.consume()
        server, _ = log_in(desk)
        server.say(subscription_ack(7, recovered="false"))
        assert desk.events[1:] == [Subscribed("e", 7, 15.0, 20.0, False), Restarted()]


class TestGoAway:
    def test_it_leaves_and_comes_back_in_time_and_goes_on(self):
        desk = Desk()
        desk.consume()
        server = desk.connect(batch(1), GOAWAY, batch(2))
        told, lost = desk.events[-2:]
        assert told == GoAway(3_000, "deploy")
        assert (type(lost.error), str(lost.error), lost.retry_in) == (ShuttingDown, "deploy", 3.25)
        assert server.transport.disconnecting
        server.lose()
        desk.clock.advance(3.2)
        assert desk.endpoint.dialed == []
        desk.clock.advance(0.1)
        assert log_in(desk)[1] == behind(1)

    def test_a_server_that_does_not_close_is_cut(self):
        desk = Desk()
        desk.consume()
        server = desk.connect(GOAWAY)
        desk.clock.advance(LINGER)
        assert server.transport.disconnected

    def test_close_waits_for_the_connection_that_it_left_too(self):
        desk = Desk()
        desk.consume()
        left = desk.connect(GOAWAY)
        desk.clock.advance(3.25)
        server = desk.connect()
        closed = desk.client.close()
        server.lose()
        assert not closed.called
        left.lose()
        assert (result(closed), desk.clock.getDelayedCalls()) == (None, [])

    @pytest.mark.parametrize("closes", [False, True])
    def test_while_nobody_consumes_nothing_is_lost(self, closes):
        desk = Desk(limits=ClientLimits(max_queued_batches=2))
        first = desk.take()
        server = desk.connect(*map(batch, range(1, 7)), GOAWAY)
        assert server.reading_paused
        if closes:
            server.lose()
        taken = [result(first).sequence]
        while len(taken) < 6:
            assert desk.endpoint.dialed == []
            taken.append(result(desk.take()).sequence)
        assert taken == [1, 2, 3, 4, 5, 6]
        assert desk.events[-2] == GoAway(3_000, "deploy")
        assert not server.reading_paused or closes
        desk.clock.advance(3.25)
        assert log_in(desk)[1] == behind(6)


class TestChange:
    TICKS = Subscription(Mode.TICK, frozenset({"EUR*"}))

    def change(self, desk, mode=Mode.TICK, symbols=("EUR*",), **more):
        return Deferred.fromCoroutine(desk.client.change(mode=mode, symbols=symbols, **more))

    def acknowledge(self, server, *frames, next_sequence=5):
        server.say(UNSUBSCRIPTION_ACK)
        (request,) = server.heard()
        server.say(subscription_ack(next_sequence), *frames)
        return request

    @pytest.mark.parametrize("mode", ["tick", 7])
    def test_to_what_is_no_mode_changes_nothing(self, mode):
        desk = Desk()
        desk.consume()
        server = desk.connect(batch(1))
        server.heard()
        self.change(desk, mode).addErrback(lambda failure: failure.trap(TypeError))
        server.say(batch(2))
        assert (server.heard(), desk.batches) == ([], [1, 2])

    def test_on_the_same_connection(self):
        desk = Desk(snapshot=True, overload=Overload.DROP_OLDEST)
        desk.consume()
        server = desk.connect(batch(1))
        server.heard()
        changed = self.change(desk, Mode.MINUTE, ["A"], interval=0.5)
        assert server.transport.value() == unsubscription_frame()
        server.heard()
        server.say(batch(2), batch(3))
        assert not changed.called
        request = self.acknowledge(server, snapshot(4), batch(5))
        assert request == request_of(
            Subscription(
                Mode.MINUTE,
                frozenset({"A"}),
                snapshot=True,
                interval_ms=500,
                overload=Overload.DROP_OLDEST,
            )
        )
        assert result(changed) is None
        assert desk.batches == [1, 4, 5]
        assert desk.events[2:] == [Subscribed("e", 5, 15.0, 20.0)]
        assert desk.client.position == Position("e", 5)
        lose(desk, server)
        _, request = log_in(desk)
        assert request == request_of(
            Subscription(
                Mode.MINUTE,
                frozenset({"A"}),
                interval_ms=500,
                overload=Overload.DROP_OLDEST,
                resume=Position("e", 5),
            )
        )

    def test_what_was_received_and_not_consumed_is_dropped(self):
        desk = Desk()
        first = desk.take()
        server = desk.connect(batch(1), batch(2), batch(3))
        assert result(first).sequence == 1
        server.heard()
        self.change(desk)
        server.heard()
        assert desk.client.position is None
        waiting = desk.take()
        self.acknowledge(server, batch(5))
        assert result(waiting).sequence == 5

    def test_from_within_the_loop_of_one_whose_queue_is_full(self):
        desk = Desk(limits=ClientLimits(max_queued_batches=2))
        found = []

        async def one_of_each():
            found.append((await desk.client.__anext__()).sequence)
            await desk.client.change(mode=Mode.TICK, symbols=None)
            found.append((await desk.client.__anext__()).sequence)

        looping = Deferred.fromCoroutine(one_of_each())
        server = desk.endpoint.accept()
        server.stream_from(1, *map(batch, range(1, 9)))
        assert not server.reading_paused
        server.heard()
        self.acknowledge(server, batch(5))
        assert result(looping) is None
        assert found == [1, 5]

    def test_from_within_an_event_that_comes_with_a_batch_that_makes_room(self):
        def change(event):
            if isinstance(event, Gap):
                self.change(desk)

        desk = Desk(on_event=change, limits=ClientLimits(max_queued_batches=2))
        first = desk.take()
        server = desk.connect(*map(batch, (1, 2, 3, 9)))
        assert result(first).sequence == 1
        server.heard()
        second = desk.take()
        assert (second.called, desk.client.position) == (False, None)
        server.heard()
        self.acknowledge(server, batch(5))
        assert result(second).sequence == 5

    def test_a_connection_is_as_old_as_before(self):
        desk = Desk()
        desk.consume()
        desk.endpoint.refuse()
        desk.clock.advance(0.25)
        server = desk.connect()
        for number in range(1, 4):
            desk.clock.advance(10.0)
            server.say(batch(number))
        server.heard()
        self.change(desk)
        server.heard()
        self.acknowledge(server)
        server.lose()
        assert desk.events[-1].retry_in == 0.25

    def test_one_that_nobody_reads_is_read_again(self):
        desk = Desk(limits=ClientLimits(max_queued_batches=2))
        desk.take()
        server = desk.connect(*map(batch, range(1, 9)))
        server.heard()
        assert server.reading_paused
        changed = self.change(desk)
        assert not server.reading_paused
        server.heard()
        self.acknowledge(server)
        assert result(changed) is None

    def test_what_a_lost_connection_brought_of_the_old_is_dropped(self):
        desk = Desk(limits=ClientLimits(max_queued_batches=2))
        desk.take()
        desk.connect(*map(batch, range(1, 9))).lose()
        changed = self.change(desk)
        desk.clock.advance(0.25)
        server, request = log_in(desk)
        assert request == request_of(self.TICKS)
        server.say(subscription_ack(5), batch(5))
        assert result(changed) is None
        assert result(desk.take()).sequence == 5

    def test_over_a_lost_connection(self):
        desk = Desk()
        desk.consume()
        server = desk.connect(batch(1))
        changed = self.change(desk)
        lose(desk, server)
        server, request = log_in(desk)
        assert request == request_of(self.TICKS)
        assert not changed.called
        server.say(subscription_ack(5))
        assert result(changed) is None

    def test_while_it_waits_and_while_it_dials(self):
        desk = Desk()
        desk.consume()
        desk.endpoint.refuse()
        first = self.change(desk, symbols=["A"])
        desk.clock.advance(0.25)
        second = self.change(desk)
        server, request = log_in(desk)
        assert request == request_of(self.TICKS)
        server.say(subscription_ack(5))
        assert [result(first), result(second)] == [None, None]

    def test_before_the_beginning(self):
        desk = Desk(start_time_ms=5)
        assert result(self.change(desk)) is None
        assert desk.endpoint.dialed == []
        desk.take()
        assert log_in(desk)[1] == request_of(self.TICKS)

    def test_from_within_the_event_of_the_first_subscription(self):
        changes = []

        def change(event):
            if isinstance(event, Subscribed) and not changes:
                changes.append(self.change(desk))

        desk = Desk(on_event=change)
        desk.consume()
        server = desk.connect()
        server.heard()
        assert not changes[0].called
        self.acknowledge(server)
        assert result(changes[0]) is None

    def test_a_server_that_cannot_do_it_is_asked_on_another_connection(self):
        desk = Desk()
        desk.consume()
        server = desk.connect(batch(1))
        changed = self.change(desk)
        server.say(error_frame(InvalidMessage("unknown frame type 0x09"), 5))
        told, lost = desk.events[-2:]
        assert (type(told), told.retryable) == (ServerError, True)
        assert lost == Disconnected(told.error, 0.25)
        desk.clock.advance(0.25)
        server, request = log_in(desk)
        assert request == request_of(self.TICKS)
        server.say(subscription_ack(5))
        assert result(changed) is None

    def test_a_refusal_ends_the_client(self):
        desk = Desk()
        ended = desk.consume()
        server = desk.connect(batch(1))
        changed = self.change(desk)
        server.say(UNSUBSCRIPTION_ACK, error_frame(InvalidSubscription("no"), 5))
        assert type(result(changed)) is InvalidSubscription
        assert type(result(ended)) is InvalidSubscription
        assert type(result(self.change(desk))) is InvalidSubscription

    def test_close_ends_it(self):
        desk = Desk()
        desk.consume()
        desk.connect()
        given_up, changed = self.change(desk), self.change(desk)
        given_up.cancel()
        result(given_up)
        desk.client.close()
        for change in (changed, self.change(desk)):
            error = result(change)
            assert (type(error), str(error)) == (ConnectionError, "the client was closed")

    def test_what_on_event_raises_comes_out_of_it(self):
        def fail(event):
            if isinstance(event, Disconnected):
                raise TickstormError("mine")

        desk = Desk(on_event=fail)
        ended = desk.consume()
        server = desk.connect()
        changed = self.change(desk)
        server.lose()
        assert [str(result(each)) for each in (changed, ended)] == ["mine"] * 2

    def test_what_on_event_raises_when_it_streams_comes_out_of_it(self):
        def fail(event):
            if isinstance(event, Subscribed) and event.next_sequence == 5:
                raise TickstormError("mine")

        desk = Desk(on_event=fail)
        ended = desk.consume()
        server = desk.connect()
        server.heard()
        changed = self.change(desk)
        server.heard()
        self.acknowledge(server)
        assert [str(result(each)) for each in (changed, ended)] == ["mine"] * 2

    def test_a_client_that_on_event_closes_when_it_streams_has_not_changed(self):
        def close(event):
            if isinstance(event, Subscribed) and event.next_sequence == 5:
                desk.client.close()

        desk = Desk(on_event=close)
        desk.consume()
        server = desk.connect()
        server.heard()
        changed = self.change(desk)
        server.heard()
        self.acknowledge(server)
        assert str(result(changed)) == "the client was closed"

    def test_one_that_gives_up_waiting_stops_nothing(self):
        desk = Desk()
        desk.consume()
        server = desk.connect()
        server.heard()
        changed = self.change(desk)
        server.heard()
        changed.cancel()
        self.acknowledge(server, batch(5))
        assert desk.batches == [5]
        result(changed)

    @pytest.mark.parametrize("symbols", ["A", [], ["a"]])
    def test_what_cannot_be_asked_for_changes_nothing(self, symbols):
        desk = Desk()
        desk.consume()
        server = desk.connect(batch(1))
        server.heard()
        assert isinstance(result(self.change(desk, symbols=symbols)), TypeError | ValueError)
        assert server.heard() == []
        server.say(batch(2))
        assert desk.batches == [1, 2]
