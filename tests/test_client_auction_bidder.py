"""The whole bidder on Twisted, in memory, over the real server of auctions."""

from decimal import Decimal

import pytest
from bidders import Scene, outcome
from bidding import HOUR, NOW_MS, Server
from conversation import PASSWORD, USER
from scripted import ScriptedEndpoint, result
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tickstorm.auction.dispatcher import RETRY_AFTER_MS
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.rule import Answer, Bid, Outcome, Terms
from tickstorm.auction.wire import error_frame, result_frame
from tickstorm.client.auction import (
    BidderLimits,
    Disconnected,
    Entered,
    Leader,
    Result,
    ServerError,
    Silent,
    asyncio_bidder,
    new_bid_id,
    twisted_bidder,
)
from tickstorm.client.auction.bidding import auth_text
from tickstorm.client.connection import LINGER
from tickstorm.clock import simulated_clock
from tickstorm.errors import (
    AuthRequired,
    BidderClosed,
    InvalidAuth,
    InvalidSubscription,
    ShuttingDown,
    TickstormError,
)

ACCEPTED, TOO_LOW = Outcome.ACCEPTED, Outcome.TOO_LOW


@pytest.fixture(name="scene")
def make_scene():
    return Scene()


def leader(cents, sequence, *, bidder=7, outcome=None):
    return Leader(1, bidder, Decimal(cents) / 100, sequence, outcome)


# Bids.


def test_nothing_happens_before_it_is_asked(scene):
    assert not scene.dials()


def test_a_bid_returns_with_its_result(scene):
    call = scene.bid("12.50", bid_id=99)
    assert (scene.dials(), outcome(call)) == (True, None)
    scene.connect()
    assert result(call) == Result(
        outcome=ACCEPTED,
        amount=Decimal("12.50"),
        price=Decimal("12.50"),
        bidder=7,
        sequence=1,
        minimum=Decimal("12.51"),
        closes_ms=NOW_MS + HOUR,
        retry_after_ms=0,
        auction_id=1,
        user_id=7,
        bid_id=99,
    )
    assert scene.events == [Entered("")]


def test_bids_are_under_way_together_and_decided_in_their_order(scene):
    calls = [scene.bid(amount) for amount in ("5", "4", "6")]
    scene.connect()
    assert [outcome(call) for call in calls] == [ACCEPTED, TOO_LOW, ACCEPTED]
    later = scene.bid("7")
    scene.go_on()
    assert outcome(later) is ACCEPTED


def test_no_more_are_sent_than_the_bound():
    scene = Scene(Server(slow=True), limits=BidderLimits(max_bids=2))
    calls = [scene.bid(amount) for amount in (5, 6, 7)]
    scene.connect()
    assert scene.store.sizes == [(1, 2)]
    scene.store.answer()
    scene.go_on()
    assert scene.store.sizes == [(1, 1)]
    scene.store.answer()
    scene.go_on()
    assert [outcome(call) for call in calls] == [ACCEPTED] * 3


def test_each_bid_has_a_number_of_its_own(scene):
    calls = [scene.bid(amount) for amount in (5, 6)]
    scene.connect()
    numbers = {result(call).bid_id for call in calls}
    assert len(numbers) == 2
    assert all(1 <= number < 2**64 for number in numbers)
    assert {entry.bid_id for entry in scene.store.record(1, 0, 9).result} == numbers
    assert new_bid_id() != new_bid_id()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((1, 7, 12.5), TypeError, r"^the amount 12\.5 is a float: give a Decimal"),
        ((1, 7, Decimal("0.001")), ValueError, r"^the amount 0\.001 is not in whole cents$"),
        (("1", 7, Decimal(1)), TypeError, r"^auction_id is '1': give a whole number$"),
        ((-1, 7, Decimal(1)), ValueError, r"^auction_id -1 is not 0 to 4294967295$"),
        ((1, 2**32, Decimal(1)), ValueError, r"^user_id 4294967296 is not 0 to 4294967295$"),
    ],
)
def test_what_cannot_be_bid_is_not_sent(scene, arguments, kind, message):
    call = Deferred.fromCoroutine(scene.bidder.bid(*arguments))
    with pytest.raises(kind, match=message):
        raise result(call)
    assert not scene.dials()


def test_a_number_of_a_bid_that_is_none(scene):
    with pytest.raises(ValueError, match=r"^bid_id -1 is not 0 to 18446744073709551615$"):
        raise result(scene.bid(1, bid_id=-1))


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_time_to_try_that_is_none(scene, seconds):
    with pytest.raises(ValueError, match=r"^retry_for is .*, not at least 0$"):
        raise result(scene.bid(1, retry_for=seconds))


