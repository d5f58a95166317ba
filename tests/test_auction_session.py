"""The bidder's conversation: every step of the table, every step beside it, whole conversations."""

import struct
from itertools import product
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.auction.session import (
    MAX_HELD_BYTES,
    TRANSITIONS,
    BidsReceived,
    Failed,
    LoginRequested,
    Refused,
    Session,
    SessionLimits,
    State,
    Step,
    WatchRequested,
    next_state,
)
from tickstorm.auction.wire import (
    FROM_SERVER,
    Decoder,
    FrameType,
    auth_frame,
    bid_frame,
    read_error,
    read_result,
    read_text,
    watch_frame,
)
from tickstorm.errors import (
    AlreadyAuthenticated,
    AuthRequired,
    InternalError,
    InvalidAuth,
    InvalidMessage,
    InvalidSubscription,
    ProtocolError,
    ShuttingDown,
)

LIMITS = SessionLimits(auth_timeout=10.0, max_untold=8, max_watched=2)
STANDING = Standing(500, 7, 1, 501, 2000)
AUTH, WATCH = auth_frame("token"), watch_frame(1)


def bid(number, user_id=7):
    """A bid that is known by its number."""
    return bid_frame(1, user_id, 5.0, number)


class Edge:
    """The other side of the session's events: answers at once, or when it is told to."""

    def __init__(self, *, with_login=False, limits=LIMITS, room=1000, at_once=False):
        self.session = Session(limits, 0.0, with_login)
        self.room = room
        self.at_once = at_once
        self.events = []
        self.turns = []

    def receive(self, data=b"", now=0.0):
        for event in self.session.receive(data, now, self.room):
            self.events.append(event)
            if isinstance(event, BidsReceived):
                self.turns.append(event.turn)
                self.room -= event.turn.missing
                if self.at_once:
                    self.answer(event.turn)
            elif isinstance(event, LoginRequested) and self.at_once:
                self.session.accept_login("alice", None)
        return self

    def answer(self, turn):
        for place in list(turn.undecided()):
            turn.answer(place, Answer(Outcome.ACCEPTED, turn.bids[place].cents, STANDING))
            self.room += 1
        return self

    def said(self):
        """What was sent since the last time, each frame as its type and what tells it."""
        decoder = Decoder(FROM_SERVER)
        decoder.feed(self.session.take_output())
        words = []
        for frame in iter(decoder.next_frame, None):
            if frame.type is FrameType.RESULT:
                result = read_result(frame.value)
                words.append((result.answer.outcome.name, result.bid.bid_id))
            elif frame.type is FrameType.ERROR:
                words.append(("ERROR", read_error(frame.value).code))
            else:
                words.append((frame.type.name, read_text(frame.value)))
        assert decoder.pending_bytes == 0
        return words

    def kinds(self):
        return [
            type(event.error) if isinstance(event, Refused | Failed) else type(event)
            for event in self.events
        ]


def in_state(state):
    """A session that has come to this state by itself, with everything said taken."""
    edge = Edge(with_login=state in {State.AWAITING_AUTH, State.AUTHENTICATING})
    if state is State.AUTHENTICATING:
        edge.receive(AUTH)
    if state is State.ENDING:
        edge.receive(bid(1))
    if state in {State.ENDING, State.CLOSED}:
        edge.session.fail(ShuttingDown("over"))
        edge.session.take_output()
    edge.events.clear()
    assert edge.session.state is state
    return edge


# The table.

INPUTS = (*FrameType, *Step)

TABLE = {
    ("AWAITING_AUTH", "AUTH"): "AUTHENTICATING",
    ("AWAITING_AUTH", "FAILED"): "ENDING",
    ("AUTHENTICATING", "LOGIN_ACCEPTED"): "READY",
    ("AUTHENTICATING", "FAILED"): "ENDING",
    ("READY", "BID"): "READY",
    ("READY", "WATCH"): "READY",
    ("READY", "FAILED"): "ENDING",
    ("ENDING", "TOLD"): "CLOSED",
    **{(state.name, "LOST"): "CLOSED" for state in State},
}


def refusal(state, input):
    if state is State.READY and input is FrameType.AUTH:
        return AlreadyAuthenticated
    if state is State.AWAITING_AUTH and input in {FrameType.BID, FrameType.WATCH}:
        return AuthRequired
    return InvalidMessage


