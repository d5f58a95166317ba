"""The wire: `[type][length][value]`, bytes to bids and frames and back, without I/O.

The decoder is incremental and linear: no more than one frame is ever held back, and a header is
judged as soon as it is there. Bids are read in runs, many to a call, as they come in bulk.
"""

from collections.abc import Container, Mapping
from enum import IntEnum, unique
from struct import Struct
from typing import NamedTuple

from tickstorm.auction.money import to_amount, to_cents
from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.errors import InvalidMessage, ProtocolError

HEADER_BYTES = 2
MAX_VALUE_BYTES = 255

_BID = Struct(">BBIId")
_BID_ID = Struct(">Q")
_WATCH = Struct(">BBI")
_UPDATE = Struct(">BBIIdQ")
_RESULT = Struct(">BBIIdBdIQQdQI")
_SHORT = _BID.size - HEADER_BYTES
_LONG = _SHORT + _BID_ID.size
_RESULT_BYTES = _RESULT.size - HEADER_BYTES
_MAX_UINT32 = 2**32 - 1


@unique
class FrameType(IntEnum):
    """The type byte of a frame."""

    BID = 1
    RESULT = 2
    ERROR = 3
    UPDATE = 4
    AUTH = 5
    WATCH = 6


_BID_TYPE = int(FrameType.BID)
_RESULT_TYPE = int(FrameType.RESULT)
_UPDATE_TYPE = int(FrameType.UPDATE)
_TYPES = {int(type): type for type in FrameType}

Lengths = Mapping[FrameType, Container[int]]

FROM_CLIENT: Lengths = {
    FrameType.BID: (_SHORT, _LONG),
    FrameType.AUTH: range(1, MAX_VALUE_BYTES + 1),
    FrameType.WATCH: (_WATCH.size - HEADER_BYTES,),
}
"""What a client may send, and how long each value may be."""
FROM_SERVER: Lengths = {
    FrameType.RESULT: range(_RESULT_BYTES, MAX_VALUE_BYTES + 1),
    FrameType.ERROR: range(1, MAX_VALUE_BYTES + 1),
    FrameType.UPDATE: range(_UPDATE.size - HEADER_BYTES, MAX_VALUE_BYTES + 1),
    FrameType.AUTH: range(MAX_VALUE_BYTES + 1),
}
"""What a server may send: where a value may be longer, what follows is for later versions."""


class Result(NamedTuple):
    """What a RESULT says: the answer to a bid, or, from SOLD on, how an auction has ended.

    Attributes:
        bid: what it answers; of an ended auction the price that it went for and its bidder.
        answer: what became of that.
    """

    bid: Bid
    answer: Answer


class Update(NamedTuple):
    """What an UPDATE says: who leads; the sequence is 0 while nobody does."""

    auction_id: int
    user_id: int
    cents: int
    sequence: int


class Refusal(NamedTuple):
    """What an ERROR says."""

    code: int
    text: str


class Frame(NamedTuple):
    """One frame that may be sent, of a length that it may have."""

    type: FrameType
    value: bytes