def test_the_same_number_is_the_same_bid(scene):
    calls = [scene.bid(amount, bid_id=5) for amount in (5, 6)]
    scene.connect()
    assert [result(call).amount for call in calls] == [Decimal("5.00")] * 2


# Connections that are lost.


def test_a_bid_without_an_answer_is_sent_again_and_counts_once(scene):
    call = scene.bid("12.50")
    road = scene.connect_only()
    road.up()
    road.cut()
    assert (type(scene.events[-1]), scene.events[-1].retry_in) == (Disconnected, 0.125)
    assert outcome(call) is None
    scene.server.advance(0.125)
    scene.connect()
    assert (outcome(call), len(scene.store.record(1, 0, 9).result)) == (ACCEPTED, 1)


@pytest.mark.parametrize("size", range(0, 27, 2))
def test_a_bid_that_was_cut_counts_once(scene, size):
    calls = [scene.bid(amount) for amount in (5, 6)]
    road = scene.connect_only()
    road.up(size)
    road.cut()
    scene.server.advance(1.0)
    scene.connect()
    assert [outcome(call) for call in calls] == [ACCEPTED] * 2
    assert len(scene.store.record(1, 0, 9).result) == 2


@pytest.mark.parametrize("size", range(0, 140, 7))
def test_a_result_that_was_cut_comes_again(scene, size):
    calls = [scene.bid(amount) for amount in (5, 6)]
    road = scene.connect_only()
    road.up()
    road.down(size)
    road.cut()
    scene.server.advance(1.0)
    scene.connect()
    assert [outcome(call) for call in calls] == [ACCEPTED] * 2
    assert len(scene.store.record(1, 0, 9).result) == 2


def test_a_server_that_owes_an_answer_and_is_silent_is_left():
    scene = Scene(Server(slow=True))
    scene.bid(5)
    scene.connect()
    scene.server.advance(10.0)
    assert scene.events[-2] == Silent(10.0)
    assert isinstance(scene.events[-1].error, TimeoutError)


def test_the_time_for_an_answer_begins_with_the_bid():
    scene = Scene(Server(slow=True))
    scene.bid(5, auction=9)
    scene.connect()
    scene.store.answer()
    scene.go_on()
    scene.server.advance(100.0)
    scene.bid(5)
    scene.go_on()
    scene.server.advance(9.5)
    assert scene.events == [Entered("")]
    scene.server.advance(0.5)
    assert Silent(10.0) in scene.events


def test_who_watches_a_server_that_is_gone_connects_again(scene):
    told = scene.watch()
    scene.connect()
    for _ in range(3):
        scene.go_on(30.0)
    assert (scene.events, len(told)) == ([Entered("")], 1)
    scene.server.advance(41.0)
    assert Silent(10.0) in scene.events
    assert scene.dials()


def test_who_owes_nothing_is_left_alone(scene):
    scene.bid(5)
    scene.connect()
    scene.server.advance(3600, step=60)
    assert scene.events == [Entered("")]


def test_waits_between_connections_grow(scene):
    scene.bid(5, retry_for=1000.0)
    waits = []
    for _ in range(8):
        scene.endpoint.refuse()
        waits.append(scene.events[-1].retry_in)
        scene.server.advance(waits[-1])
    assert waits == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_connection_that_has_lasted_makes_the_next_wait_a_first_one(scene):
    scene.bid(5, retry_for=1000.0)
    for _ in range(3):
        scene.endpoint.refuse()
        scene.server.advance(scene.events[-1].retry_in)
    scene.connect()
    scene.server.advance(30.0)
    scene.roads[0].cut()
    assert scene.events[-1].retry_in == 0.125


# What is tried again.


def test_who_is_too_fast_is_tried_again():
    scene = Scene(Server(pace=PaceLimits(1, 0)))
    calls = [scene.bid(amount) for amount in (5, 6)]
    scene.connect()
    assert [outcome(call) for call in calls] == [ACCEPTED, None]
    scene.go_on(2.0)
    assert outcome(calls[1]) is ACCEPTED


def test_a_bid_that_has_no_effect_in_its_time_says_so():
    scene = Scene(Server(slow=True))
    call = scene.bid(5, retry_for=0.1)
    scene.connect()
    scene.store.fail(StoreUnavailable("away"))
    scene.go_on()
    assert outcome(call) is Outcome.UNAVAILABLE
    assert result(call).retry_after_ms == RETRY_AFTER_MS


