"""The bidder's core: every step of the table, and the server's own core at the other end."""

from decimal import Decimal
from itertools import product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction import wire
from tickstorm.auction.book import Book
from tickstorm.auction.rule import Answer, Bid, Outcome, Standing, Terms
from tickstorm.auction.session import BidsReceived, LoginRequested, SessionLimits
from tickstorm.auction.session import Session as ServerSession
from tickstorm.auction.wire import (
    Decoder,
    FrameType,
    auth_frame,
    error_frame,
    read_auction_id,
    read_text,
    result_frame,
    update_frame,
)
from tickstorm.client.auction.bids import Bids, Offer
from tickstorm.client.auction.results import Leader
from tickstorm.client.auction.session import (
    TRANSITIONS,
    BidderSession,
    BidsEnded,
    Led,
    State,
    Step,
    WatchRefused,
    next_state,
)
from tickstorm.client.auction.watches import Watches
from tickstorm.client.events import Entered, Garbled, ServerError, Silent
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    AuthRequired,
    InvalidAuth,
    InvalidMessage,
    InvalidSubscription,
    ProtocolError,
    ShuttingDown,
)

STANDING = Standing(1250, 7, 3, 1300, 60_000)
LED = Leader(1, 7, Decimal("12.50"), 3)
WELCOME = auth_frame("desk")


class Desk:
    """A session, what it bids and what it watches."""

    def __init__(self, auth="desk:secret", bids=None, watches=None, now=0.0):
        self.bids = bids or Bids(4, lambda: 0.5)
        self.watches = watches or Watches(lambda: 0.5)
        self.session = BidderSession(
            auth, self.bids, self.watches, answer_timeout=10.0, probe_interval=30.0, now=now
        )

    def bid(self, number, cents=1250, now=0.0, until=30.0):
        offer = Offer(Bid(1, 7, cents, number), until)
        self.bids.add(offer)
        self.session.at(now)
        return offer

    def hear(self, *frames, now=0.0):
        self.session.feed(b"".join(frames), now, 0)
        return list(iter(self.session.next_event, None))

    def sent(self):
        """What is sent: texts of AUTHs, numbers of bids, and auctions that are watched."""
        decoder, sent = Decoder(), []
        decoder.feed(self.session.take_output())
        while decoder.pending_bytes:
            sent += [bid.bid_id for bid in decoder.take_bids(1000)]
            frame = decoder.next_frame()
            if frame is not None and frame.type is FrameType.AUTH:
                sent.append(read_text(frame.value))
            elif frame is not None:
                sent.append(f"WATCH {read_auction_id(frame.value)}")
        return sent

    def ended(self):
        ended = [offer.bid.bid_id for offer in self.bids.ended]
        self.bids.ended.clear()
        return ended


def result(number, outcome=Outcome.ACCEPTED, retry_after_ms=0):
    answer = Answer(outcome, 1250, STANDING, retry_after_ms)
    return result_frame(Bid(1, 7, 1250, number), answer)


def update(sequence=3):
    return update_frame(wire.Update(1, 7, 1250, sequence))


def final(outcome=Outcome.SOLD):
    return result_frame(Bid(1, 7, 1250), Answer(outcome, 1250, STANDING))


def entered():
    desk = Desk()
    assert desk.sent() == ["desk:secret"]
    assert desk.hear(WELCOME) == [Entered("desk")]
    return desk


# The table.


@pytest.mark.parametrize(("state", "input"), [*product(State, (*FrameType, *Step))])
def test_every_step_is_in_the_table_or_an_error(state, input):
    if (state, input) in TRANSITIONS:
        assert next_state(state, input) is TRANSITIONS[state, input]
        return
    message = f"^{input.name} is not expected while {state.name}$"
    with pytest.raises(InvalidMessage, match=message):
        next_state(state, input)


