"""One bid after the other for one user in one auction, and what to say of each."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from tickstorm.auction.rule import Outcome
from tickstorm.client.auction import Bidder, Leader, Result, Watch
from tickstorm.client.auction.amounts import read_amount
from tickstorm.commands.bid_words import NOT_DECIDED, end_line, result_code, result_line
from tickstorm.commands.input_lines import InputLines
from tickstorm.commands.text import printable
from tickstorm.errors import BidderClosed, SourceError, TickstormError

DOUBT = 0.5
"""Seconds behind the timeout after which nobody asks any more for a bid that may count."""
END_TIMEOUT = 5.0
"""Seconds for the server to say how a closed auction has ended."""


class Told(NamedTuple):
    """What became of a bid, in a line, and as an exit code."""

    line: str
    code: int


class Asking:
    """Bids for one user in one auction.

    Args:
        bidder: takes the bids.
        scheduler: has the time.
        auction_id: of the auction.
        user_id: for whom.
        timeout: seconds for which a bid is tried.
    """

    def __init__(
        self,
        bidder: Bidder,
        scheduler: IReactorTime,
        auction_id: int,
        user_id: int,
        timeout: float,
    ) -> None:
        self.bidder = bidder
        self.auction_id = auction_id
        self.user_id = user_id
        self._scheduler = scheduler
        self._timeout = timeout

    def bid(self, amount: Decimal, bid_id: int = 0) -> Deferred[Result]:
        """Bid, and return what became of it; as long as it may count it is asked for."""
        return Deferred.fromCoroutine(
            self.bidder.bid(
                self.auction_id, self.user_id, amount, retry_for=self._timeout, bid_id=bid_id
            )
        )

    async def tell(self, amount: Decimal, bid_id: int = 0) -> Told:
        """Bid, and return what to say of it, some seconds behind the timeout at the latest.

        If it may count by then, the bidder is closed.

        Raises:
            Exception: as `Bidder.bid`, but for BidderClosed.
        """
        late = self._scheduler.callLater(self._timeout + DOUBT, self.bidder.close)
        try:
            result = await self.bid(amount, bid_id)
        except BidderClosed as error:
            return Told(str(error), NOT_DECIDED)
        finally:
            if late.active():
                late.cancel()
        return Told(await self._line(result), result_code(result))

    async def _line(self, result: Result) -> str:
        leader = await self._end() if result.outcome is Outcome.CLOSED else None
        return result_line(result) if leader is None else end_line(leader, self.user_id)

    async def _end(self) -> Leader | None:
        """Return how the auction has ended; None if that is not told in time, or at all."""
        try:
            watch = self.bidder.watch(self.auction_id)
        except BidderClosed:
            return None
        over = self._scheduler.callLater(END_TIMEOUT, watch.close)
        try:
            return await _last(watch)
        finally:
            if over.active():
                over.cancel()
            watch.close()


async def _last(watch: Watch) -> Leader | None:
    try:
        async for leader in watch:
            if leader.outcome is not None:
                return leader
    except TickstormError:
        pass  # it is known that it has ended, and no more
    return None


class OneBid:
    """Bids once.

    Args:
        asking: bids.
        amount: how much.
        bid_id: of a bid that is asked for again; 0 for a new one.
        say: takes the line.

    Attributes:
        code: the exit code, once it has run.
    """

    def __init__(
        self, asking: Asking, amount: Decimal, bid_id: int, say: Callable[[str], object]
    ) -> None:
        self._asking = asking
        self._amount = amount
        self._bid_id = bid_id
        self._say = say
        self.code = NOT_DECIDED

    async def run(self) -> None:
        """Bid, and say what became of it.

        Raises:
            Exception: as `Asking.tell`.
        """
        try:
            told = await self._asking.tell(self._amount, self._bid_id)
            self.code = told.code
            self._say(told.line)
        finally:
            await self._asking.bidder.close()

    def stop(self) -> None:
        """Wait some seconds more for the answer if it may count, and not at all if it does not."""
        self._asking.bidder.close()


class BidLines:
    """Bids what stands in the lines of an input, each when the one before it is decided.

    Args:
        asking: bids.
        lines: gives the lines; an empty one is passed over.
        say: takes a line for each bid.

    Attributes:
        code: that of the last bid, once it has run.
    """

    def __init__(self, asking: Asking, lines: InputLines, say: Callable[[str], object]) -> None:
        self._asking = asking
        self._lines = lines
        self._say = say
        self.code = NOT_DECIDED

    async def run(self) -> None:
        """Bid until the input is at its end, or a bid is not decided in time.

        Raises:
            SourceError: a line is no amount; nothing behind it is bid.
            Exception: as `Asking.tell`.
        """
        try:
            await self._bid_all()
        finally:
            self._lines.stop()
            await self._asking.bidder.close()

    def stop(self) -> None:
        """Read no more, and wait as `OneBid.stop` does."""
        self._lines.stop()
        self._asking.bidder.close()

    async def _bid_all(self) -> None:
        number = 0
        while (line := await self._lines.next()) is not None:
            number += 1
            if not line:
                continue
            told = await self._asking.tell(_amount(line, number))
            self.code = told.code
            self._say(told.line)
            if told.code == NOT_DECIDED:
                return


def _amount(line: str, number: int) -> Decimal:
    try:
        return read_amount(line)
    except ValueError as error:
        raise SourceError(f"standard input, line {number}: {printable(str(error))}") from None
