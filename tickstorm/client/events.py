"""What happens to a subscription, as past facts.

All but `BatchReceived` reach the `on_event` of a client; the batches come out of its iteration.
"""

from typing import NamedTuple

from tickstorm.client.batch import Batch
from tickstorm.errors import ProtocolError


class Authenticated(NamedTuple):
    """The server knows who this is."""


class Subscribed(NamedTuple):
    """The server sends batches from now on.

    Attributes:
        epoch: names the run of sequence numbers; empty from a server that does not say.
        next_sequence: the number of the next batch; None from a server that does not say.
        heartbeat_interval: seconds within which the server wants to hear something.
        heartbeat_timeout: seconds of silence after which either side gives the other up.
    """

    epoch: str
    next_sequence: int | None
    heartbeat_interval: float
    heartbeat_timeout: float


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


class Held(NamedTuple):
    """The server hears no more of this user for some time: it publishes more than its rate."""

    seconds: float


class BatchReceived(NamedTuple):
    """A batch came."""

    batch: Batch


class Gap(NamedTuple):
    """Batches of the stream were sent and did not come: those from `first` to `last`."""

    first: int
    last: int

    @property
    def batches(self) -> int:
        """How many they were, 1 to 2^32 - 1."""
        return (self.last - self.first) % 2**32 + 1


class Restarted(NamedTuple):
    """The stream's numbers began anew, so what was missed in between cannot be counted."""


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
    | Garbled
    | Silent
)
Event = SessionEvent | Disconnected

PublisherEvent = Admitted | Held | ServerError | Garbled | Silent | Disconnected
"""What reaches the `on_event` of a publisher."""