def test_the_table_is_the_conversation():
    assert {(s.name, i.name): following.name for (s, i), following in TRANSITIONS.items()} == TABLE


@pytest.mark.parametrize(("state", "input"), list(product(State, INPUTS)))
def test_each_state_and_input(state, input):
    following = TABLE.get((state.name, input.name))
    if following is not None:
        assert next_state(state, input) is State[following]
        return
    with pytest.raises(ProtocolError) as caught:
        next_state(state, input)
    assert type(caught.value) is refusal(state, input)
    assert caught.value.message == f"{input.name} is not allowed while {state.name}"


FROM_A_CLIENT = {FrameType.AUTH: AUTH, FrameType.BID: bid(1), FrameType.WATCH: WATCH}


@pytest.mark.parametrize(
    ("state", "type"),
    [
        step
        for step in product([State.AWAITING_AUTH, State.READY], FROM_A_CLIENT)
        if step not in TRANSITIONS
    ],
)
def test_each_frame_that_a_state_does_not_allow_is_one_error_and_the_end(state, type):
    edge = in_state(state).receive(FROM_A_CLIENT[type] + bid(2) + WATCH)
    error = refusal(state, type)
    assert edge.kinds() == [error]
    assert edge.said() == [("ERROR", error.code)]
    assert edge.session.state is State.CLOSED


@pytest.mark.parametrize("state", [State.AUTHENTICATING, State.ENDING, State.CLOSED])
def test_nothing_is_read_while_it_is_not_to_be(state):
    edge = in_state(state).receive(bid(5) + WATCH + AUTH)
    assert (edge.events, edge.said(), edge.session.state) == ([], [], state)
    assert not edge.session.is_reading


# Whole conversations.


def test_bids_of_version_1_without_a_login():
    edge = Edge(at_once=True).receive(bid_frame(1, 7, 5.0) * 3)
    assert edge.kinds() == [BidsReceived]
    assert edge.turns[0].bids == [Bid(1, 7, 500)] * 3
    assert edge.said() == [("ACCEPTED", 0)] * 3
    assert (edge.session.state, edge.session.deadline) == (State.READY, inf)


def test_the_very_bytes_of_a_bid_and_its_result():
    edge = Edge(at_once=True)
    edge.receive(bytes.fromhex("0110 00000001 00000007 4014000000000000"))
    assert edge.session.take_output() == bytes.fromhex(
        "0241 00000001 00000007 4014000000000000 01 4014000000000000 00000007"
        "0000000000000001 0000000000000000 40140a3d70a3d70a 00000000000007d0 00000000"
    )


def test_a_login_and_what_was_sent_behind_it():
    edge = Edge(with_login=True).receive(AUTH + bid(1) + WATCH)
    assert edge.events == [LoginRequested("token")]
    assert (edge.said(), edge.session.is_reading) == ([], False)
    edge.session.accept_login("alice", {7})
    edge.at_once = True
    edge.receive()
    assert edge.said() == [("AUTH", "alice"), ("ACCEPTED", 1)]
    assert edge.kinds() == [LoginRequested, BidsReceived, WatchRequested]
    assert edge.session.state is State.READY


def test_a_login_that_is_wrong():
    edge = Edge(with_login=True).receive(AUTH + bid(1))
    edge.session.fail(InvalidAuth("wrong"))
    edge.receive(bid(2))
    assert (edge.said(), edge.session.state) == ([("ERROR", 1)], State.CLOSED)
    assert edge.kinds() == [LoginRequested]


def test_a_login_that_is_not_text():
    edge = Edge(with_login=True).receive(b"\x05\x01\xff")
    assert (edge.kinds(), edge.said()) == ([InvalidMessage], [("ERROR", 8)])


def test_bids_that_need_no_store_are_answered_in_their_place():
    edge = Edge(with_login=True).receive(AUTH)
    edge.session.accept_login("7", {7})
    edge.session.take_output()
    edge.receive(bid(1) + bid_frame(1, 7, nan, 2) + bid(3, user_id=8) + bid_frame(1, 8, -1.0, 4))
    (turn,) = edge.turns
    assert (turn.missing, list(turn.undecided()), edge.said()) == (1, [0], [])
    edge.answer(turn)
    assert edge.said() == [
        ("ACCEPTED", 1),
        ("MALFORMED", 2),
        ("NOT_PERMITTED", 3),
        ("MALFORMED", 4),
    ]


