"""What a parent and its workers say to one another, as frames: pure.

A control message is one of the tuples below, pickled: both ends are this very program, started by
the same user, on a socket that nobody else can open. An emission is a stream's batches, whose bytes
pass unchanged; it is encoded once for all workers.
"""

import pickle
from collections.abc import Iterator, Sequence
from enum import IntEnum, unique
from struct import Struct
from typing import Any, NamedTuple

from tickstorm.auction.reading import AuctionReading
from tickstorm.credentials import Peer, User
from tickstorm.errors import InvalidMessage, ProtocolError
from tickstorm.frames import HEADER_BYTES, OVERHEAD_BYTES, FrameDecoder, encode_frame
from tickstorm.listing import Listing, Query
from tickstorm.messages import Login
from tickstorm.publishing import Accepted, Publication
from tickstorm.reading import Reading
from tickstorm.settings import Settings
from tickstorm.subscriptions import Subscription
from tickstorm.workers.handover import PortKind

MAX_LINK_PAYLOAD = 2**26
"""Bytes of one message: room for 10,000 rows of connections, or any one frame."""
PART_BYTES = 2**20
"""Bytes of frames in one message, if a frame is not longer: the rest comes in the next one."""


@unique
class LinkType(IntEnum):
    """The type byte of a frame between a parent and a worker."""

    CONTROL = 1
    EMISSION = 2


_TYPES = {int(type): type for type in LinkType}
_EMISSION = Struct(">QId")
_LENGTH = Struct(">I")
_LENGTH_AT = HEADER_BYTES - _LENGTH.size


# A worker says:


class Ready(NamedTuple):
    """It serves what it is handed."""


class Join(NamedTuple):
    """It wants to be on a stream; answered by Placed or Unplaced.

    Attributes:
        slot: of the hub's slots.
    """

    request: int
    subscription: Subscription
    slot: int


class Leave(NamedTuple):
    """It has no subscriber of a stream any more.

    Attributes:
        number: the stream's.
        placed: how many Placed it gives up by this. If there were more, which it has not read yet,
            it stays on the stream.
        kept: whether one of its subscribers may come back.
    """

    number: int
    placed: int
    kept: bool = True


class LoginAsked(NamedTuple):
    """It wants to know who somebody is; answered by LoginAnswered."""

    request: int
    login: Login
    peer: Peer


class LoginDropped(NamedTuple):
    """It does not want to know any more what it asked with LoginAsked."""

    request: int


class PublishAsked(NamedTuple):
    """It has a request to publish; answered by PublishAnswered."""

    request: int
    publication: Publication


class LoginFailed(NamedTuple):
    """Somebody at this address failed to log in; the parent tells all others."""

    address: str


class AtAddress(NamedTuple):
    """One more (or less) is connected from this address; the parent tells all others."""

    address: str
    change: int
    kind: PortKind = PortKind.SUBSCRIBERS


class Load(NamedTuple):
    """How many connections of a kind it was handed so far, and how many of them are open."""

    handed: int
    open: int
    kind: PortKind = PortKind.SUBSCRIBERS


class Report(NamedTuple):
    """How it is, once a second.

    Attributes:
        bidders: None if it serves none.
    """

    reading: Reading
    cpu_seconds: float
    resident_bytes: int
    bidders: AuctionReading | None = None


class Said(NamedTuple):
    """A line for the log."""

    level: str
    namespace: str
    text: str
    fields: dict[str, Any]


class Listed(NamedTuple):
    """Answers ListAsked."""

    request: int
    listing: Listing


class Leaving(NamedTuple):
    """It drains, and wants to be handed nothing more."""


class Drained(NamedTuple):
    """Its last connection is closed, and it ends."""


# The parent says:


class Placed(NamedTuple):
    """Answers Join: what comes from now on of this stream is for the worker.

    Attributes:
        number: what emissions of the stream are marked with.
        slot: the stream's.
        epoch: the stream's.
        next_sequence: of the stream's next batch.
        first_sequence: of the first batch that the subscription is to get.
        frames: what it is to get before the stream's next batch.
        recovered: whether nothing is missing of what it asked for; None if it did not ask.
        more: whether this is but a part of that, and the answer goes on; the last part counts.
    """

    request: int
    number: int
    slot: int
    epoch: str
    next_sequence: int
    first_sequence: int
    frames: Sequence[bytes] = ()
    recovered: bool | None = None
    more: bool = False


