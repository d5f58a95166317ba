"""Which connections are not read for now: those that await an answer, or have asked for much.

Only those that pause are known here, so that it costs the others nothing.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_Answer = TypeVar("_Answer")


class Paused(Protocol):
    """What is asked of a connection that pauses."""

    @property
    def id(self) -> int:
        """What the log calls it."""

    @property
    def is_over(self) -> bool:
        """Whether the conversation has ended."""

    def pause_reading(self) -> None:
        """Read nothing for now."""

    def resume_reading(self) -> None:
        """Read on, and first what was read already and is held back."""

    def abort(self) -> None:
        """Close at once."""


class Pauses:
    """Has connections pause, each for any of two reasons, and read on when there is none left."""

    _log = Logger()

    def __init__(self) -> None:
        self._awaited: dict[Paused, Deferred[Any]] = {}
        self._held: set[Paused] = set()

    def __len__(self) -> int:
        return len(self._awaited.keys() | self._held)

    def __contains__(self, connection: Paused) -> bool:
        return connection in self._awaited or connection in self._held

    def wait(
        self,
        connection: Paused,
        answer: Deferred[_Answer],
        take: Callable[[_Answer], None],
        fail: Callable[[Failure], None],
    ) -> None:
        """Have a connection pause until its answer is there, and was taken.

        One that is there already is taken at once, and reading goes on as it was: who asks may be
        in the midst of it.

        Args:
            connection: who waits; it waits for nothing else.
            answer: what for.
            take: takes it.
            fail: takes what came instead, which is also that nobody waits any more.
        """
        self._awaited[connection] = answer
        answer.addCallbacks(take, fail)
        answer.addBoth(self._answered, connection)
        if connection in self._awaited:
            self._pause(connection)
            answer.addCallback(lambda _: self._read_on(connection))
        answer.addErrback(self._broke_down, connection)

    def hold(self, connection: Paused) -> None:
        """Have a connection pause until it is released."""
        self._held.add(connection)
        self._pause(connection)

    def release(self, connection: Paused) -> None:
        """Hold a connection no more; nothing happens to one that was not held."""
        if connection in self._held:
            self._held.remove(connection)
            self._read_on(connection)

    def forget(self, connection: Paused) -> None:
        """Let go of a connection that ends, and cancel what it waits for."""
        self._held.discard(connection)
        if connection in self._awaited:
            self._awaited[connection].cancel()

    def _answered(self, result: Any, connection: Paused) -> Any:
        del self._awaited[connection]
        return result

    def _pause(self, connection: Paused) -> None:
        if not connection.is_over:
            connection.pause_reading()

    def _read_on(self, connection: Paused) -> None:
        if connection.is_over or connection in self:
            return
        try:
            connection.resume_reading()
        except Exception:
            self._broke_down(Failure(), connection)

    def _broke_down(self, reason: Failure, connection: Paused) -> None:
        # As for an exception in dataReceived, of which Twisted does the same.
        self._log.failure("a connection broke down", reason, connection=connection.id)
        connection.abort()
