"""RESULTs as a load counts them: what each says, of bytes cut anywhere. Pure.

Nearly all that arrives is RESULTs of one length. Those are not decoded one by one: that they are
such, and what they say, is sliced out of all of them at once.
"""

from typing import NamedTuple

from tickstorm.auction.rule import Answer, Bid, Outcome
from tickstorm.auction.wire import (
    FROM_SERVER,
    HEADER_BYTES,
    Decoder,
    FrameType,
    Refusal,
    read_error,
    result_frame,
)
from tickstorm.errors import ErrorCode

_PLAIN = result_frame(Bid(0, 0, 0), Answer(Outcome.MALFORMED, 0))
RESULT_BYTES = len(_PLAIN)
OUTCOME_AT = 18
"""Where in a RESULT its outcome is."""
_TYPE, _LENGTH = _PLAIN[:1], _PLAIN[1:HEADER_BYTES]


class Read(NamedTuple):
    """What was read.

    Attributes:
        outcomes: of each RESULT one byte.
        rest: the beginning of a frame, to be put before what arrives next.
        refusal: the last ERROR, if there was one.
    """

    outcomes: bytes
    rest: bytes
    refusal: Refusal | None = None


def read_results(data: bytes) -> Read:
    """Read what a server sends to somebody who bids and watches nothing.

    Raises:
        InvalidMessage: it is not what a server may send.
    """
    end = len(data) - len(data) % RESULT_BYTES
    if _plain(data, end):
        return Read(data[OUTCOME_AT:end:RESULT_BYTES], data[end:])
    return _frame_by_frame(data)


def error_name(code: int) -> str:
    """Return the name of the code of an ERROR; one of a later version is a number."""
    return ErrorCode(code).name if code in set(ErrorCode) else f"code {code}"


def _plain(data: bytes, end: int) -> bool:
    """Say whether there are only RESULTs of one length up to `end`, and another begins there."""
    count = end // RESULT_BYTES
    return (
        data[:end:RESULT_BYTES].count(_TYPE) == count
        and data[1:end:RESULT_BYTES].count(_LENGTH) == count
        and data[end : end + 1] in (b"", _TYPE)
    )


def _frame_by_frame(data: bytes) -> Read:
    decoder = Decoder(FROM_SERVER)
    decoder.feed(data)
    outcomes, refusal = bytearray(), None
    while (frame := decoder.next_frame()) is not None:
        if frame.type is FrameType.RESULT:
            outcomes.append(frame.value[OUTCOME_AT - HEADER_BYTES])
        elif frame.type is FrameType.ERROR:
            refusal = read_error(frame.value)
    return Read(bytes(outcomes), data[len(data) - decoder.pending_bytes :], refusal)
