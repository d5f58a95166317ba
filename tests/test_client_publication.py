"""One call to publish: how it is cut, and what it says became of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client.publication import ROOM_FOR_IDS, Call, Published, tick_index
from tickstorm.errors import (
    InvalidPublication,
    InvalidTick,
    MayNotPublish,
    PublicationFailed,
    PublisherClosed,
    TickstormError,
)
from tickstorm.frames import MAX_PAYLOAD_BYTES
from tickstorm.messages import decode_publication
from tickstorm.ticks import MAX_TICKS_PER_BATCH, Tick

ACME = Tick("ACME", 101.25, 5.0)


def ticks(count):
    return [Tick("ACME", 1.0 + index) for index in range(count)]


def requests(call, max_payload_bytes=MAX_PAYLOAD_BYTES):
    cut = []
    while not call.used_up:
        cut.append(call.request(len(cut) + 1, max_payload_bytes))
    return cut


def prices(request):
    return [tick.price for tick in pb.PublishRequest.FromString(request.payload).ticks]


def carry_out(call, *cut):
    for request in cut:
        call.carried_out(request, repeated=False)


# How it is cut.


def test_any_number_is_cut_into_requests():
    call = Call(iter(ticks(2 * MAX_TICKS_PER_BATCH + 1)))
    cut = requests(call)
    assert [(request.id, request.first, request.ticks) for request in cut] == [
        (1, 0, 1000),
        (2, 1000, 1000),
        (3, 2000, 1),
    ]
    assert [price for request in cut for price in prices(request)] == [
        tick.price for tick in ticks(2001)
    ]


def test_a_request_keeps_within_the_frame_limit():
    metadata = {f"k{index}": "v" * 256 for index in range(20)}
    cut = requests(Call(ACME._replace(metadata=metadata) for _ in range(100)))
    assert len(cut) > 1
    assert sum(request.ticks for request in cut) == 100
    sizes = [len(request.payload) + ROOM_FOR_IDS for request in cut]
    assert max(sizes) <= MAX_PAYLOAD_BYTES < sizes[0] + sizes[0] // cut[0].ticks


def test_one_tick_goes_alone_if_it_must():
    assert [request.ticks for request in requests(Call(ticks(3)), 1)] == [1, 1, 1]


def test_a_tick_arrives_with_all_that_it_has():
    full = Tick("ACME", 101.25, 5.0, 1_700_000_000_123_456_789, 101.0, 101.5, 3, 4, {"venue": "X"})
    (request,) = requests(Call([full, ACME]))
    read = decode_publication(request.payload, 1_700_000_000_123)
    assert read.ticks == [full, ACME]


@given(st.integers(0, 30), st.integers(1, 300))
def test_however_it_is_cut_nothing_is_lost_or_moved(count, max_payload_bytes):
    cut = requests(Call(ticks(count)), max_payload_bytes)
    assert [price for request in cut for price in prices(request)] == [
        tick.price for tick in ticks(count)
    ]


def test_ticks_are_taken_as_they_are_needed():
    taken = []

    def live():
        for tick in ticks(5000):
            taken.append(tick)
            yield tick

    call = Call(live())
    call.request(1, MAX_PAYLOAD_BYTES)
    assert len(taken) == MAX_TICKS_PER_BATCH + 1


# What became of it.


def test_no_ticks_are_published_at_once():
    call = Call([])
    assert (call.over, call.result()) == (True, Published(0, 0, 0))


def test_what_was_published():
    call = Call(ticks(1500))
    first, second = requests(call)
    carry_out(call, first)
    assert not call.over
    call.carried_out(second, repeated=True)
    assert (call.over, call.result()) == (True, Published(1500, 2, 1))


def failed(call, kind):
    assert call.over
    with pytest.raises(kind) as raised:
        call.result()
    assert raised.type is kind
    return str(raised.value)


def test_a_bad_tick_ends_it_behind_those_before():
    call = Call([*ticks(1002), ACME._replace(price=0.0), ACME])
    cut = requests(call)
    assert [request.ticks for request in cut] == [1000, 2]
    carry_out(call, *cut)
    assert failed(call, InvalidTick) == (
        "tick 1002: price 0.0 is not 0.0001 to 1000000; the first 1,002 ticks were published"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([ACME._replace(symbol="a")], "tick 0: symbol 'a' is not 1 to 16 of A-Z 0-9 . _ -"),
        (["ACME"], "tick 0: 'ACME' is no Tick"),
        (ACME, "tick 0: 'ACME' is no Tick"),
    ],
)
def test_a_first_tick_that_is_bad(given, message):
    assert failed(Call(given), InvalidTick) == f"{message}; no tick was published"


def test_what_the_ticks_raise_comes_out_with_a_note():
    def broken():
        yield ACME
        raise OSError("the feed is gone")

    call = Call(broken())
    carry_out(call, *requests(call))
    with pytest.raises(OSError, match=r"^the feed is gone") as raised:
        call.result()
    assert raised.value.__notes__ == ["the first tick was published"]


def test_what_ends_several_says_of_each_what_is_its_own():
    reason, calls = LookupError("mine"), [Call(ticks(1500)), Call(ticks(1))]
    carry_out(calls[0], calls[0].request(1, MAX_PAYLOAD_BYTES))
    for call in calls:
        call.give_up(reason)
    raised = []
    for call in calls:
        with pytest.raises(TickstormError) as caught:
            call.result()
        assert caught.value.__cause__ is reason
        raised.append(str(caught.value))
    assert raised == [
        "LookupError('mine'); the first 1,000 ticks were published",
        "LookupError('mine'); no tick was published",
    ]


def test_a_refusal_names_the_tick_of_the_call():
    call = Call(ticks(3000))
    first, second, third = requests(call)
    carry_out(call, first)
    call.refused(second, MayNotPublish("tick 7: this user may not publish ACME", "request 2"))
    assert not call.over
    call.dropped(third)
    assert failed(call, MayNotPublish) == (
        "tick 1007: this user may not publish ACME; the first 1,000 ticks were published"
    )


def test_a_refusal_of_the_whole():
    call = Call(ticks(1))
    call.refused(*requests(call), InvalidPublication("request 1 is so old"))
    assert failed(call, InvalidPublication) == "request 1 is so old; no tick was published"


def test_what_is_refused_and_what_is_behind_it_is_not_in_doubt():
    call = Call(ticks(3000))
    first, second, third = requests(call)
    carry_out(call, first)
    call.refused(second, MayNotPublish("no"))
    third.in_doubt = True
    call.dropped(third)
    assert failed(call, MayNotPublish) == "no; the first 1,000 ticks were published"


def test_what_is_not_known_is_told():
    call = Call(ticks(4000))
    first, *others = requests(call)
    carry_out(call, first)
    call.give_up(PublisherClosed("closed"))
    for request, in_doubt in zip(others, (True, True, False), strict=True):
        request.in_doubt = in_doubt
        call.dropped(request)
    assert failed(call, PublisherClosed) == (
        "closed; the first 1,000 ticks were published, whether ticks 1000 to 2999 were is not known"
    )


def test_a_failure_of_the_server_leaves_it_open():
    call = Call(ticks(1))
    call.refused(*requests(call), PublicationFailed("it could not be published"))
    assert failed(call, PublicationFailed) == (
        "it could not be published; no tick was published, whether tick 0 was is not known"
    )


def test_the_first_reason_stands():
    call = Call(ticks(2))
    call.give_up(PublisherClosed("one"))
    call.give_up(PublisherClosed("two"))
    assert failed(call, PublisherClosed) == "one; no tick was published"


@pytest.mark.parametrize(
    ("message", "index"),
    [("tick 12: no; the first", 12), ("a tick 12: no", None), ("tick x: ", None), ("", None)],
)
def test_the_index_in_a_message(message, index):
    assert tick_index(InvalidTick(message)) == index