def test_a_bid_that_was_never_sent_is_not_available(scene):
    call = scene.bid(5, retry_for=1.0)
    scene.server.advance(1.0)
    assert outcome(call) is Outcome.UNAVAILABLE
    scene.connect()
    assert scene.store.record(1, 0, 9).result == []


def test_each_bid_has_its_own_time(scene):
    calls = [scene.bid(5, retry_for=seconds) for seconds in (3.0, 1.0, 2.0)]
    found = []
    for _ in range(3):
        scene.server.advance(1.0)
        found.append([outcome(call) is not None for call in calls])
    assert found == [[False, True, False], [False, True, True], [True, True, True]]


def test_a_lost_answer_is_asked_for_until_the_truth_is_known():
    scene = Scene(Server(slow=True))
    call = scene.bid(5, retry_for=1.0)
    scene.connect()
    for _ in range(5):
        scene.store.fail(AnswerLost("away", 1000))
        scene.go_on()
        scene.go_on(4.0)
    assert (outcome(call), scene.store.sizes) == (None, [(1, 1)])
    scene.store.answer()
    scene.go_on()
    assert outcome(call) is ACCEPTED


# Logins.


def test_it_logs_in():
    scene = Scene(Server(with_login=True), username=USER, password=PASSWORD)
    call = scene.bid(5)
    scene.connect()
    assert scene.events == [Entered(USER)]
    assert outcome(call) is Outcome.NOT_PERMITTED


@pytest.mark.parametrize(
    ("login", "kind"),
    [
        ({"username": USER, "password": "wrong"}, InvalidAuth),
        ({"token": "e30.e30.x"}, InvalidAuth),
        ({}, AuthRequired),
    ],
)
def test_a_login_that_is_refused_is_the_end(login, kind):
    scene = Scene(Server(with_login=True), **login)
    call, told = scene.bid(5), scene.watch()
    scene.connect()
    failed = outcome(call)
    assert type(failed) is kind
    assert [type(each) for each in told] == [kind]
    assert [type(event) for event in scene.events[-2:]] == [ServerError, Disconnected]
    assert scene.events[-1].retry_in is None
    assert type(outcome(scene.bid(5))) is kind
    with pytest.raises(kind):
        scene.bidder.watch(1)
    assert not scene.dials()


def test_what_was_refused_says_that_it_had_no_effect():
    scene = Scene(Server(with_login=True), username=USER, password="wrong")
    call = scene.bid(5)
    scene.connect()
    assert str(outcome(call)).endswith("; the bid had no effect")


@pytest.mark.parametrize(
    ("login", "text"),
    [
        (("", "", ""), None),
        (("ann", "a:b", ""), "ann:a:b"),
        (("ann", "", ""), "ann:"),
        (("", "", "e30.e30.x"), "e30.e30.x"),
        (("é" * 63, "é" * 64, ""), f"{'é' * 63}:{'é' * 64}"),
    ],
)
def test_the_text_of_a_login(login, text):
    assert auth_text(*login) == text


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        (("ann", "x", "token"), "a token and a name are two logins: give one"),
        (("a:b", "x", ""), "there is a colon in the name"),
        (("", "", "a:b"), "there is a colon in the token"),
        (("ann", "é" * 126, ""), "the login has 256 bytes, over 255"),
    ],
)
def test_a_login_that_cannot_be_told(login, reason):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        auth_text(*login)


def test_a_limit_that_is_none():
    with pytest.raises(ValueError, match=r"^0 bids at a time are not at least 1$"):
        Scene(limits=BidderLimits(max_bids=0))


def test_without_a_loop_there_is_no_bidder_on_asyncio():
    with pytest.raises(RuntimeError):
        asyncio_bidder("localhost:8081")


# Watches.


def test_who_leads_is_told_from_now_on(scene):
    told = scene.watch()
    scene.connect()
    assert told == [Leader(1, None, None, 0)]
    for amount in (5, 4, 6):
        scene.bid(amount)
        scene.go_on()
    assert told[1:] == [leader(500, 1), leader(600, 2)]


def test_the_end_is_told_once_and_ends_it(scene):
    told = scene.watch()
    scene.connect()
    scene.bid(5)
    scene.go_on()
    scene.store.close(1)
    scene.go_on(1.0)
    assert told[-1] == leader(500, 1, outcome=Outcome.SOLD)
    assert scene.following.called
    assert scene.bidder._watching == {}


def test_who_does_not_take_gets_the_newest(scene):
    watch = scene.bidder.watch(1)
    scene.connect()
    for amount in (5, 6, 7):
        scene.bid(amount)
        scene.go_on()
    assert result(Deferred.fromCoroutine(watch.__anext__())) == leader(700, 3)
    waiting = Deferred.fromCoroutine(watch.__anext__())
    assert not waiting.called
    scene.bidder.close()
    assert type(result(waiting)) is StopAsyncIteration


