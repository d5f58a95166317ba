"""The hiring: has a worker in every place, and another when that is gone, by way of a nursery.

What cannot be had now is tried again, after ever longer, and everything that is lost is told once,
with its reason. A worker that was told to end and has is no loss. Each process is closed here, as
soon as it is gone or ended.
"""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel

from tickstorm.clock import Clock
from tickstorm.workers.handover import pair
from tickstorm.workers.link_end import LinkEnd, Once
from tickstorm.workers.nursery_process import Begun, Heard, NurseryProcess
from tickstorm.workers.place import Place
from tickstorm.workers.spec import Ended, Unborn, WorkerSpec
from tickstorm.workers.worker_process import WorkerProcess

FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
"""Seconds before what is gone is replaced: twice as many each time, unless it lived LONGEST_WAIT.

As long, FIRST_WAIT, is waited for the news of how a worker ended; after it, it is ended.
"""


def next_wait(wait: float, lived: float = 0.0) -> float:
    """Return how many seconds to wait, after so many the time before and a life of `lived`."""
    if lived > LONGEST_WAIT:
        return FIRST_WAIT
    return min(max(FIRST_WAIT, 2 * wait), LONGEST_WAIT)


class _Loss:
    """A worker that is gone, as long as it is not known how."""

    def __init__(self, place: Place, lived: float, reason: str, waiting: IDelayedCall) -> None:
        self.number = place.number
        self.process = place.process
        self.lived = lived
        self.drained = place.drained
        self.reason = reason
        self.waiting = waiting

    @property
    def pid(self) -> int:
        """Its process's id; 0 until that is known."""
        return self.process.pid if self.process is not None else 0


