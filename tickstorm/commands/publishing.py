"""What is read is published, until there is no more or something is wrong with it.

What comes while requests are under way is collected by whoever holds it - the file, the pipe - and
not here. What was published at any time is the beginning of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from tickstorm.client import Publisher, Totals
from tickstorm.client.publication import Published, tick_index
from tickstorm.commands.text import printable
from tickstorm.commands.tick_input import Row, TickInput
from tickstorm.errors import ProtocolError, PublicationFailed, SourceError, TickstormError
from tickstorm.ticks import MAX_TICKS_PER_BATCH

MAX_CALLS = 8
"""Calls to the publisher that are under way at a time, each of up to MAX_TICKS_PER_BATCH."""


class Reader(Protocol):
    """Reads the input, a piece for each `resume`."""

    def resume(self) -> None:
        """Read once more."""

    def stop(self) -> None:
        """Read no more."""


class NotPublished(TickstormError):
    """What was wrong; the message says where."""


class Publishing:
    """Feeds a publisher from an input.

    Args:
        publisher: takes the ticks.
        source: makes them of what is read.
        name: of the input, for errors.
        read: makes the reader, given what gets each piece and what gets its error.
        confirmed: called with how many bytes were read and what is published, when either changes.
        waiting: called by a `stop` that waits for answers.
    """

    def __init__(
        self,
        publisher: Publisher,
        source: TickInput,
        name: str,
        *,
        read: Callable[[Callable[[bytes], None], Callable[[OSError], None]], Reader],
        confirmed: Callable[[int, Totals], object],
        waiting: Callable[[], object],
    ) -> None:
        self._publisher = publisher
        self._source = source
        self._name = name
        self._reader = read(self._take, self._unreadable)
        self._confirmed = confirmed
        self._waiting = waiting
        self._bytes = 0
        self._answered_ticks = 0  # of calls that were carried out
        self._rows: Iterator[Row] | None = None
        self._calls: list[Deferred[Published]] = []
        self._complete = False
        self._wrong: Exception | None = None
        self._ended: Deferred[None] = Deferred()

    @property
    def totals(self) -> Totals:
        """What is published."""
        return self._publisher.totals

    async def run(self) -> None:
        """Publish all there is to come.

        Raises:
            NotPublished: a line was wrong, or the server refused it.
            Exception: what else keeps it from publishing.
        """
        self._reader.resume()
        try:
            await self._ended
        finally:
            self._reader.stop()
            await self._publisher.close()
            self._confirmed(self._bytes, self.totals)

    def stop(self) -> None:
        """Read no more, and wait for the answers to what is under way."""
        if self._calls:
            self._waiting()
        self._end(None)

    def _take(self, data: bytes) -> None:
        self._bytes += len(data)
        self._complete = not data
        self._rows = self._source.rows(data) if data else self._source.last_rows()
        self._go_on()

    def _unreadable(self, error: OSError) -> None:
        self._wrong = SourceError(f"{self._name}: {error.strerror or error}")
        self._go_on()

    def _go_on(self) -> None:
        while self._rows is not None and len(self._calls) < MAX_CALLS:
            rows = self._next_rows(self._rows)
            if rows and not self._ended.called:
                self._publish(rows)
        if self._calls or self._rows is not None or self._ended.called:
            return
        if self._wrong is not None or self._complete:
            self._end(None if self._wrong is None else Failure(self._wrong))

    def _next_rows(self, rows: Iterator[Row]) -> list[Row]:
        taken: list[Row] = []
        try:
            taken.extend(islice(rows, MAX_TICKS_PER_BATCH))
        except SourceError as error:
            self._wrong = error
        if len(taken) < MAX_TICKS_PER_BATCH:
            self._rows = None
            if self._wrong is None and not self._complete:
                self._reader.resume()
        return taken

    def _publish(self, rows: list[Row]) -> None:
        call = Deferred.fromCoroutine(self._publisher.publish([row.tick for row in rows]))
        self._calls.append(call)
        call.addBoth(self._answered, call, rows)

    def _answered(
        self, result: Published | Failure, call: Deferred[Published], rows: list[Row]
    ) -> None:
        self._calls.remove(call)
        if isinstance(result, Failure) and result.check(CancelledError):
            return  # by what made it end
        self._confirmed(self._bytes, self.totals)
        if isinstance(result, Published):
            self._answered_ticks += result.ticks
        elif not self._ended.called:
            self._failed(result, rows)
        self._go_on()

    def _failed(self, failure: Failure, rows: list[Row]) -> None:
        reason = getattr(failure.value, "__cause__", None)
        if not isinstance(reason, ProtocolError):
            self._end(failure)
            return
        index = tick_index(reason)
        if index is None or isinstance(reason, PublicationFailed):
            self._end(Failure(_not_published(reason)))
            return
        _, _, why = reason.message.partition(": ")
        where = f"{self._name}, line {rows[index].line}"
        self._wrong = NotPublished(f"{where}: {reason.code.name}: {printable(why)}")
        self._give_up_behind(rows[:index])

    def _give_up_behind(self, rows: list[Row]) -> None:
        """Publish nothing more but what is still missing of these rows, of a call that failed.

        Nothing that was sent behind them was carried out, as the server keeps the order.
        """
        self._read_no_more()
        self._cancel_calls()
        missing = rows[self.totals.ticks - self._answered_ticks :]
        self._answered_ticks = self.totals.ticks
        if missing:
            self._publish(missing)

    def _end(self, result: Failure | None) -> None:
        """Take the reason; the first one stands, and what is not sent yet is not sent."""
        if self._ended.called:
            return
        self._ended.callback(result)  # a Failure makes it fail
        self._read_no_more()
        if result is not None:
            self._cancel_calls()

    def _read_no_more(self) -> None:
        self._reader.stop()
        self._rows = None

    def _cancel_calls(self) -> None:
        for call in tuple(self._calls):
            call.cancel()


def _not_published(reason: ProtocolError) -> NotPublished:
    unknown = isinstance(reason, PublicationFailed)
    doubt = ", so more may be published than is confirmed" if unknown else ""
    return NotPublished(f"{reason.code.name}: {printable(reason.message)}{doubt}")
