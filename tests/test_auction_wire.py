"""The auction's wire: bytes to bids and back however they are cut; anything else is one error."""

from math import inf, nan
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.money import MAX_CENTS, to_amount
from tickstorm.auction.rule import NOWHERE, Answer, Bid, Outcome, Standing
from tickstorm.auction.wire import (
    FROM_SERVER,
    Decoder,
    Frame,
    FrameType,
    Refusal,
    Result,
    Update,
    auth_frame,
    bid_frame,
    error_frame,
    read_auction_id,
    read_error,
    read_result,
    read_text,
    read_update,
    result_frame,
    update_frame,
    watch_frame,
)
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    AuthRequired,
    InvalidMessage,
    ProtocolError,
    ShuttingDown,
)


def raw(type, value=b"", *, length=None):
    """A frame as PROTOCOL describes it, made by nothing of ours."""
    return bytes((type, len(value) if length is None else length)) + value


def raw_bid(auction_id, user_id, amount, *bid_id):
    value = pack(">IId", auction_id, user_id, amount)
    return raw(1, value + b"".join(pack(">Q", id) for id in bid_id))


def drain(decoder, limit=1000):
    """All that a decoder gives, bids and frames in their order."""
    taken = []
    while True:
        bids = decoder.take_bids(limit)
        taken += bids
        frame = None if bids else decoder.next_frame()
        if frame is not None:
            taken.append(frame)
        elif not bids:
            return taken


def decode(*pieces, limit=1000, lengths=None):
    decoder = Decoder() if lengths is None else Decoder(lengths)
    taken = []
    for piece in pieces:
        decoder.feed(piece)
        taken += drain(decoder, limit)
    return taken, decoder.pending_bytes


uint32s, uint64s = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
cents = st.integers(1, 10**12)
bids = st.builds(Bid, uint32s, uint32s, cents, st.just(0) | uint64s)
tokens = st.text(min_size=1, max_size=60)


def sent(message):
    if isinstance(message, Bid):
        return bid_frame(message.auction_id, message.user_id, message.cents / 100, message.bid_id)
    return raw(message.type, message.value)


frames = st.builds(lambda token: Frame(FrameType.AUTH, token.encode()), tokens) | st.builds(
    lambda auction_id: Frame(FrameType.WATCH, pack(">I", auction_id)), uint32s
)
messages = st.lists(bids | frames, max_size=20)


# The very bytes.


def test_a_bid_of_version_1_in_full():
    frame = bytes.fromhex("01 10 00003039 00010932 4062d00000000000")
    assert bid_frame(12345, 67890, 150.5) == frame == raw_bid(12345, 67890, 150.5)
    assert decode(frame) == ([Bid(12345, 67890, 15050)], 0)


def test_a_bid_with_an_id_in_full():
    frame = bytes.fromhex("01 18 00003039 00010932 4062d00000000000 0102030405060708")
    assert bid_frame(12345, 67890, 150.5, 0x0102030405060708) == frame
    assert decode(frame) == ([Bid(12345, 67890, 15050, 0x0102030405060708)], 0)


def test_an_id_of_0_is_as_good_as_none():
    assert decode(raw_bid(1, 2, 3.0, 0)) == ([Bid(1, 2, 300, 0)], 0)


def test_a_watch_and_an_auth():
    assert watch_frame(7) == b"\x06\x04\x00\x00\x00\x07"
    assert auth_frame("é.x") == b"\x05\x04\xc3\xa9.x"
    (watch, auth), _ = decode(watch_frame(7) + auth_frame("é.x"))
    assert (watch.type, read_auction_id(watch.value)) == (FrameType.WATCH, 7)
    assert (auth.type, read_text(auth.value)) == (FrameType.AUTH, "é.x")


STANDING = Standing(price=15050, bidder=67890, sequence=9, minimum=15100, closes_ms=1_700_000)


def test_a_result_in_full():
    answer = Answer(Outcome.ACCEPTED, 15050, STANDING, 250)
    assert result_frame(Bid(12345, 67890, 15050, 77), answer) == bytes.fromhex(
        "02 41 00003039 00010932 4062d00000000000 01"
        "4062d00000000000 00010932 0000000000000009 000000000000004d"
        "4062e00000000000 000000000019f0a0 000000fa"
    )


def test_an_update_in_full():
    update = Update(12345, 67890, 15050, 9)
    frame = bytes.fromhex("04 18 00003039 00010932 4062d00000000000 0000000000000009")
    assert update_frame(update) == frame
    assert read_update(frame[2:]) == update


