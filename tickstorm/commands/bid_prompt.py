"""Bids as they are typed on a terminal, below a line that says how the auction stands."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import IO

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from tickstorm.client.auction import Outcome, Result
from tickstorm.client.auction.amounts import read_amount
from tickstorm.commands.bid_asking import Asking
from tickstorm.commands.bid_board import BidBoard
from tickstorm.commands.bid_words import end_line, result_line
from tickstorm.commands.event_text import error_line
from tickstorm.commands.input_lines import Reader
from tickstorm.commands.line_editor import LineEditor
from tickstorm.commands.text import printable

REFRESH = 1.0
"""Seconds after which the time that is left is shown again."""
LEAST, LEAVE = "+", "q"
"""What is typed for the least that would lead, and to leave."""

_CLEAR = "\r\x1b[2K"
_MARK = " > "


class Screen:
    """One line of a terminal that is written over, and lines that scroll away above it.

    Args:
        output: the terminal.
        columns: how wide it is now.
    """

    def __init__(self, output: IO[str], columns: Callable[[], int]) -> None:
        self._output = output
        self._columns = columns

    def room(self, typed: str) -> int:
        """Return how many characters there are for what is shown beside what is typed."""
        return max(self._columns() - len(_MARK) - len(typed) - 1, 0)

    def show(self, status: str, typed: str) -> None:
        """Write the line over."""
        self._write(f"{_CLEAR}{status}{_MARK}{typed}")

    def say(self, line: str) -> None:
        """Write a line that stays; the other is gone until it is shown again."""
        self._write(f"{_CLEAR}{line}\n")

    def clear(self) -> None:
        """Leave nothing of the line."""
        self._write(_CLEAR)

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


class BidPrompt:
    """Bids what is typed, until it is left or the auction has ended.

    Args:
        asking: bids.
        board: knows the auction.
        screen: shows it.
        scheduler: has the time.
        wall_ms: milliseconds since 1970.
        read: makes the reader of keys, given what gets them and what gets an error.
    """

    code = 0

    def __init__(
        self,
        asking: Asking,
        board: BidBoard,
        screen: Screen,
        *,
        scheduler: IReactorTime,
        wall_ms: Callable[[], int],
        read: Callable[[Callable[[bytes], None], Callable[[OSError], None]], Reader],
    ) -> None:
        self._asking = asking
        self._board = board
        self._screen = screen
        self._scheduler = scheduler
        self._wall_ms = wall_ms
        self._reader = read(self._typed, self._unreadable)
        self._editor = LineEditor()
        self._ended: Deferred[None] = Deferred()

    async def run(self) -> None:
        """Bid to the end; the answers to what is under way then are waited for some seconds.

        Raises:
            Exception: what will not go away, such as a wrong password.
        """
        refreshing = LoopingCall(self.refresh)
        refreshing.clock = self._scheduler
        refreshing.start(REFRESH).addErrback(self._end)
        Deferred.fromCoroutine(self._follow()).addBoth(self._end)
        self._reader.resume()
        try:
            await self._ended
        finally:
            self._reader.stop()
            if refreshing.running:
                refreshing.stop()
            await self._asking.bidder.close()
            self._screen.clear()

    def stop(self) -> None:
        """End it as if it was left."""
        self._end(None)

    def refresh(self) -> None:
        """Show how the auction stands now."""
        if not self._ended.called:
            typed = self._editor.text
            self._screen.show(self._board.line(self._wall_ms(), self._screen.room(typed)), typed)

    # What is heard.

    async def _follow(self) -> None:
        async for leader in self._asking.bidder.watch(self._asking.auction_id):
            self._board.lead(leader)
            self.refresh()
            if leader.outcome is not None:
                self._say(end_line(leader, self._asking.user_id))

    def _answered(self, result: Result) -> None:
        self._board.answered(result)
        if result.outcome is not Outcome.CLOSED:  # of which the watch says more
            self._say(result_line(result))
        self.refresh()

    def _failed(self, failure: Failure) -> None:
        self._say(error_line(failure.value) if isinstance(failure.value, Exception) else "")
        self.refresh()

    def _say(self, line: str) -> None:
        self._screen.say(line)

    # What is typed.

    def _typed(self, data: bytes) -> None:
        for line in self._editor.take(data):
            self._obey(line.strip())
        if not data or self._editor.ended:
            self._end(None)
        if not self._ended.called:
            self.refresh()
            self._reader.resume()

    def _unreadable(self, error: OSError) -> None:
        self._end(Failure(error))

    def _obey(self, line: str) -> None:
        if not line or self._ended.called:
            return
        if line == LEAVE:
            self._end(None)
        elif line == LEAST:
            self._bid(self._board.least)
        else:
            self._bid_text(line)

    def _bid_text(self, line: str) -> None:
        try:
            amount = read_amount(line)
        except ValueError:
            self._say(f"{printable(line)}: type an amount such as 12.50, {LEAST} or {LEAVE}")
        else:
            self._bid(amount)

    def _bid(self, amount: Decimal) -> None:
        self._say(f"bid {amount}")
        self._asking.bid(amount).addCallbacks(self._answered, self._failed)

    def _end(self, result: Failure | None) -> None:
        """Take the reason; the first one stands."""
        if not self._ended.called:
            self._ended.callback(result)  # a Failure makes it fail


@contextmanager
def keys_at_once(descriptor: int) -> Iterator[None]:
    """Have a terminal give each key at once and show none, until the end of the block."""
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def terminal_columns(descriptor: int) -> int:
    """Return how wide a terminal is; 80 if it does not say."""
    try:
        return os.get_terminal_size(descriptor).columns or 80
    except OSError:
        return 80
