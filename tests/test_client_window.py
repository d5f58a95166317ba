"""What is under way: sent in order, sent again in order, and carried out once."""

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tickstorm.client.publication import Call, Published
from tickstorm.client.window import MIN_HOLD, Totals, Window
from tickstorm.errors import (
    InvalidMessage,
    InvalidPublication,
    OutOfTurn,
    ProtocolError,
    PublicationFailed,
    PublisherClosed,
    PublishingTooFast,
)
from tickstorm.frames import MAX_PAYLOAD_BYTES, FrameDecoder, FrameType
from tickstorm.messages import decode_publication
from tickstorm.publishing import Intake, Publication, Publisher
from tickstorm.rates import Rate
from tickstorm.symbols import SymbolSet
from tickstorm.ticks import Tick

TOO_FAST = PublishingTooFast("too fast", retry_after_ms=400)
OUT_OF_TURN = PublishingTooFast("it is to follow")
BAD = InvalidPublication("tick 0: no")


class Desk:
    """A window, and the requests that it has sent."""

    def __init__(self, max_requests=4):
        self.window = Window(max_requests, MAX_PAYLOAD_BYTES, 11)
        self.now = 0.0
        self.window.connected("e1")

    def call(self, ticks=1):
        call = Call([Tick("ACME", 1.0)] * ticks)
        self.window.add(call)
        return call

    def sent(self):
        """What is sent now: each with the one that it follows."""
        return [(request.request_id, request.after) for request in read(self.window, self.now)]

    def accept(self, *ids):
        for request_id in ids:
            self.window.acknowledged(request_id, repeated=False)

    def refuse(self, request_id, error):
        self.window.refused(request_id, error, self.now)

    def ended(self):
        ended = [*self.window.ended]
        self.window.ended.clear()
        return ended


def read(window, now):
    decoder = FrameDecoder()
    decoder.feed(b"".join(window.frames(now)))
    frames = list(iter(decoder.next_frame, None))
    assert {frame.type for frame in frames} <= {FrameType.PUBLISH}
    return [decode_publication(frame.payload, 0) for frame in frames]


def raised(call, kind):
    with pytest.raises(kind) as caught:
        call.result()
    return str(caught.value)


@pytest.mark.parametrize("max_requests", [0, 17])
def test_how_many_may_be_under_way(max_requests):
    with pytest.raises(ValueError, match=f"^{max_requests} requests are not 1 to 16$"):
        Desk(max_requests)


def test_requests_are_sent_without_waiting_up_to_the_limit():
    desk = Desk()
    call = desk.call(6000)
    assert desk.sent() == [(11, 0), (12, 11), (13, 12), (14, 13)]
    assert desk.sent() == []
    desk.accept(11, 12)
    assert desk.sent() == [(15, 14), (16, 15)]
    desk.accept(13, 14, 15, 16)
    assert desk.ended() == [call]
    assert (call.result(), desk.window.totals) == (Published(6000, 6, 0), Totals(6000, 6, 0))
    assert (desk.window.idle, desk.window.deadline) == (True, inf)


def test_calls_are_published_in_their_order():
    desk = Desk()
    first, second = desk.call(1500), desk.call(1)
    assert desk.sent() == [(11, 0), (12, 11), (13, 12)]
    desk.accept(11, 12)
    assert desk.ended() == [first]
    desk.accept(13)
    assert desk.ended() == [second]
    desk.call()
    assert desk.sent() == [(14, 0)]


def test_an_empty_call_has_ended():
    desk = Desk()
    call = desk.call(0)
    assert (desk.ended(), desk.sent()) == ([call], [])


def test_an_answer_to_nothing_is_an_error():
    desk = Desk()
    desk.call()
    desk.sent()
    desk.accept(11)
    for request_id in (11, 12):
        with pytest.raises(InvalidMessage, match=f"an answer to request {request_id}, which"):
            desk.accept(request_id)
        with pytest.raises(InvalidMessage, match="which was not made"):
            desk.refuse(request_id, BAD)


def test_who_was_too_fast_waits_for_all_answers_and_for_the_time():
    desk = Desk()
    desk.call(4000)
    desk.sent()
    desk.accept(11)
    desk.refuse(12, TOO_FAST)
    assert (desk.sent(), desk.window.deadline) == ([], inf)
    desk.refuse(13, OUT_OF_TURN)
    desk.refuse(14, OUT_OF_TURN)
    assert (desk.sent(), desk.window.deadline) == ([], 0.4)
    desk.now = 0.4
    assert desk.sent() == [(12, 0), (13, 12), (14, 13)]