def test_an_error_in_full():
    frame = b"\x03\x09\x02no login"
    assert error_frame(AuthRequired("no login")) == frame
    assert read_error(frame[2:]) == Refusal(2, "no login")


@pytest.mark.parametrize("error", PROTOCOL_ERRORS.values())
def test_every_error_has_its_code(error):
    assert read_error(error_frame(error("why"))[2:]) == Refusal(error.code, "why")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x" * 254, "x" * 254),
        ("x" * 255, "x" * 254),
        ("é" * 128, "é" * 127),
        ("xé" + "é" * 200, "x" + "é" * 126),
    ],
)
def test_an_error_is_cut_to_its_length_between_two_characters(text, told):
    frame = error_frame(ShuttingDown(text))
    assert read_error(frame[2:]) == Refusal(15, told)
    assert len(frame) == 2 + frame[1] == 3 + len(told.encode())


@pytest.mark.parametrize("text", ["x" * 256, "é" * 128])
def test_a_token_that_is_too_long(text):
    with pytest.raises(ValueError, match=r"^256 bytes are more than 255$"):
        auth_frame(text)


# There and back.


standings = st.builds(Standing, cents, uint32s, uint64s, cents, uint64s)


@given(bids, st.sampled_from(Outcome), standings, uint32s)
def test_a_result_says_what_it_was_made_of(bid, outcome, standing, retry_after_ms):
    answer = Answer(outcome, bid.cents, standing, retry_after_ms)
    ((frame,), pending) = decode(result_frame(bid, answer), lengths=FROM_SERVER)
    assert (frame.type, pending) == (FrameType.RESULT, 0)
    assert read_result(frame.value) == Result(bid, answer)


def test_a_result_without_anything_to_say():
    answer = Answer(Outcome.MALFORMED, 0)
    assert read_result(result_frame(Bid(1, 2, 0), answer)[2:]) == Result(Bid(1, 2, 0), answer)
    assert answer.standing == NOWHERE


def test_a_wait_of_more_than_49_days_is_told_as_that():
    answer = Answer(Outcome.NOT_OPEN, 100, STANDING, 2**40)
    told = read_result(result_frame(Bid(1, 2, 100), answer)[2:]).answer
    assert told.retry_after_ms == 2**32 - 1


def test_a_longer_result_and_update_of_a_later_version_can_be_read():
    answer = Answer(Outcome.EQUAL, 100, STANDING)
    result, update = result_frame(Bid(1, 2, 100), answer), update_frame(Update(1, 2, 3, 4))
    later = [raw(frame[0], frame[2:] + b"more") for frame in (result, update)]
    (first, second), _ = decode(*later, lengths=FROM_SERVER)
    assert read_result(first.value) == Result(Bid(1, 2, 100), answer)
    assert read_update(second.value) == Update(1, 2, 3, 4)


def test_an_outcome_of_a_later_version():
    frame = bytearray(result_frame(Bid(1, 2, 100), Answer(Outcome.EQUAL, 100)))
    frame[18] = 99
    with pytest.raises(InvalidMessage, match=r"^unknown outcome 99$"):
        read_result(bytes(frame[2:]))


# Cutting.