def test_results_come_in_the_order_of_the_bids_whichever_is_decided_first():
    edge = Edge().receive(bid(1) + bid(2)).receive(bid(3)).receive(bid(4))
    first, second, third = edge.turns
    edge.answer(second)
    assert edge.said() == []
    edge.answer(first)
    assert edge.said() == [("ACCEPTED", 1), ("ACCEPTED", 2), ("ACCEPTED", 3)]
    edge.answer(third)
    assert (edge.said(), edge.session.untold) == ([("ACCEPTED", 4)], 0)


def test_an_error_comes_behind_the_answers_that_are_still_missing():
    edge = Edge().receive(bid(1) + b"\x63" + bid(2))
    assert (edge.kinds(), edge.said()) == ([BidsReceived, InvalidMessage], [])
    assert edge.session.state is State.ENDING
    edge.answer(edge.turns[0])
    assert edge.said() == [("ACCEPTED", 1), ("ERROR", 8)]
    assert (edge.session.state, edge.said()) == (State.CLOSED, [])


def test_a_server_that_stops_answers_what_it_has():
    edge = Edge().receive(bid(1)).receive(bid(2))
    assert edge.session.fail(ShuttingDown("bye")).error.message == "bye"
    edge.answer(edge.turns[1]).answer(edge.turns[0])
    assert edge.said() == [("ACCEPTED", 1), ("ACCEPTED", 2), ("ERROR", 15)]


@pytest.mark.parametrize("length", [0, 15, 17, 23, 25, 255])
def test_a_bid_of_another_length_is_an_error_and_the_end(length):
    edge = Edge(at_once=True).receive(bid(1) + bytes((1, length)) + bid(2))
    assert edge.said() == [("ACCEPTED", 1), ("ERROR", 8)]
    assert edge.session.state is State.CLOSED


def test_a_bid_that_is_cut_off_is_no_bid():
    edge = Edge().receive(bid(1)[:-1])
    edge.session.lose()
    edge.receive(bid(1)[-1:])
    assert (edge.events, edge.said(), edge.session.state) == ([], [], State.CLOSED)


def test_who_is_gone_hears_nothing():
    edge = Edge().receive(bid(1))
    edge.session.lose()
    edge.answer(edge.turns[0])
    assert (edge.said(), edge.session.untold, edge.session.state) == ([], 0, State.CLOSED)


# Watching.


def test_what_is_watched():
    edge = Edge().receive(watch_frame(1) + watch_frame(2) + watch_frame(1))
    assert edge.events == [WatchRequested(1), WatchRequested(2), WatchRequested(1)]
    assert edge.said() == []


def test_more_than_may_be_watched_is_refused_and_the_conversation_goes_on():
    edge = Edge(at_once=True).receive(b"".join(map(watch_frame, (1, 2, 3))) + bid(1))
    assert edge.kinds() == [WatchRequested, WatchRequested, InvalidSubscription, BidsReceived]
    assert edge.events[2].error.message == "more than 2 auctions to watch"
    assert edge.said() == [("ERROR", 4), ("ACCEPTED", 1)]


def test_what_there_is_not_to_watch_leaves_room_for_another():
    edge = Edge().receive(watch_frame(1) + watch_frame(2))
    edge.session.refuse_watch(1, InvalidSubscription("auction 1 is unknown"))
    assert edge.said() == [("ERROR", 4)]
    edge.receive(watch_frame(3))
    assert edge.events[2:] == [WatchRequested(3)]


def test_what_comes_of_a_watch_after_the_end_is_not_said():
    edge = Edge().receive(WATCH)
    edge.session.fail(ShuttingDown("bye"))
    edge.session.refuse_watch(1, InvalidSubscription("auction 1 is unknown"))
    assert edge.said() == [("ERROR", 15)]


# Bounds.


def test_no_more_is_read_than_there_is_room_for():
    edge = Edge(room=3).receive(b"".join(map(bid, range(5))) + WATCH)
    assert [len(turn.bids) for turn in edge.turns] == [3]
    edge.receive()
    assert len(edge.turns) == 1
    edge.answer(edge.turns[0]).receive()
    assert [len(turn.bids) for turn in edge.turns] == [3, 2]
    assert edge.kinds() == [BidsReceived, BidsReceived, WatchRequested]


