"""One pass over a recording: which of its ticks are due when. Pure."""

from collections.abc import Generator
from math import inf

from tickstorm.errors import SourceError
from tickstorm.ticks import Tick


class Playback:
    """Gives the ticks of a recording at their distance in time from the first.

    It holds one tick; what comes behind it is read when that one is taken.

    Args:
        ticks: the recording, its times never going back.
        speed: recorded seconds in a second; infinity makes everything due at once.
        began: when the first tick is due, in seconds of any monotonic clock.
    """

    def __init__(self, ticks: Generator[Tick], speed: float, began: float) -> None:
        self._ticks = ticks
        self._speed = speed
        self._began = began
        self.error: SourceError | None = None
        """Why the recording could not be read to its end."""
        self._next = self._read()
        self._first_ns = 0 if self._next is None else self._next.timestamp_ns

    @property
    def due_at(self) -> float:
        """When the next tick is due, on the clock that `began` comes from; infinity at the end."""
        if self._next is None:
            return inf
        return self._began + (self._next.timestamp_ns - self._first_ns) / 1e9 / self._speed

    def take(self, now: float, most: int) -> list[Tick]:
        """Return the ticks that are due, in order and at most so many; the others stay due."""
        taken: list[Tick] = []
        while self._next is not None and len(taken) < most and self.due_at <= now:
            taken.append(self._next)
            self._next = self._read()
        return taken

    def close(self) -> None:
        """Let go of the recording before its end."""
        self._ticks.close()
        self._next = None

    def _read(self) -> Tick | None:
        try:
            return next(self._ticks, None)
        except SourceError as error:
            self.error = error
            return None