class Unplaced(NamedTuple):
    """Answers Join: it cannot be served, and why."""

    request: int
    error: ProtocolError


class LoginAnswered(NamedTuple):
    """Answers LoginAsked: who it is, or why not."""

    request: int
    answer: User | ProtocolError


class PublishAnswered(NamedTuple):
    """Answers PublishAsked: that it is published, or why not."""

    request: int
    answer: Accepted | ProtocolError


class ListAsked(NamedTuple):
    """Asks for connections; answered by Listed."""

    request: int
    query: Query


class AtAddresses(NamedTuple):
    """So many more (or fewer) are connected elsewhere, by address: another worker is gone."""

    changes: dict[str, int]
    kind: PortKind = PortKind.SUBSCRIBERS


class Drain(NamedTuple):
    """Tell every client, close all within `window` seconds, cut who is left after `seconds`, end.

    What is sent to the worker until then still goes to those that are not closed yet.
    """

    seconds: float
    window: float


class Hasten(NamedTuple):
    """Close whoever is left at once, and end."""


class Reload(NamedTuple):
    """Be held to other settings, and use other certificates for the connections to come.

    Attributes:
        settings: as in `WorkerSpec`.
        files: the contents of the PEM files, by path.
    """

    settings: Settings
    files: dict[str, bytes]


class Unreadable(NamedTuple):
    """What takes the place of a control message that arrived whole, but means nothing here."""

    reason: str


class Emission(NamedTuple):
    """Batches of one stream.

    Attributes:
        number: the stream's.
        next_sequence: of the batch after these.
        began: when their fan-out began, on the monotonic clock, which is the whole machine's.
        frames: as the subscribers are to have them.
    """

    number: int
    next_sequence: int
    began: float
    frames: Sequence[bytes]


def control(message: tuple[Any, ...]) -> bytes:
    """Return a control message's frame."""
    return encode_frame(LinkType.CONTROL, pickle.dumps(message))


def emission(number: int, next_sequence: int, began: float, frames: Sequence[bytes]) -> bytes:
    """Return an emission's frame."""
    head = _EMISSION.pack(number, next_sequence, began)
    return encode_frame(LinkType.EMISSION, b"".join((head, *frames)))


def parts(frames: Sequence[bytes], max_bytes: int = PART_BYTES) -> Iterator[Sequence[bytes]]:
    """Cut frames into runs of so many bytes, or of one longer frame; none are one empty run."""
    if sum(map(len, frames)) <= max_bytes:
        yield frames
        return
    start = size = 0
    for at, frame in enumerate(frames):
        if size and size + len(frame) > max_bytes:
            yield frames[start:at]
            start, size = at, 0
        size += len(frame)
    yield frames[start:]


class LinkDecoder:
    """Makes messages of what arrives."""

    def __init__(self) -> None:
        self._frames = FrameDecoder(MAX_LINK_PAYLOAD, _TYPES)

    def receive(self, data: bytes) -> Iterator[Any]:
        """Yield each message that is whole: an Emission, or a control message if it can be read.

        Raises:
            ProtocolError: what came is none of these.
        """
        self._frames.feed(data)
        while (frame := self._frames.next_frame()) is not None:
            type: int = frame.type
            if type == LinkType.EMISSION:
                yield _read_emission(frame.payload)
            else:
                yield _read_control(frame.payload)


def _read_control(payload: bytes) -> Any:
    try:
        return pickle.loads(payload)  # noqa: S301 - of this program's own process
    except Exception as error:
        return Unreadable(f"{type(error).__name__}: {error}")


def _read_emission(payload: bytes) -> Emission:
    if len(payload) < _EMISSION.size:
        raise InvalidMessage("an emission is cut short")
    number, next_sequence, began = _EMISSION.unpack_from(payload)
    frames = list(_frames(payload, _EMISSION.size))
    return Emission(number, next_sequence, began, frames)


def _frames(payload: bytes, at: int) -> Iterator[bytes]:
    while at < len(payload):
        if len(payload) < at + OVERHEAD_BYTES:
            raise InvalidMessage("a frame of an emission is cut short")
        (length,) = _LENGTH.unpack_from(payload, at + _LENGTH_AT)
        end = at + OVERHEAD_BYTES + length
        if len(payload) < end:
            raise InvalidMessage("a frame of an emission is cut short")
        yield payload[at:end]
        at = end
