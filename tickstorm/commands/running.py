"""A run of the reactor for one thing, and the exit code that this means."""

from __future__ import annotations

import signal
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


class Running(Protocol):
    """What is done while the reactor runs."""

    async def run(self) -> None:
        """Do it, to the end."""

    def stop(self) -> None:
        """Let `run` come to its end."""


class Run:
    """One run of the reactor, and the exit code that it comes to.

    An interrupt lets what runs come to its end; another one ends it at once.

    Args:
        reactor: to run.
        running: what it is run for.
    """

    def __init__(self, reactor: Any, running: Running) -> None:
        self._reactor = reactor
        self._running = running
        self._code: int | None = None
        self._failure: Failure | None = None
        self._done: Deferred[None] = Deferred()
        self._stopping = False

    def code(self) -> int:
        """Run to the end, and return 0 or the code of the signal that brought it.

        Raises:
            Exception: what ended it.
        """
        signal.signal(signal.SIGINT, self._interrupted)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        if self._failure is not None:
            self._failure.raiseException()
        return self._code or 0

    def _begin(self) -> None:
        Deferred.fromCoroutine(self._running.run()).addBoth(self._ended)

    def _ended(self, result: Failure | None) -> None:
        if self._done.called:  # nobody waits for it any more
            return
        self._failure = result
        self._done.callback(None)
        if not self._stopping:
            self._code = 0
            self._reactor.stop()

    def _interrupted(self, *_: object) -> None:
        if self._code is None:
            self._code = INTERRUPTED
            self._reactor.callFromThread(self._reactor.stop)
        else:
            self._reactor.callFromThread(self._wait_no_more)

    def _shut_down(self) -> Deferred[None]:
        self._stopping = True
        if self._code is None:
            self._code = TERMINATED
        self._running.stop()
        return self._done

    def _wait_no_more(self) -> None:
        if not self._done.called:
            self._done.callback(None)