@pytest.mark.parametrize("frame", [result(11), update(), error_frame(InvalidSubscription("no"))])
def test_what_comes_before_the_login_is_answered(frame):
    desk = Desk()
    (garbled,) = desk.hear(frame)
    assert (type(garbled), type(garbled.error), desk.session.over) == (
        Garbled,
        InvalidMessage,
        True,
    )


@pytest.mark.parametrize(
    "data", [b"\x09", b"\x01\x10", b"\x04\x01", WELCOME, result(11), final()[:10] + b"\xff" * 60]
)
def test_what_is_not_the_protocol_ends_it(data):
    desk = entered()
    events = desk.hear(data)
    assert [type(event) for event in events] == [Garbled]
    assert (desk.session.over, desk.session.deadline, desk.session.take_output()) == (
        True,
        inf,
        b"",
    )


# The login.


def test_nothing_is_bid_before_the_login():
    desk = Desk()
    desk.bid(11)
    desk.watches.want(1)
    assert desk.sent() == ["desk:secret"]
    assert desk.hear(WELCOME) == [Entered("desk")]
    assert desk.sent() == [11, "WATCH 1"]


def test_without_a_login_bids_are_sent_at_once():
    desk = Desk(None)
    desk.bid(11)
    assert desk.sent() == [11]
    assert desk.hear(result(11)) == [Entered(""), BidsEnded()]


@pytest.mark.parametrize("kind", [kind for kind in PROTOCOL_ERRORS.values() if kind.closes])
def test_an_error_is_what_it_was(kind):
    desk = Desk()
    (told,) = desk.hear(error_frame(kind("no")))
    assert (type(told.error), told.error.message, told.retryable) == (kind, "no", kind.retryable)
    assert desk.session.over


def test_an_error_of_a_later_version():
    (told,) = Desk().hear(b"\x03\x03\xc8no")
    assert (type(told.error), told.error.message) == (ProtocolError, "error 200: no")
    assert not told.retryable


@pytest.mark.parametrize(("auth", "retryable"), [("desk:secret", True), (None, False)])
def test_a_login_that_is_asked_for_was_late_or_is_none(auth, retryable):
    *_, told = Desk(auth).hear(error_frame(AuthRequired("no login")))
    assert (type(told.error), told.retryable) == (AuthRequired, retryable)


# Bids.


def test_results_are_the_answers_in_their_order():
    desk = entered()
    desk.bid(11)
    desk.bid(12)
    assert desk.sent() == [11, 12]
    assert desk.hear(result(11), result(12)) == [BidsEnded()] * 2
    assert desk.ended() == [11, 12]


def test_what_is_to_be_tried_again_is_sent_when_it_is_due():
    desk = entered()
    desk.bid(11)
    desk.sent()
    assert desk.hear(result(11, Outcome.UNAVAILABLE, 500), now=1.0) == []
    assert (desk.sent(), desk.session.deadline) == ([], 1.55)
    assert desk.session.wake(1.55, 0) is None
    assert desk.sent() == [11]


def test_what_has_no_answer_goes_to_the_next_conversation():
    desk = entered()
    desk.bid(11)
    desk.watches.want(1)
    desk.sent()
    (told,) = desk.hear(error_frame(ShuttingDown("bye")))
    assert (type(told), told.retryable) == (ServerError, True)
    again = Desk(None, desk.bids, desk.watches)
    assert again.sent() == [11, "WATCH 1"]


# Watches.


def test_who_leads_and_how_it_ends():
    desk = entered()
    desk.watches.want(1)
    assert desk.sent() == ["WATCH 1"]
    assert desk.hear(update(), update(), final()) == [
        Led(LED),
        Led(LED._replace(outcome=Outcome.SOLD)),
    ]


def test_what_nobody_watches_is_not_told():
    assert entered().hear(update(), final()) == []


def test_one_that_cannot_be_watched():
    desk = entered()
    desk.watches.want(1)
    desk.sent()
    (refused,) = desk.hear(error_frame(InvalidSubscription("auction 1 is not there")))
    assert (type(refused), refused.auction_id) == (WatchRefused, 1)
    assert (refused.error.message, desk.session.over) == ("auction 1 is not there", False)