class Hiring:
    """Fills the places of a pool.

    Args:
        places: the places.
        link: makes this end of the link to a place's next worker.
        spec: says what that worker is told.
        changed: called after a place was found not to be filled within moments.
        clock: the times.
        reactor: has the links, and runs the nursery.
        make_nursery: starts what forks the workers, and is given what `NurseryProcess` is.
    """

    _log = Logger()

    def __init__(
        self,
        places: Sequence[Place],
        link: Callable[[Place], LinkEnd],
        spec: Callable[[Place], WorkerSpec],
        changed: Callable[[], object],
        *,
        clock: Clock,
        reactor: Any,
        make_nursery: Callable[..., NurseryProcess],
    ) -> None:
        self._places = places
        self._link = link
        self._spec = spec
        self._changed = changed
        self._clock = clock
        self._reactor = reactor
        self._make_nursery = make_nursery
        self._nursery: NurseryProcess | None = None
        self._nursery_wait = 0.0
        self._opened_at = 0.0
        self._running = False
        self._timers: dict[int, IDelayedCall] = {}
        """What is due, by the number of its place; 0 is the nursery's."""
        self._losses: dict[int, _Loss] = {}
        self._killed: set[int] = set()

    def start(self) -> None:
        """Fill every place from now on."""
        self._running = True
        self._open_nursery()

    def stop(self) -> None:
        """Fill none any more; whoever ends from now on was to end."""
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for number in list(self._losses):
            self._unexplained(number)

    def close(self) -> None:
        """Let the nursery go: no worker is left."""
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def lost(self, place: Place, reason: str) -> None:
        """Replace a worker whose link is lost; its place still says who it was."""
        if not self._running:
            if place.fault:
                self.end(place.process)
            _close(place.process)
            return
        if place.number in self._losses:  # nobody has said how the one before it ended
            self._unexplained(place.number)
        lived = self._clock.monotonic() - place.born_at
        place.wait = next_wait(0.0 if place.drained else place.wait, lived)
        place.restarts += not place.drained
        waiting = self._clock.scheduler.callLater(FIRST_WAIT, self._unexplained, place.number)
        self._losses[place.number] = _Loss(place, lived, place.fault or reason, waiting)
        if place.exit is not None:
            self._explained(place.number, _how(place.exit))
        elif place.fault:
            self._unexplained(place.number)
        self._later(place.number, place.wait, partial(self._hire, place))

    def end(self, process: WorkerProcess | None) -> None:
        """End a worker's process at once, if it is known."""
        if process is None:
            return
        try:
            process.end()
        except OSError:
            self._log.warn("process {pid} could not be ended", pid=process.pid)
        else:
            self._killed.add(process.pid)

    def _dismiss(self, process: WorkerProcess | None) -> None:
        self.end(process)
        _close(process)

    # The nursery.

    def _open_nursery(self) -> None:
        self._opened_at = self._clock.monotonic()
        self._killed.clear()
        try:
            self._nursery = self._make_nursery(self._reactor, self._hear, self._nursery_lost)
        except OSError as error:
            self._log.error("no nursery of workers can be started: {reason}", reason=error)
            self._open_nursery_later()
            return
        for place in self._places:
            self._hire(place)

    def _open_nursery_later(self) -> None:
        lived = self._clock.monotonic() - self._opened_at
        self._nursery_wait = next_wait(self._nursery_wait, lived)
        self._later(0, self._nursery_wait, self._open_nursery)

    def _nursery_lost(self) -> None:
        self._nursery = None
        if self._running:
            self._log.error("the nursery of the workers is gone: starting another")
            self._open_nursery_later()

    def _hear(self, news: Heard) -> None:
        match news:
            case Begun(number, process):
                self._killed.discard(process.pid)  # ids come again
                self._take_begun(number, process)
            case Unborn(number, reason):
                self._take_unborn(self._places[number - 1], f"it could not begin: {reason}")
            case Ended(pid, status):
                self._take_ended(pid, status)

    def _take_begun(self, number: int, process: WorkerProcess) -> None:
        of = self._losses.get(number, self._places[number - 1])
        if isinstance(of, Place) and of.link is None:
            self._dismiss(process)
            return
        # Of two, the second one was asked for when the first was lost already.
        self._dismiss(of.process)
        of.process = process

    def _take_unborn(self, place: Place, reason: str) -> None:
        if place.number in self._losses:
            self._explained(place.number, reason)
        else:
            place.fault = reason

    def _take_ended(self, pid: int, status: int) -> None:
        loss = next((loss for loss in self._losses.values() if loss.pid == pid), None)
        place = next((place for place in self._places if place.pid == pid), None)
        if loss is not None:
            self._explained(loss.number, _how(status))
        elif pid in self._killed:
            self._killed.discard(pid)
        elif place is not None and place.link is not None:
            place.exit = status
        elif status:
            self._log.error("process {pid} of a worker ended with {status}", pid=pid, status=status)

    # Workers.

    def _hire(self, place: Place) -> None:
        if self._nursery is None or not self._running or place.link is not None:
            return
        try:
            self._ask(self._nursery, place)
        except OSError as error:
            self._log.error(
                "worker {worker} cannot be had now: {reason}", worker=place.number, reason=error
            )
            place.wait = next_wait(place.wait)
            self._later(place.number, place.wait, partial(self._hire, place))
            self._changed()

    def _ask(self, nursery: NurseryProcess, place: Place) -> None:
        link = self._link(place)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            connections, their_connections = pair()
            with their_connections:
                try:
                    nursery.request(self._spec(place), theirs, their_connections)
                    ours.setblocking(False)
                    self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Once(link))
                except BaseException:
                    connections.close()
                    raise
        place.fill(link, connections, self._clock.monotonic())

    def _later(self, number: int, seconds: float, call: Callable[[], object]) -> None:
        if number in self._timers:
            self._timers.pop(number).cancel()
        if self._running:
            self._timers[number] = self._clock.scheduler.callLater(seconds, self._due, number, call)

    def _due(self, number: int, call: Callable[[], object]) -> None:
        del self._timers[number]
        call()

    # Losses.

    def _unexplained(self, number: int) -> None:
        loss = self._losses[number]
        self.end(loss.process)
        self._explained(number, loss.reason)

    def _explained(self, number: int, reason: str) -> None:
        loss = self._losses.pop(number)
        _close(loss.process)
        if loss.waiting.active():
            loss.waiting.cancel()
        self._log.emit(
            LogLevel.info if loss.drained else LogLevel.error,
            "worker {worker}, process {pid}, is gone after {lived:.1f} s: {reason}",
            worker=number,
            pid=loss.pid,
            lived=loss.lived,
            reason="it was told to end" if loss.drained else reason,
        )


def _close(process: WorkerProcess | None) -> None:
    if process is not None:
        process.close()


def _how(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit code {status}"