class Decoder:
    """Cuts what arrives into runs of bids and single frames.

    Feed it bytes as they come, then take what there is. After an error it gives nothing more: the
    place in the stream is lost.

    Args:
        lengths: what the other side may send.
    """

    __slots__ = ("_at", "_buffer", "_lengths")

    def __init__(self, lengths: Lengths = FROM_CLIENT) -> None:
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._lengths = lengths

    @property
    def pending_bytes(self) -> int:
        """How many bytes are held that nothing has been made of yet."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        if self._at == len(self._buffer):
            self._buffer, self._at = data, 0
            return
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(memoryview(self._buffer)[self._at :])
        elif self._at:
            del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def take_bids(self, limit: int) -> list[Bid]:
        """Return the whole bids that come next, at most `limit`; none if something else does."""
        buffer, at = self._buffer, self._at
        size = len(buffer)
        bids: list[Bid] = []
        while len(bids) < limit and at + _BID.size <= size:
            type, length, auction_id, user_id, amount = _BID.unpack_from(buffer, at)
            end = at + HEADER_BYTES + length
            if type != _BID_TYPE or end > size:
                break
            if length == _SHORT:
                bid_id = 0
            elif length == _LONG:
                bid_id = _BID_ID.unpack_from(buffer, at + _BID.size)[0]
            else:
                break
            bids.append(Bid(auction_id, user_id, to_cents(amount), bid_id))
            at = end
        self._move_to(at)
        return bids

    def next_frame(self) -> Frame | None:
        """Return the next whole frame, or None until more is fed.

        Raises:
            InvalidMessage: the other side may not send this type, or not of this length.
        """
        buffer, at = self._buffer, self._at
        if at == len(buffer):
            return None
        type = self._type(buffer[at])
        if at + 1 == len(buffer):
            return None
        length = buffer[at + 1]
        if length not in self._lengths[type]:
            raise InvalidMessage(f"a value of {length} bytes is not that of a {type.name}")
        end = at + HEADER_BYTES + length
        if end > len(buffer):
            return None
        value = bytes(buffer[at + HEADER_BYTES : end])
        self._move_to(end)
        return Frame(type, value)

    def _type(self, byte: int) -> FrameType:
        type = _TYPES.get(byte)
        if type is None:
            raise InvalidMessage(f"unknown frame type {byte}")
        if type not in self._lengths:
            raise InvalidMessage(f"{type.name} is not for this side to send")
        return type

    def _move_to(self, at: int) -> None:
        if at == len(self._buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = at


# What a client sends.


def bid_frame(auction_id: int, user_id: int, amount: float, bid_id: int = 0) -> bytes:
    """Return a BID; without a bid_id the short one, that every server knows."""
    if not bid_id:
        return _BID.pack(_BID_TYPE, _SHORT, auction_id, user_id, amount)
    short = _BID.pack(_BID_TYPE, _LONG, auction_id, user_id, amount)
    return short + _BID_ID.pack(bid_id)


def watch_frame(auction_id: int) -> bytes:
    """Return a WATCH."""
    return _WATCH.pack(FrameType.WATCH, _WATCH.size - HEADER_BYTES, auction_id)


def auth_frame(text: str) -> bytes:
    """Return an AUTH: a client's token, or the name by which the server knows it.

    Raises:
        ValueError: in UTF-8 it is more than MAX_VALUE_BYTES.
    """
    value = text.encode()
    if len(value) > MAX_VALUE_BYTES:
        raise ValueError(f"{len(value)} bytes are more than {MAX_VALUE_BYTES}")
    return bytes((FrameType.AUTH, len(value))) + value


def read_auction_id(value: bytes) -> int:
    """Return the auction that the value of a WATCH names."""
    return int.from_bytes(value, "big")


def read_text(value: bytes) -> str:
    """Return the text of the value of an AUTH.

    Raises:
        InvalidMessage: it is not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidMessage("the text is not UTF-8") from None


# What a server sends.


def result_frame(bid: Bid, answer: Answer) -> bytes:
    """Return a RESULT, with amounts as doubles again.

    Its value, big-endian: auction_id uint32, user_id uint32, amount float64 as it was decided on,
    outcome uint8, price float64, bidder uint32, sequence uint64, bid_id uint64, minimum float64,
    closes_ms uint64, retry_after_ms uint32.
    """
    auction_id, user_id, _, bid_id = bid
    outcome, cents, (price, bidder, sequence, minimum, closes_ms), retry_after_ms = answer
    return _RESULT.pack(
        _RESULT_TYPE,
        _RESULT_BYTES,
        auction_id,
        user_id,
        cents / 100,
        outcome,
        price / 100,
        bidder,
        sequence,
        bid_id,
        minimum / 100,
        closes_ms,
        min(retry_after_ms, _MAX_UINT32) if retry_after_ms else 0,
    )


def update_frame(update: Update) -> bytes:
    """Return an UPDATE."""
    auction_id, user_id, cents, sequence = update
    size = _UPDATE.size - HEADER_BYTES
    return _UPDATE.pack(_UPDATE_TYPE, size, auction_id, user_id, to_amount(cents), sequence)


def error_frame(error: ProtocolError) -> bytes:
    """Return an ERROR: the code as on the stream's wire, and as much of the message as fits."""
    text = error.message.encode()[: MAX_VALUE_BYTES - 1].decode(errors="ignore").encode()
    return bytes((FrameType.ERROR, 1 + len(text), error.code)) + text


def read_result(value: bytes) -> Result:
    """Return what the value of a RESULT says."""
    auction_id, user_id, amount, outcome, price, bidder, sequence, *rest = _RESULT.unpack_from(
        bytes(HEADER_BYTES) + value
    )[2:]
    bid_id, minimum, closes_ms, retry_after_ms = rest
    cents = to_cents(amount)
    standing = Standing(to_cents(price), bidder, sequence, to_cents(minimum), closes_ms)
    answer = Answer(_outcome(outcome), cents, standing, retry_after_ms)
    return Result(Bid(auction_id, user_id, cents, bid_id), answer)


def read_update(value: bytes) -> Update:
    """Return what the value of an UPDATE says."""
    auction_id, user_id, amount, sequence = _UPDATE.unpack_from(bytes(HEADER_BYTES) + value)[2:]
    return Update(auction_id, user_id, to_cents(amount), sequence)


def read_error(value: bytes) -> Refusal:
    """Return what the value of an ERROR says; a code of a later version stays a number."""
    return Refusal(value[0], value[1:].decode(errors="replace"))


def _outcome(byte: int) -> Outcome:
    try:
        return Outcome(byte)
    except ValueError:
        raise InvalidMessage(f"unknown outcome {byte}") from None