def test_one_that_cannot_be_watched_now():
    desk = entered()
    desk.watches.want(1)
    desk.sent()
    assert desk.hear(error_frame(InvalidSubscription("auction 1 is not now: try again"))) == []
    assert (desk.session.deadline, desk.session.wake(0.25, 0)) == (0.25, None)
    assert desk.sent() == ["WATCH 1"]


# Time.


def test_who_says_nothing_to_a_login_is_silent():
    desk = Desk(now=5.0)
    desk.sent()
    assert desk.session.deadline == 15.0
    assert desk.session.wake(14.9, 0) is None
    assert desk.session.wake(15.0, 0) == Silent(10.0)
    assert (desk.session.over, desk.session.deadline) == (True, inf)


def test_who_owes_nothing_may_be_silent():
    desk = entered()
    assert (desk.session.deadline, desk.session.wake(1e6, 0)) == (inf, None)


def test_the_time_for_an_answer_begins_with_the_question():
    desk = entered()
    desk.bid(11, now=100.0)
    assert (desk.sent(), desk.session.deadline) == ([11], 110.0)
    desk.bid(12, now=105.0)
    assert (desk.sent(), desk.session.deadline) == ([12], 110.0)
    desk.hear(result(11), now=106.0)
    assert desk.session.deadline == 116.0
    desk.hear(result(12), now=107.0)
    assert desk.session.deadline == inf


def test_a_watch_wants_an_answer_too():
    desk = entered()
    desk.watches.want(1)
    desk.session.at(50.0)
    assert (desk.sent(), desk.session.deadline) == (["WATCH 1"], 60.0)
    desk.hear(update(), now=51.0)
    assert desk.session.deadline == 81.0


def test_who_watches_asks_whether_the_server_is_there():
    desk = entered()
    desk.watches.want(1)
    desk.watches.want(2)
    desk.sent()
    desk.hear(update(), now=1.0)
    desk.sent()
    desk.hear(update_frame(wire.Update(2, 0, 0, 0)), now=2.0)
    assert (desk.session.deadline, desk.session.wake(31.9, 0), desk.sent()) == (32.0, None, [])
    assert (desk.session.wake(32.0, 0), desk.sent()) == (None, ["WATCH 1"])
    assert (desk.session.deadline, desk.hear(update(), now=33.0)) == (42.0, [])
    assert desk.session.deadline == 63.0
    assert (desk.session.wake(63.0, 0), desk.sent()) == (None, ["WATCH 1"])
    assert desk.session.wake(73.0, 0) == Silent(10.0)


def test_who_waits_for_an_answer_asks_nothing_more():
    bids, watches = Bids(4, lambda: 0.5), Watches(lambda: 0.5)
    session = BidderSession(None, bids, watches, answer_timeout=60.0, probe_interval=30.0, now=0.0)
    watches.want(1)
    session.take_output()
    assert session.deadline == 60.0


def test_a_bidder_is_never_full():
    desk = entered()
    desk.session.pause()
    desk.session.resume(5.0)
    assert desk.session.state is State.READY


# The server's own core at the other end, over connections that are cut anywhere.


class Auctioneer:
    """The server: its book, and a conversation for each connection."""

    def __init__(self, troubles):
        self.book = Book()
        self.book.create(Terms(0, 10**9), 0, 1)
        self._troubles = iter(troubles)
        self.accept()

    def accept(self):
        self.session = ServerSession(SessionLimits(), 0.0, with_login=True)

    def take(self, data):
        """What is answered to so many bytes."""
        for event in self.session.receive(data, 0.0, 1000):
            if isinstance(event, LoginRequested):
                self.session.accept_login("desk", None)
            elif isinstance(event, BidsReceived):
                for place, bid in enumerate(event.turn.bids):
                    event.turn.answer(place, self._answer(bid))
        return self.session.take_output()

    def _answer(self, bid):
        trouble = next(self._troubles, "none")
        if trouble in ("lost", "none"):
            (answer,) = self.book.bid(1, [bid], 5)
        if trouble == "none":
            return answer
        outcome = Outcome.UNAVAILABLE if trouble == "unavailable" else Outcome.UNDECIDED
        return Answer(outcome, bid.cents, retry_after_ms=10)