def test_a_second_watch_of_the_same_begins_with_what_is_known(scene):
    first = scene.watch()
    scene.bid(5)
    scene.connect()
    second = scene.watch()
    assert (first[-1], second) == (leader(500, 1), [leader(500, 1)])


def test_on_another_connection_it_goes_on_with_the_newest(scene):
    told = scene.watch()
    scene.connect()
    scene.roads[0].cut()
    rival = Scene(scene.server)
    for amount in (5, 6):
        rival.bid(amount, user=8)
    rival.connect()
    scene.go_on(1.0)
    scene.connect()
    assert told == [Leader(1, None, None, 0), leader(600, 2, bidder=8)]


def test_what_was_told_before_is_not_told_again(scene):
    told = scene.watch()
    scene.bid(5)
    scene.connect()
    before = list(told)
    scene.roads[0].cut()
    scene.go_on(1.0)
    scene.connect()
    assert told == before


def test_an_auction_that_ended_meanwhile_says_so(scene):
    told = scene.watch()
    scene.connect()
    scene.roads[0].cut()
    scene.store.close(1)
    scene.go_on(1.0)
    scene.connect()
    assert told[-1] == Leader(1, None, None, 0, Outcome.UNSOLD)


def test_an_auction_that_is_not_there(scene):
    told = scene.watch(5)
    scene.connect()
    assert [(type(each), str(each)) for each in told] == [
        (InvalidSubscription, "auction 5 is not there")
    ]
    assert scene.watch() == []
    scene.go_on()
    assert not scene.following.called


def test_several_auctions_at_a_time(scene):
    scene.server.open(2)
    scene.server.open(3)
    told = [scene.watch(auction) for auction in (1, 2, 3)]
    scene.connect()
    scene.bid(5, auction=3)
    scene.go_on()
    assert [len(each) for each in told] == [1, 1, 2]


@pytest.mark.parametrize(("auction", "kind"), [("1", TypeError), (-1, ValueError)])
def test_what_cannot_be_watched(scene, auction, kind):
    with pytest.raises(kind, match=r"^auction_id "):
        scene.bidder.watch(auction)


def test_a_watch_that_is_closed_ends_and_hears_no_more(scene):
    watch = scene.bidder.watch(1)
    scene.connect()
    watch.close()
    watch.close()
    scene.bid(5)
    scene.go_on()
    with pytest.raises(StopAsyncIteration):
        raise result(Deferred.fromCoroutine(watch.__anext__()))
    told = scene.watch()
    scene.go_on()
    assert told == [leader(500, 1)]


def test_a_watch_that_is_closed_is_not_asked_for_again(scene):
    scene.bidder.watch(1).close()
    scene.connect()
    assert len(scene.server.factory.watchers) == 0


def test_who_ends_a_watch_when_told_disturbs_no_other(scene):
    async def once(watch):
        async for _ in watch:
            watch.close()

    ended = Deferred.fromCoroutine(once(scene.bidder.watch(1)))
    told = scene.watch()
    scene.connect()
    assert (ended.called, told) == (True, [Leader(1, None, None, 0)])


def test_a_watch_ends_with_its_block(scene):
    async def look():
        async with scene.bidder.watch(1) as watch:
            return await watch.__anext__()

    looking = Deferred.fromCoroutine(look())
    scene.connect()
    assert result(looking) == Leader(1, None, None, 0)
    assert scene.bidder._watching == {}


# The end.


def closed(scene):
    """Whether a bidder that is closed has come to its end."""
    done = scene.bidder.close()
    scene.go_on()
    return done.called


def test_one_that_never_connected_closes_at_once(scene):
    assert result(scene.bidder.close()) is None


def test_to_close_is_to_leave_nothing_behind(scene):
    scene.bid(5)
    told = scene.watch()
    scene.connect()
    assert closed(scene)
    assert (scene.server.left_behind(), scene.following.called, len(told)) == ({}, True, 2)


def test_what_may_count_is_waited_for():
    scene = Scene(Server(slow=True))
    call = scene.bid(5)
    scene.connect()
    done = scene.bidder.close()
    assert (done.called, outcome(call)) == (False, None)
    scene.store.answer()
    scene.go_on()
    assert (done.called, outcome(call)) == (True, ACCEPTED)