def test_a_short_wait_is_made_longer():
    desk = Desk()
    desk.call()
    desk.sent()
    desk.refuse(11, PublishingTooFast("too fast", retry_after_ms=1))
    assert desk.window.deadline == MIN_HOLD


def test_who_is_out_of_turn_sends_again_at_once():
    desk = Desk()
    desk.call(2000)
    desk.sent()
    desk.accept(11)
    desk.refuse(12, OUT_OF_TURN)
    assert desk.sent() == [(12, 0)]


def test_a_refusal_ends_its_call_and_what_is_behind_is_sent_again_without_it():
    desk = Desk()
    first, second = desk.call(3000), desk.call(1)
    desk.sent()
    desk.accept(11)
    desk.refuse(12, BAD)
    assert (desk.ended(), desk.sent()) == ([], [])
    for request_id in (13, 14):
        desk.refuse(request_id, OUT_OF_TURN)
    assert desk.ended() == [first]
    assert raised(first, InvalidPublication) == (
        "tick 1000: no; the first 1,000 ticks were published"
    )
    assert desk.sent() == [(14, 0)]
    desk.accept(14)
    assert (desk.ended(), second.result()) == ([second], Published(1, 1, 0))


def test_a_refusal_may_come_ahead_of_the_answers_before_it():
    desk = Desk()
    call = desk.call(3000)
    desk.sent()
    desk.refuse(12, BAD)
    desk.accept(11)
    desk.refuse(13, OUT_OF_TURN)
    assert desk.ended() == [call]
    assert raised(call, InvalidPublication).endswith("; the first 1,000 ticks were published")


def test_what_has_no_answer_is_sent_again_on_the_next_connection():
    desk = Desk()
    call = desk.call(3000)
    desk.sent()
    desk.accept(11)
    desk.window.connection_lost()
    desk.window.connected("e1")
    assert desk.sent() == [(12, 0), (13, 12)]
    desk.window.acknowledged(12, repeated=True)
    desk.accept(13)
    assert (desk.ended(), call.result()) == ([call], Published(3000, 3, 1))
    assert desk.window.totals == Totals(3000, 3, 1)


def test_a_wait_goes_on_over_a_reconnect():
    desk = Desk()
    desk.call()
    desk.sent()
    desk.refuse(11, TOO_FAST)
    desk.window.connection_lost()
    desk.window.connected("e1")
    assert desk.sent() == []
    desk.now = 0.4
    assert desk.sent() == [(11, 0)]


def test_a_server_that_was_started_again_leaves_what_it_had_in_doubt():
    desk = Desk()
    first, second, third = desk.call(4000), desk.call(1), desk.call(1)
    desk.sent()
    desk.accept(11)
    desk.window.connection_lost()
    desk.window.connected("e2")
    assert desk.ended() == [first]
    assert raised(first, PublicationFailed) == (
        "the server was started again; the first 1,000 ticks were published, "
        "whether ticks 1000 to 3999 were is not known"
    )
    assert desk.sent() == [(15, 0), (16, 15)]
    desk.accept(15, 16)
    assert desk.ended() == [second, third]


def test_what_was_refused_is_not_in_doubt_when_the_server_was_started_again():
    desk = Desk()
    desk.call()
    desk.sent()
    desk.refuse(11, OUT_OF_TURN)
    desk.window.connection_lost()
    desk.window.connected("e2")
    assert desk.sent() == [(11, 0)]


@pytest.mark.parametrize("epochs", [("", "e1"), ("e1", ""), ("", "")])
def test_a_server_that_does_not_say_was_not_started_again(epochs):
    window = Window(4, MAX_PAYLOAD_BYTES, 1)
    window.connected(epochs[0])
    window.add(Call([Tick("ACME", 1.0)]))
    assert len(read(window, 0.0)) == 1
    window.connection_lost()
    window.connected(epochs[1])
    assert [request.request_id for request in read(window, 0.0)] == [1]