def test_no_more_is_read_of_one_connection_than_it_may_have_untold():
    edge = Edge().receive(b"".join(map(bid, range(20))))
    assert ([len(turn.bids) for turn in edge.turns], edge.session.is_reading) == ([8], False)
    edge.answer(edge.turns[0]).receive()
    assert len(edge.turns) == 1  # they are answered, and not told yet
    assert (len(edge.said()), edge.session.is_reading) == (8, True)
    edge.receive()
    assert ([len(turn.bids) for turn in edge.turns], edge.session.untold) == ([8, 8], 8)


def test_what_needs_no_store_takes_no_room():
    edge = Edge(room=2).receive(bid_frame(1, 7, nan, 1) * 4 + bid(2) + bid(3) + bid(4))
    assert [len(turn.bids) for turn in edge.turns] == [2, 2, 2]
    assert edge.room == 0


def test_too_much_behind_what_is_not_read():
    edge = Edge(with_login=True).receive(AUTH)
    edge.receive(bytes(MAX_HELD_BYTES))
    assert edge.kinds() == [LoginRequested]
    edge.receive(b"\x00")
    assert edge.kinds() == [LoginRequested, InvalidMessage]
    assert edge.said() == [("ERROR", 8)]


# Cutting.


@given(st.lists(st.integers(1, 200), max_size=10))
def test_a_conversation_cut_anywhere_is_the_same(cuts):
    stream = AUTH + bid(1) + bid(2) + WATCH + bid(3) + bid_frame(1, 7, nan, 4) + bid(5) + AUTH
    places = sorted(min(cut, len(stream)) for cut in cuts)
    edge = Edge(with_login=True, at_once=True)
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        edge.receive(stream[start:end])
    others = [kind for kind in edge.kinds() if kind is not BidsReceived]
    assert others == [LoginRequested, WatchRequested, AlreadyAuthenticated]
    assert [bid.bid_id for turn in edge.turns for bid in turn.bids] == [1, 2, 3, 4, 5]
    assert edge.said() == [
        ("AUTH", "alice"),
        ("ACCEPTED", 1),
        ("ACCEPTED", 2),
        ("ACCEPTED", 3),
        ("MALFORMED", 4),
        ("ACCEPTED", 5),
        ("ERROR", 3),
    ]


pieces = st.lists(
    st.sampled_from([AUTH, WATCH, bid(1), bid_frame(1, 2, nan)]) | st.binary(max_size=30),
    max_size=8,
)


@given(pieces, st.booleans())
def test_whatever_comes_the_session_raises_nothing_and_every_bid_has_one_result(pieces, with_login):
    edge = Edge(with_login=with_login, at_once=True)
    words = []
    for piece in pieces:
        edge.receive(piece)
        words += edge.said()
        edge.receive()
    words += edge.said()
    failures = [event for event in edge.events if isinstance(event, Failed)]
    assert len(failures) == (edge.session.state is State.CLOSED)
    assert words[-1:] == [("ERROR", failure.error.code) for failure in failures] or not failures
    results = [word for word in words if word[0] in Outcome.__members__]
    assert len(results) == sum(len(turn.bids) for turn in edge.turns)


# Deadlines.


def test_what_a_session_is_held_to_by_default():
    assert SessionLimits() == SessionLimits(10.0, 512, 100)


def test_a_client_that_does_not_say_who_it_is():
    edge = in_state(State.AWAITING_AUTH)
    edge.receive(AUTH[:3], 9.0)
    assert (edge.session.deadline, edge.session.expire(9.999)) == (10.0, None)
    failed = edge.session.expire(10.0)
    assert (type(failed.error), failed.error.message) == (AuthRequired, "no login within 10 s")
    assert (edge.said(), edge.session.deadline) == ([("ERROR", 2)], inf)


def test_a_login_that_is_never_decided():
    edge = Edge(with_login=True).receive(AUTH, 9.0)
    assert (edge.session.deadline, edge.session.expire(18.999)) == (19.0, None)
    failed = edge.session.expire(19.0)
    assert (type(failed.error), failed.error.message) == (
        InternalError,
        "the login could not be checked in time",
    )


@pytest.mark.parametrize("state", [State.READY, State.ENDING, State.CLOSED])
def test_who_may_bid_may_be_silent(state):
    edge = in_state(state)
    assert (edge.session.deadline, edge.session.expire(1e9)) == (inf, None)


