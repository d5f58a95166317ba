"""How busy and how late a process of the load is, while it connects and in the measured time. Pure.

A process that gets no processor does not see when something arrives. So lateness is not counted
from when the kernel answered, but from the last moment at which nothing was waiting to be read.
"""

from collections.abc import Callable

from tickstorm.bench.jobs import Begin
from tickstorm.bench.latencies import add_latency
from tickstorm.bench.tally import Tally

PROMPT_NS = 4_000_000
"""An answer of the kernel that takes longer may have been there before it was seen."""


class Meter:
    """Counts the CPU time and the lag of a loop into a tally.

    Args:
        tally: takes them.
        cpu_ns: CPU time that the process has used, in nanoseconds.
        most: how many connections are read in a turn at most.
    """

    def __init__(self, tally: Tally, cpu_ns: Callable[[], int], most: int) -> None:
        self._tally = tally
        self._cpu_ns = cpu_ns
        self._most = most
        self._first: tuple[int, int] | None = None
        self._subscribed_ns = 0
        self._empty_ns = 0
        self._window: Begin | None = None
        self._began: tuple[int, int] | None = None
        self._ended = False

    def measure(self, window: Begin) -> None:
        """Count the lag in this time, and not before."""
        self._window = window

    def turned(self, asked_ns: int, woken_ns: int, now_ns: int, events: int) -> None:
        """Take a turn of the loop. Times are nanoseconds since the Unix epoch.

        Args:
            asked_ns: when the kernel was asked what there is to read.
            woken_ns: when its answer was seen.
            now_ns: when all of that was done.
            events: how many connections were read.
        """
        if self._first is None:
            self._first = (asked_ns, self._cpu_ns())
            self._empty_ns = asked_ns
        self._count_connecting(now_ns)
        self._count_measured(now_ns, events)
        if events < self._most:
            # What the answer did not name came after it; after the question, if that was long ago.
            self._empty_ns = woken_ns if woken_ns - asked_ns < PROMPT_NS else asked_ns

    def end(self, now_ns: int) -> None:
        """Take what there is as all."""
        if self._began is None or self._ended:
            return
        began_ns, cpu_ns = self._began
        self._tally.wall_ns = now_ns - began_ns
        self._tally.cpu_ns = self._cpu_ns() - cpu_ns
        self._ended = True

    def _count_connecting(self, now_ns: int) -> None:
        if self._first is None or self._tally.last_subscribed_ns == self._subscribed_ns:
            return
        self._subscribed_ns = self._tally.last_subscribed_ns
        began_ns, cpu_ns = self._first
        self._tally.connecting_wall_ns = now_ns - began_ns
        self._tally.connecting_cpu_ns = self._cpu_ns() - cpu_ns

    def _count_measured(self, now_ns: int, events: int) -> None:
        window = self._window
        if window is None or self._ended or now_ns < window.start_ns:
            return
        if self._began is None:
            self._began = (now_ns, self._cpu_ns())
            return
        if events:
            add_latency(self._tally.lags, (now_ns - self._empty_ns) // 1000, events)
        if now_ns >= window.end_ns:
            self.end(now_ns)