def test_a_call_that_is_given_up_before_it_was_sent_is_over():
    desk = Desk(1)
    first, second = desk.call(2000), desk.call()
    desk.sent()
    desk.window.give_up(second, PublisherClosed("cancelled"))
    assert desk.ended() == [second]
    desk.window.give_up(first, PublisherClosed("cancelled"))
    assert (desk.ended(), desk.sent()) == ([], [])
    desk.accept(11)
    assert desk.ended() == [first]
    assert raised(first, PublisherClosed) == "cancelled; the first 1,000 ticks were published"
    desk.window.give_up(first, PublisherClosed("again"))
    assert desk.ended() == []


def test_all_are_given_up_and_what_was_sent_is_in_doubt():
    desk = Desk(1)
    first, second = desk.call(2000), desk.call()
    desk.sent()
    desk.window.give_up_all(PublisherClosed("closed"))
    assert desk.ended() == [first, second]
    assert raised(first, PublisherClosed) == (
        "closed; no tick was published, whether ticks 0 to 999 were is not known"
    )
    assert raised(second, PublisherClosed) == "closed; no tick was published"
    assert desk.window.idle


# Against the server's own intake, whatever happens to the connection.


class Conversation(RuleBasedStateMachine):
    """A publisher and an intake, with connections that are lost and ghosts of old ones."""

    @initialize(max_requests=st.integers(1, 6), per_second=st.sampled_from([1.0, 3.0, 100.0]))
    def begin(self, max_requests, per_second):
        self.window = Window(max_requests, 400, 1)
        self.window.connected("e1")
        self.intake = Intake(self.hear, {"alice": SymbolSet("*")}, Rate(per_second, 12))
        self.now = 0.0
        self.heard, self.given, self.lost_for_good = [], [], []
        self.wire, self.answers, self.ghosts = [], [], []

    def hear(self, ticks):
        if any(tick.volume for tick in ticks):
            raise OverflowError
        self.heard += [tick.price for tick in ticks]
        return len(ticks)

    @rule(ticks=st.integers(1, 9), bad=st.integers(0, 30))
    def publish(self, ticks, bad):
        begin = sum(len(call.prices) for call in self.given)
        prices = [1.0 + begin + index for index in range(ticks)]
        call = Call(Tick("ACME", price, float(index == bad)) for index, price in enumerate(prices))
        call_ = Given(call, prices)
        self.given.append(call_)
        self.window.add(call)

    @rule()
    def send(self):
        self.wire += read(self.window, self.now)

    @precondition(lambda self: self.wire)
    @rule()
    def serve(self):
        self.answers.append(self.ask(self.wire.pop(0)))

    def ask(self, request):
        publication = Publication(Publisher("alice", "desk"), *request)
        try:
            return request.request_id, self.intake.take(publication, self.now)
        except OverflowError:
            return request.request_id, InvalidPublication("tick 0: too loud")
        except ProtocolError as error:
            kind = PublishingTooFast if isinstance(error, OutOfTurn) else type(error)
            return request.request_id, kind(str(error), "", error.retry_after_ms)

    @precondition(lambda self: self.answers)
    @rule()
    def answer(self):
        request_id, answer = self.answers.pop(0)
        if isinstance(answer, ProtocolError):
            self.window.refused(request_id, answer, self.now)
        else:
            self.window.acknowledged(request_id, repeated=answer.repeated)

    @rule(late=st.booleans())
    def cut(self, late):
        self.ghosts = self.wire if late else []
        self.wire, self.answers = [], []
        self.window.connection_lost()
        self.window.connected("e1")

    @precondition(lambda self: self.ghosts)
    @rule()
    def serve_a_ghost(self):
        self.ask(self.ghosts.pop(0))

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def nothing_is_doubled_or_out_of_order(self):
        if hasattr(self, "heard"):
            assert self.heard == sorted(set(self.heard))

    def teardown(self):
        if not hasattr(self, "heard"):
            return
        self.cut(late=False)
        for _ in range(2000):
            if self.window.idle:
                break
            self.wait(1.0)
            self.send()
            while self.wire:
                self.serve()
            while self.answers:
                self.answer()
        assert self.window.idle
        published = [price for given in self.given for price in given.published()]
        assert self.heard == published


class Given:
    """A call, and what it was given."""

    def __init__(self, call, prices):
        self.call = call
        self.prices = prices

    def published(self):
        """The prices that were published, as the call says."""
        try:
            ticks = self.call.result().ticks
        except InvalidPublication as error:
            text = str(error).partition("; ")[2]
            words = {"no tick was published": 0, "the first tick was published": 1}
            ticks = words[text] if text in words else int(text.split()[2])
        return self.prices[:ticks]


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