@given(messages, st.data())
def test_a_stream_cut_anywhere_is_the_same(messages, data):
    stream = b"".join(map(sent, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*pieces, limit=data.draw(st.integers(1, 30))) == (messages, 0)


@given(messages)
def test_a_stream_byte_by_byte_is_the_same(messages):
    stream = b"".join(map(sent, messages))
    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == (messages, 0)


@given(messages, st.data())
def test_a_stream_that_ends_early_gives_what_was_whole(messages, data):
    stream = b"".join(map(sent, messages))
    end = data.draw(st.integers(0, len(stream)))
    taken, pending = decode(stream[:end])
    assert taken == messages[: len(taken)]
    assert pending == end - len(b"".join(map(sent, taken)))
    assert pending < len(sent(messages[len(taken)])) if len(taken) < len(messages) else not pending


def test_no_more_bids_are_taken_than_asked_for():
    decoder = Decoder()
    decoder.feed(raw_bid(1, 2, 3.0) * 5)
    assert [len(decoder.take_bids(limit)) for limit in (0, 1, 3, 9, 9)] == [0, 1, 3, 1, 0]
    assert decoder.pending_bytes == 0


def test_a_run_of_bids_ends_at_anything_else():
    decoder = Decoder()
    decoder.feed(raw_bid(1, 2, 3.0) + watch_frame(9) + raw_bid(4, 5, 6.0, 7))
    assert decoder.take_bids(9) == [Bid(1, 2, 300)]
    assert decoder.take_bids(9) == []
    assert decoder.next_frame() == Frame(FrameType.WATCH, pack(">I", 9))
    assert decoder.take_bids(9) == [Bid(4, 5, 600, 7)]
    assert (decoder.take_bids(9), decoder.next_frame(), decoder.pending_bytes) == ([], None, 0)


class CountingBuffer(bytearray):
    """Counts the bytes that are moved within it."""

    moved = 0

    def __delitem__(self, key):
        self.moved += len(self) - len(self[key])
        super().__delitem__(key)


def test_many_bids_in_one_segment_are_not_copied_for_each_other():
    decoder = Decoder()
    decoder.feed(b"\x01")
    decoder.feed((raw_bid(1, 2, 3.0) * 10_000)[1:])
    buffer = decoder._buffer = CountingBuffer(decoder._buffer)
    assert drain(decoder, 10) == [Bid(1, 2, 300)] * 10_000
    assert buffer.moved == 0
    assert decoder._buffer == b""


# Refusing.


@pytest.mark.parametrize(
    "amount",
    [nan, inf, -inf, 0.0, -0.0, -1.0, 0.001, float(2**53 + 1), (2**53 + 1) / 100, 5e-324, 1e308],
)
def test_an_amount_that_is_none_is_a_bid_all_the_same(amount):
    assert decode(raw_bid(1, 2, amount, 7)) == ([Bid(1, 2, 0, 7)], 0)


def test_the_largest_amount():
    assert decode(raw_bid(1, 2, to_amount(MAX_CENTS))) == ([Bid(1, 2, MAX_CENTS)], 0)


@pytest.mark.parametrize("length", [*range(16), *range(17, 24), *range(25, 256)])
def test_a_bid_of_any_other_length_is_refused_from_its_header_alone(length):
    for data in (
        raw(1, length=length),
        raw(1, bytes(length)),
        raw_bid(9, 9, 9.0) + raw(1, b"", length=length),
    ):
        with pytest.raises(InvalidMessage) as caught:
            decode(data)
        assert caught.value.message == f"a value of {length} bytes is not that of a BID"


@pytest.mark.parametrize("type", [0, *range(7, 256)])
def test_an_unknown_type_is_refused_from_its_byte_alone(type):
    for data in (bytes((type,)), raw(type, bytes(16))):
        with pytest.raises(InvalidMessage, match=f"^unknown frame type {type}$"):
            decode(data)


@pytest.mark.parametrize("type", [FrameType.RESULT, FrameType.ERROR, FrameType.UPDATE])
def test_what_only_a_server_sends(type):
    with pytest.raises(InvalidMessage, match=f"^{type.name} is not for this side to send$"):
        decode(raw(type, bytes(30)))


@pytest.mark.parametrize("type", [FrameType.BID, FrameType.WATCH])
def test_what_only_a_client_sends(type):
    decoder = Decoder(FROM_SERVER)
    decoder.feed(raw(type, bytes(16)))
    with pytest.raises(InvalidMessage, match=f"^{type.name} is not for this side to send$"):
        decoder.next_frame()


@pytest.mark.parametrize(("type", "length"), [(5, 0), (6, 0), (6, 3), (6, 5), (6, 255)])
def test_other_lengths_that_cannot_be(type, length):
    with pytest.raises(InvalidMessage, match=f"^a value of {length} bytes is not that of a "):
        decode(raw(type, length=length))


@pytest.mark.parametrize("length", [0, 64])
def test_a_result_that_is_too_short(length):
    with pytest.raises(
        InvalidMessage, match=f"^a value of {length} bytes is not that of a RESULT$"
    ):
        decode(raw(2, length=length), lengths=FROM_SERVER)


def test_a_text_that_is_not_utf_8():
    with pytest.raises(InvalidMessage, match=r"^the text is not UTF-8$"):
        read_text(b"\xff")
    assert read_error(b"\x63\xff") == Refusal(99, "�")


def test_frames_before_a_wrong_one_are_given_and_none_after_it():
    decoder = Decoder()
    decoder.feed(raw_bid(1, 2, 3.0) + raw(9) + raw_bid(1, 2, 3.0))
    assert decoder.take_bids(9) == [Bid(1, 2, 300)]
    for _ in range(3):
        assert decoder.take_bids(9) == []
        with pytest.raises(InvalidMessage):
            decoder.next_frame()


def outcome(*pieces):
    try:
        return decode(*pieces)
    except ProtocolError as error:
        return type(error)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_arbitrary_bytes_give_only_our_errors(pieces):
    result = outcome(*pieces)
    assert result is InvalidMessage or sum(map(len, pieces)) >= result[1]
