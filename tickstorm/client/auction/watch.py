"""Who leads an auction, as an asynchronous iterator: only ever the newest."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from tickstorm.client.auction.results import Leader
from tickstorm.client.inbox import Inbox
from tickstorm.client.interfaces import Futures


class Watch:
    """Gives who leads an auction, from the one who does now on.

    Who does not take them one by one gets the newest; so it is after a lost connection. The last
    one says how the auction has ended, in its `outcome`, and then the iteration ends. It ends
    without that if this or the bidder is closed, and raises the error if the auction cannot be
    watched, or the bidder has ended with one.

    Args:
        futures: what the consumer waits on.
        auction_id: of the auction.
        forget: called when it is closed.
    """

    def __init__(
        self, futures: Futures, auction_id: int, forget: Callable[["Watch"], object]
    ) -> None:
        self.auction_id = auction_id
        self._forget = forget
        self._inbox: Inbox[Leader] = Inbox(futures, 1, lambda: None)
        self._newest: Leader | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Leader:
        return await self._inbox.take()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration; who leads is not told any more."""
        self._inbox.clear()
        self._inbox.end(StopAsyncIteration())
        self._forget(self)

    # What the bidder calls.

    def take(self, leader: Leader) -> None:
        """Have this be the next that is given, unless it is what was given last."""
        if leader == self._newest:
            return
        self._newest = leader
        self._inbox.clear()
        self._inbox.put(leader)

    def end(self, error: Exception | None = None) -> None:
        """End the iteration behind what is not taken yet, with the error if there is one."""
        self._inbox.end(StopAsyncIteration() if error is None else error)
