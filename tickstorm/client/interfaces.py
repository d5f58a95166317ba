"""What the client asks of Twisted or asyncio: bytes, time, and futures through txaio."""

from collections.abc import Callable
from typing import Any, Protocol


class Futures(Protocol):
    """The part of txaio's API that is used: a future is a Deferred or an `asyncio.Future`."""

    def create_future(self) -> Any:
        """Return a future without a result."""

    def resolve(self, future: Any, result: object = None) -> None:
        """Give a future its result."""

    def reject(self, future: Any, error: Exception) -> None:
        """Let a future fail."""

    def is_called(self, future: Any) -> bool:
        """Whether a future has a result, an error, or was cancelled."""

    def add_callbacks(
        self,
        future: Any,
        callback: Callable[[Any], object] | None,
        errback: Callable[[Any], None] | None,
    ) -> object:
        """Call one of them with the result or the failure; a failure's `value` is the error."""

    def cancel(self, future: Any) -> None:
        """Give up what a future waits for."""


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> object:
        """Let it not come. Only before it came."""


class Link(Protocol):
    """An open connection, as the side that writes has it. After its end nothing has an effect."""

    def write(self, data: bytes) -> None:
        """Send."""

    def pause(self) -> None:
        """Read no more, so that the server's side fills up."""

    def resume(self) -> None:
        """Read again."""

    def close(self) -> None:
        """Send what is left, then end it."""

    def abort(self) -> None:
        """End it at once."""


class Receiver(Protocol):
    """Who hears of an open connection."""

    def connected(self, link: Link) -> None:
        """Take the link; once, before all else."""

    def received(self, data: bytes) -> None:
        """Take what arrived."""

    def lost(self, error: Exception) -> None:
        """Take note of the end; once."""


class Framework(Protocol):
    """Twisted or asyncio, and the server's address."""

    @property
    def futures(self) -> Futures:
        """The API object of txaio."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from any zero."""

    def wall_ns(self) -> int:
        """Return the nanoseconds since the Unix epoch."""

    def call_later(self, delay: float, call: Callable[[], object]) -> Timer:
        """Call after `delay` seconds."""

    def dial(self, receiver: Receiver) -> Any:
        """Begin to connect; the future fails if that fails, and may be cancelled."""