def test_what_was_not_sent_is_not_waited_for(scene):
    call = scene.bid(5)
    assert closed(scene)
    error = outcome(call)
    assert (type(error), str(error)) == (
        BidderClosed,
        "the bidder was closed; the bid had no effect",
    )


def test_what_has_no_answer_at_the_end_may_count():
    scene = Scene(Server(slow=True))
    call = scene.bid(5, bid_id=77)
    scene.connect()
    done = scene.bidder.close()
    scene.go_on(5.0)
    scene.go_on(LINGER)
    assert done.called
    assert str(outcome(call)) == (
        "the bidder was closed before all was answered; whether bid 77 counts is not known"
    )


def test_who_is_closed_takes_nothing_more(scene):
    scene.bidder.close()
    assert type(outcome(scene.bid(5))) is BidderClosed
    with pytest.raises(BidderClosed, match=r"^the bidder is closed$"):
        scene.bidder.watch(1)


def test_a_call_that_is_cancelled_is_not_sent(scene):
    calls = [scene.bid(5), scene.bid(6)]
    calls[0].cancel()
    scene.connect()
    assert [type(outcome(calls[0])), outcome(calls[1])] == [CancelledError, ACCEPTED]
    assert len(scene.store.record(1, 0, 9).result) == 1


def test_a_call_that_is_cancelled_under_way_disturbs_no_other():
    scene = Scene(Server(slow=True))
    calls = [scene.bid(5), scene.bid(6)]
    scene.connect()
    calls[0].cancel()
    scene.store.answer()
    scene.go_on()
    assert [type(outcome(calls[0])), outcome(calls[1])] == [CancelledError, ACCEPTED]


def test_a_server_that_shuts_down_is_followed_by_another(scene):
    call = scene.bid(5)
    scene.connect()
    scene.server.factory.drain(1.0)
    scene.go_on()
    assert isinstance(scene.events[-1].error, ShuttingDown)
    assert outcome(call) is ACCEPTED
    scene.server.advance(1.0)
    assert scene.dials()


def test_what_on_event_raises_is_the_end():
    def on_event(event):
        raise ZeroDivisionError

    scene = Scene(on_event=on_event)
    call = scene.bid(5)
    scene.connect()
    failed = outcome(call)
    assert type(failed) is TickstormError
    assert str(failed).startswith("on_event raised ZeroDivisionError()")
    assert isinstance(failed.__cause__.__cause__, ZeroDivisionError)


def test_a_bidder_ends_with_its_block(scene):
    async def use():
        async with scene.bidder as bidder:
            return await bidder.bid(1, 7, Decimal(5))

    using = Deferred.fromCoroutine(use())
    scene.connect()
    assert outcome(using) is ACCEPTED
    assert scene.roads == []


def alone():
    """A bidder without a server, with a bid under way, and the other end of its connection."""
    clock, endpoint = Clock(), ScriptedEndpoint()
    bidder = twisted_bidder(clock, endpoint, clock=simulated_clock(clock))
    Deferred.fromCoroutine(bidder.bid(1, 7, Decimal(5), bid_id=9)).addErrback(lambda _: None)
    return clock, bidder, endpoint.accept()


def test_who_is_refused_leaves_no_timer():
    clock, _, server = alone()
    server.say(error_frame(InvalidAuth("no")))
    server.lose()
    assert clock.getDelayedCalls() == []


def test_who_is_closed_leaves_no_timer():
    clock, bidder, server = alone()
    server.say(result_frame(Bid(1, 7, 500, 9), Answer(TOO_LOW, 500)))
    done = bidder.close()
    server.lose()
    assert (done.called, clock.getDelayedCalls()) == (True, [])


def test_a_closed_auction(scene):
    scene.store.create(Terms(NOW_MS, NOW_MS + 1000), 2)
    scene.server.advance(1.0)
    call = scene.bid(5, auction=2)
    scene.connect()
    assert outcome(call) is Outcome.CLOSED


def test_who_is_told_may_ask_for_more_at_once(scene):
    told = []  # on Twisted whoever waits goes on inside of what wakes them

    async def follow():
        async for leader in scene.bidder.watch(1):
            told.append(leader.sequence)
            if leader.outcome is None and leader.sequence < 3:
                await scene.bidder.bid(1, 7, Decimal(leader.sequence + 1))
                scene.bidder.watch(1)
        again = await scene.bidder.watch(1).__anext__()
        told.append(again.outcome)
        await scene.bidder.close()

    done = Deferred.fromCoroutine(follow())
    scene.connect()
    scene.store.close(1)
    scene.go_on(1.0)
    assert (told, done.called) == ([0, 1, 2, 3, 3, Outcome.SOLD], True)
