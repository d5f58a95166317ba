"""The batches between a connection and the one who consumes them: bounded, in order, awaitable."""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from tickstorm.client.interfaces import Futures

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A queue of batches, with what belongs to each, that has one consumer.

    Args:
        futures: what the consumer waits on.
        max_batches: full with this many, at least 1. The bound is kept by who puts.
        on_room: called when a queue that was full is down to half.
    """

    def __init__(self, futures: Futures, max_batches: int, on_room: Callable[[], None]) -> None:
        self._futures = futures
        self._max_batches = max_batches
        self._on_room = on_room
        self._batches: deque[Item] = deque()
        self._waiter: Any = None
        self._clears = 0
        self._end: Exception | None = None
        self._traceback: TracebackType | None = None

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def full(self) -> bool:
        """Whether nothing should be put."""
        return len(self._batches) >= self._max_batches

    @property
    def ending(self) -> Exception | None:
        """What `take` raises once the queue is empty; None as long as there is no end.

        It comes with the traceback that it was given with: each raise would make that longer.
        """
        return None if self._end is None else self._end.with_traceback(self._traceback)

    def put(self, batch: Item) -> None:
        """Add a batch."""
        self._batches.append(batch)
        self._wake()

    def end(self, error: Exception) -> None:
        """Let `take` raise this once the queue is empty. The first end stands."""
        if self._end is None:
            self._end, self._traceback = error, error.__traceback__
            self._wake()

    def clear(self) -> None:
        """Drop what is queued, and what is just being taken."""
        self._batches.clear()
        self._clears += 1

    async def take(self) -> Item:
        """Return the oldest batch, as soon as there is one.

        Raises:
            RuntimeError: somebody else is waiting already.
            Exception: the end that was given, once the queue is empty; each time again.
        """
        while True:
            await self._wait_for_one()
            clears, batch = self._clears, self._batches.popleft()
            if len(self._batches) == self._max_batches // 2:
                self._on_room()
            if self._clears == clears:
                return batch

    async def _wait_for_one(self) -> None:
        while not self._batches:
            ending = self.ending
            if ending is not None:
                raise ending
            await self._wait()

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("one consumer at a time: another is waiting for a batch")
        self._waiter = waiter = self._futures.create_future()
        try:
            await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def _wake(self) -> None:
        # The future only says that there is something: a consumer that is cancelled between its
        # result and its turn leaves the batch in the queue.
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not self._futures.is_called(waiter):
            self._futures.resolve(waiter)
