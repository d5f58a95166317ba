"""The processes of a load: started, told when to measure, and asked what they counted."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import TYPE_CHECKING

from tickstorm.bench.jobs import Begin, Job, Progress, Stop, together
from tickstorm.bench.load import run_job
from tickstorm.bench.tally import Tally

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

STOP_SECONDS = 10.0
"""How long a process may take to give what it has."""
LOOK_SECONDS = 0.2
"""How often what goes on is told."""


class Member:
    """One process of a crew, and what it has told so far.

    Attributes:
        tally: what it counted; None until it told that.
        gone: whether it will tell nothing more.
    """

    def __init__(self, process: SpawnProcess, control: Connection) -> None:
        self.process = process
        self.control = control
        self._told = Progress(0, 0, ready=False)
        self.tally: Tally | None = None
        self.gone = False

    @property
    def progress(self) -> Progress:
        """How far it is. Of one that is gone nothing is to be awaited."""
        return self._told._replace(ready=True, deserted=True) if self.gone else self._told

    def hear(self) -> None:
        """Take what it tells."""
        try:
            told = self.control.recv()
        except (EOFError, OSError):
            self.gone = True
            return
        if isinstance(told, Tally):
            self.tally = told
            self.gone = True
        elif isinstance(told, Progress):
            self._told = told

    def tell(self, order: Begin | Stop) -> None:
        """Give it an order, if there is still anybody."""
        try:
            if not self.gone:
                self.control.send(order)
        except OSError:
            self.gone = True


class Crew:
    """The processes of a load. As a context manager it leaves none of them behind.

    Args:
        jobs: one for each process.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._members: list[Member] = []

    def __enter__(self) -> Crew:
        context = multiprocessing.get_context("spawn")
        # What is ignored here is ignored there from the first instruction on.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for job in self._jobs:
                ours, theirs = context.Pipe()
                process = context.Process(target=run_job, args=(job, theirs), daemon=True)
                process.start()
                theirs.close()
                self._members.append(Member(process, ours))
        finally:
            signal.signal(signal.SIGINT, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for member in self._members:
            member.control.close()
        for member in self._members:
            member.process.join(STOP_SECONDS if error is None else 1.0)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()

    @property
    def progress(self) -> Progress:
        """How far they are, all together."""
        return together(member.progress for member in self._members)

    @property
    def gone(self) -> bool:
        """Whether none of them is left."""
        return all(member.gone for member in self._members)

    def await_ready(self, tell: Callable[[], None]) -> None:
        """Wait until all connections are there, or known not to come."""
        while not self.progress.ready:
            self._hear(LOOK_SECONDS)
            tell()

    def await_time(self, time_ns: int, tell: Callable[[], None]) -> None:
        """Wait until a time since the Unix epoch, or until none of them has a connection."""
        while not self.progress.deserted and (left := (time_ns - time.time_ns()) / 1e9) > 0:
            self._hear(min(left, LOOK_SECONDS))
            tell()

    def begin(self, window: Begin) -> None:
        """Tell them what time to measure."""
        for member in self._members:
            member.tell(window)

    def stop(self) -> None:
        """Tell them to end now."""
        for member in self._members:
            member.tell(Stop())

    def tallies(self) -> tuple[Tally | None, ...]:
        """Wait for what they counted; None of each that ended without telling."""
        until = time.monotonic() + STOP_SECONDS
        while not self.gone and (left := until - time.monotonic()) > 0:
            self._hear(left)
        return tuple(member.tally for member in self._members)

    def endings(self) -> tuple[str, ...]:
        """Say of each process without a tally how it ended."""
        return tuple(
            _ending(number, member)
            for number, member in enumerate(self._members, 1)
            if member.tally is None
        )

    def _hear(self, seconds: float) -> None:
        waiting = {member.control: member for member in self._members if not member.gone}
        if not waiting:
            time.sleep(seconds)
        for control in wait(list(waiting), seconds):
            assert isinstance(control, Connection)
            waiting[control].hear()


def _ending(number: int, member: Member) -> str:
    member.process.join(1.0)
    code = member.process.exitcode
    if code is None:
        how = f"gave no answer within {STOP_SECONDS:g} s"
    elif code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    return f"process {number} of the load {how}: what it saw is not counted"