class Road:
    """A bidder's core, the server's, and what is on its way between them."""

    def __init__(self, troubles):
        self.server = Auctioneer(troubles)
        self.bids, self.watches = Bids(4, lambda: 0.5), Watches(lambda: 0.5)
        self.now = 0.0
        self.ended = []
        self.connect()

    def connect(self):
        self.desk = Desk("desk:secret", self.bids, self.watches, self.now)
        self.server.accept()
        self.up, self.down = b"", b""

    def cut(self):
        self.desk.session.close()
        self.connect()

    def bid(self, number, cents):
        return self.desk.bid(number, cents, self.now, inf)

    def pass_up(self, size):
        self.up += self.desk.session.take_output()
        data, self.up = self.up[:size], self.up[size:]
        self.down += self.server.take(data)

    def pass_down(self, size):
        data, self.down = self.down[:size], self.down[size:]
        for event in self.desk.hear(data, now=self.now):
            assert isinstance(event, Entered | BidsEnded)
        self.ended += self.desk.ended()

    def finish(self):
        """Let all come to its end, as many tries as it takes."""
        while not self.bids.idle:
            self.now += 10.0
            self.desk.session.at(self.now)
            self.pass_up(10**6)
            self.pass_down(10**6)


STEPS = st.one_of(
    st.tuples(st.just("up"), st.integers(0, 120)),
    st.tuples(st.just("down"), st.integers(0, 300)),
    st.tuples(st.just("cut"), st.just(0)),
)
TROUBLES = st.lists(st.sampled_from(("none", "unavailable", "lost", "away")), max_size=20)


@given(
    amounts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    steps=st.lists(STEPS, max_size=40),
    troubles=TROUBLES,
)
def test_each_bid_counts_once_and_is_answered_once_wherever_it_is_cut(amounts, steps, troubles):
    road = Road(troubles)
    offers = [road.bid(number, cents * 100) for number, cents in enumerate(amounts, 1)]
    for step, size in steps:
        road.cut() if step == "cut" else getattr(road, f"pass_{step}")(size)
    road.finish()
    assert sorted(road.ended) == [offer.bid.bid_id for offer in offers]
    results = [offer.result() for offer in offers]
    record = road.server.book.record(1, 0, 100)
    led = [result.bid_id for result in results if result.outcome is Outcome.ACCEPTED]
    assert sorted(led) == sorted(entry.bid_id for entry in record)
    assert [entry.sequence for entry in record] == list(range(1, len(record) + 1))
    assert max(result.amount for result in results) == Decimal(record[-1].cents) / 100
    assert {result.in_doubt for result in results} == {False}


@given(amounts=st.lists(st.integers(1, 9), min_size=1, max_size=30), pieces=st.data())
def test_without_trouble_they_are_answered_in_the_order_of_the_calls(amounts, pieces):
    road = Road([])
    for number, cents in enumerate(amounts, 1):
        road.bid(number, cents)
    while not road.bids.idle:
        road.pass_up(pieces.draw(st.integers(1, 60)))
        road.pass_down(pieces.draw(st.integers(1, 200)))
    assert road.ended == list(range(1, len(amounts) + 1))


def test_a_wrong_login():
    desk = Desk()
    server = ServerSession(SessionLimits(), 0.0, with_login=True)
    (asked,) = server.receive(desk.session.take_output(), 0.0, 1)
    assert asked == LoginRequested("desk:secret")
    server.fail(InvalidAuth("no"))
    (told,) = desk.hear(server.take_output())
    assert (type(told.error), told.retryable) == (InvalidAuth, False)
