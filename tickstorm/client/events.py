"""What happens to a subscription, as past facts.

All but `BatchReceived` reach the `on_event` of a client; the batches come out of its iteration.
"""

from typing import NamedTuple

from tickstorm.client.batch import Batch
from tickstorm.errors import ProtocolError
from tickstorm.sequences import steps


class Authenticated(NamedTuple):
    """The server knows who this is."""


class Subscribed(NamedTuple):
    """The server sends batches from now on.

    Attributes:
        epoch: names the run of sequence numbers; empty from a server that does not say.
        next_sequence: the number of the next batch; None from a server that does not say.
        heartbeat_interval: seconds within which the server wants to hear something.
        heartbeat_timeout: seconds of silence after which either side gives the other up.
        recovered: whether all comes that was asked for of the past; None if nothing was, or if the
            server does not say. If a resumed subscription is not recovered, a `Gap` or a
            `Restarted` follows, and a snapshot comes before the next batch.
        symbols: as the server understood them, "*" for all; None if it does not say.
    """

    epoch: str
    next_sequence: int | None
    heartbeat_interval: float
    heartbeat_timeout: float
    recovered: bool | None = None
    symbols: frozenset[str] | None = None


class Admitted(NamedTuple):
    """The server knows who this is, and hears what it publishes.

    Attributes:
        epoch: names the run of the server; empty from one that does not say.
        heartbeat_interval: seconds within which the server wants to hear something.
        heartbeat_timeout: seconds of silence after which either side gives the other up.
    """

    epoch: str
    heartbeat_interval: float
    heartbeat_timeout: float


class Entered(NamedTuple):
    """The server hears what this bidder bids.

    Attributes:
        name: who that is, as the server knows it; empty if it asks for no login.
    """

    name: str


class Held(NamedTuple):
    """The server hears no more of this user for some time: it publishes more than its rate."""

    seconds: float


class BatchReceived(NamedTuple):
    """A batch came."""

    batch: Batch


class Gap(NamedTuple):
    """Batches of the stream were sent and do not come: those from `first` to `last`.

    Attributes:
        ticks: how many are lost with them; None if the server does not say. What of a conflated
            batch is not lost comes in the next one.
        reason: in the server's words, "dropped" or "conflated" for a consumer that does not keep
            up; empty if it does not say.
    """

    first: int
    last: int
    ticks: int | None = None
    reason: str = ""

    @property
    def batches(self) -> int:
        """How many they were, 1 to 2^32 - 1."""
        return steps(self.first, self.last) + 1


class Restarted(NamedTuple):
    """The stream's numbers began anew, so what was missed in between cannot be counted.

    So it is as well when the server no longer knows what came behind the last batch.
    """


class Repeated(NamedTuple):
    """A batch came whose number was there before; it was dropped."""

    sequence: int


class ServerError(NamedTuple):
    """The server refused something, or ended the connection.

    Attributes:
        error: of the class that belongs to its code.
        retryable: whether another connection may do better.
    """

    error: ProtocolError
    retryable: bool


class GoAway(NamedTuple):
    """The server is about to close; the connection is over, and another one follows.

    Attributes:
        retry_after_ms: how long the server wants to be left alone.
        reason: in its words.
    """

    retry_after_ms: int
    reason: str


class Garbled(NamedTuple):
    """What came is not the protocol: the connection is over."""

    error: ProtocolError


class Silent(NamedTuple):
    """Connected, and nothing at all came for this many seconds: the connection is over."""

    seconds: float


class Disconnected(NamedTuple):
    """A connection ended, or could not be made.

    Attributes:
        error: why.
        retry_in: seconds until the next attempt; None if there is none.
    """

    error: Exception
    retry_in: float | None


SessionEvent = (
    Authenticated
    | Subscribed
    | BatchReceived
    | Gap
    | Restarted
    | Repeated
    | ServerError
    | GoAway
    | Garbled
    | Silent
)
Event = SessionEvent | Disconnected

PublisherEvent = Admitted | Held | ServerError | Garbled | Silent | Disconnected
"""What reaches the `on_event` of a publisher."""


def ignore(event: Event | PublisherEvent) -> None:
    """Take an event that nobody wants to hear of."""