def until(ends_at):
    """A conversation whose client has a token."""
    edge = Edge(with_login=True).receive(AUTH)
    edge.session.accept_login("alice", {7}, ends_at)
    assert edge.said() == [("AUTH", "alice")]
    edge.events.clear()
    return edge


def test_a_token_ends_the_conversation_behind_the_results():
    edge = until(30.0).receive(bid(1) + bid(2), 29.9)
    assert (edge.session.deadline, edge.session.expire(29.999)) == (30.0, None)
    failed = edge.session.expire(30.0)
    assert (type(failed.error), failed.error.message) == (InvalidAuth, "the token has expired")
    assert (edge.said(), edge.session.state, edge.session.deadline) == ([], State.ENDING, inf)
    edge.answer(edge.turns[0])
    assert edge.said() == [("ACCEPTED", 1), ("ACCEPTED", 2), ("ERROR", 1)]
    assert edge.session.state is State.CLOSED


def test_what_comes_when_the_token_has_expired_is_not_read():
    edge = until(30.0).receive(bid(1), 29.999).receive(bid(2), 30.0).receive(bid(3), 30.1)
    assert edge.kinds() == [BidsReceived, InvalidAuth]
    edge.answer(edge.turns[0])
    assert edge.said() == [("ACCEPTED", 1), ("ERROR", 1)]


def test_what_was_held_back_when_the_token_expired_is_not_read_either():
    edge = until(30.0).receive(b"".join(map(bid, range(1, 12))), 29.0)
    edge.answer(edge.turns[0]).said()
    edge.receive(b"", 30.0)
    assert edge.kinds() == [BidsReceived, InvalidAuth]
    assert (edge.said(), edge.session.holds_back) == ([("ERROR", 1)], False)


def test_the_size_of_a_bid_on_the_wire():
    assert (len(bid_frame(1, 2, 3.0)), len(bid_frame(1, 2, 3.0, 4))) == (18, 26)
    assert struct.calcsize(">IId") == 16


# What the edge asks beside that.


def test_it_is_over_from_its_end_on_and_closed_once_all_is_said():
    edge = Edge(limits=LIMITS)
    edge.receive(bid(1))
    assert (edge.session.is_over, edge.session.is_closed) == (False, False)
    edge.session.fail(ShuttingDown("stopping"))
    edge.session.take_output()
    assert (edge.session.is_over, edge.session.is_closed) == (True, False)
    edge.answer(edge.turns[0])
    edge.session.take_output()
    assert (edge.session.is_over, edge.session.is_closed) == (True, True)


def test_who_does_not_read_has_its_last_words_without_the_results():
    edge = Edge(limits=LIMITS)
    edge.receive(bid(1))
    edge.session.give_up()
    edge.session.fail(ShuttingDown("stopping"))
    assert read_error(edge.session.take_output()[2:]).code == 15
    assert edge.session.is_closed


def test_it_is_full_while_as_many_as_may_be_are_untold():
    edge = Edge(limits=LIMITS)
    edge.receive(b"".join(bid(number) for number in range(1, 10)))
    assert (edge.session.is_full, edge.session.holds_back) == (True, True)
    edge.answer(edge.turns[0])
    edge.session.take_output()
    assert (edge.session.is_full, edge.session.holds_back) == (False, True)
    edge.receive()
    assert not edge.session.holds_back


def test_an_auction_that_has_ended_makes_room_to_watch_another():
    edge = Edge(limits=LIMITS)
    edge.receive(watch_frame(1) + watch_frame(2) + watch_frame(3))
    assert [type(event) for event in edge.events] == [WatchRequested, WatchRequested, Refused]
    edge.session.take_output()
    edge.session.end_watch(1, b"<sold>")
    edge.session.answer_watch(b"<update>")
    assert edge.session.take_output() == b"<sold><update>"
    edge.receive(watch_frame(3))
    assert edge.events[-1] == WatchRequested(3)


def test_nothing_is_said_of_what_is_watched_once_it_is_over():
    edge = Edge(limits=LIMITS)
    edge.receive(watch_frame(1))
    edge.session.fail(ShuttingDown("stopping"))
    edge.session.take_output()
    edge.session.answer_watch(b"<update>")
    edge.session.end_watch(1, b"<sold>")
    assert edge.session.take_output() == b""
