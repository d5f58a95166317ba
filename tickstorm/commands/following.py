"""A subscription followed until something ends it, and the exit code that this means."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

import click
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from tickstorm.client import Event, Subscribed, twisted_client
from tickstorm.commands.event_text import error_line
from tickstorm.commands.running import Run
from tickstorm.errors import TickstormError

if TYPE_CHECKING:
    from tickstorm.client import Batch
    from tickstorm.client.client import Client
    from tickstorm.commands.stream_options import Target


class Sink(Protocol):
    """Where a subscription goes. What a method raises ends it."""

    refresh_interval: float
    """Seconds between two calls of `refresh`."""

    def event(self, event: Event) -> None:
        """Take what happened beside the batches."""

    def batch(self, batch: Batch) -> bool:
        """Take a batch, and return whether another is wanted."""

    def refresh(self) -> None:
        """Do what is to be done now and then."""

    def close(self) -> None:
        """Write what is left. The last call, whatever ended it."""


class NeverSubscribed(TickstormError):
    """The time was over before the server had let this side in."""


class Following:
    """Feeds a sink until it wants no more, its time is over, or an error will not go away.

    Args:
        scheduler: has the time.
        open_client: makes the client, given what hears its events.
        sink: gets everything.
        seconds: how long at most; None for no end.
    """

    def __init__(
        self,
        scheduler: IReactorTime,
        open_client: Callable[[Callable[[Event], None]], Client],
        sink: Sink,
        seconds: float | None,
    ) -> None:
        self._scheduler = scheduler
        self._client = open_client(self._heard)
        self._sink = sink
        self._seconds = seconds
        self._subscribed = False
        self._ended: Deferred[None] = Deferred()

    async def run(self) -> None:
        """Follow to the end.

        Raises:
            NeverSubscribed: the time was over too early.
            Exception: what will not go away, or what the sink raised.
        """
        refreshing = LoopingCall(self._sink.refresh)
        refreshing.clock = self._scheduler
        refreshing.start(self._sink.refresh_interval, now=False).addErrback(self._end)
        over = None
        if self._seconds is not None:
            over = self._scheduler.callLater(self._seconds, self._time_over)
        Deferred.fromCoroutine(self._consume()).addBoth(self._end)
        try:
            await self._ended
        finally:
            if refreshing.running:
                refreshing.stop()
            if over is not None and over.active():
                over.cancel()
            await self._client.close()

    def stop(self) -> None:
        """End it as if all had come that was wanted."""
        self._end(None)

    def _heard(self, event: Event) -> None:
        self._subscribed = self._subscribed or isinstance(event, Subscribed)
        self._sink.event(event)

    async def _consume(self) -> None:
        async for batch in self._client:
            if not self._sink.batch(batch):
                return

    def _time_over(self) -> None:
        early = NeverSubscribed(f"no subscription within {self._seconds:g} s")
        self._end(None if self._subscribed else Failure(early))

    def _end(self, result: Failure | None) -> None:
        """Take the reason; the first one stands."""
        if not self._ended.called:
            self._ended.callback(result)  # a Failure makes it fail


def follow(
    target: Target,
    sink: Sink,
    *,
    name: str,
    seconds: float | None = None,
    snapshot: bool = False,
) -> int:
    """Run the reactor until the end, and return the exit code.

    0 after all that was asked for, and when nobody reads the output any more; 1 after an error,
    which is one line on stderr; 130 and 143 after an interrupt and a request to terminate.

    Args:
        target: what to subscribe to.
        sink: gets everything.
        name: of the command, for the server's log.
        seconds: how long at most; None for no end.
        snapshot: whether to get the last value of each symbol first.
    """
    from twisted.internet import reactor

    def open_client(on_event: Callable[[Event], None]) -> Client:
        return twisted_client(
            reactor,
            target.address,
            username=target.username,
            password=target.password,
            mode=target.mode,
            symbols=target.symbols,
            interval=target.interval,
            snapshot=snapshot,
            overload=target.overload,
            start_time_ms=target.start_time_ms,
            client_id=f"tickstorm-{name}",
            on_event=on_event,
        )

    def run() -> int:
        following = Following(cast(IReactorTime, reactor), open_client, sink, seconds)
        return Run(reactor, following).code()

    return _judged(sink, run)


def _judged(sink: Sink, run: Callable[[], int]) -> int:
    try:
        try:
            return run()
        finally:
            sink.close()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        return 0
    except (TickstormError, OSError) as error:
        click.echo(f"tickstorm: {error_line(error)}", err=True)
        return 1
