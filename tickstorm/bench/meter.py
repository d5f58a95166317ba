"""How busy a process of the load is in the time that it measures."""

from collections.abc import Callable

from tickstorm.bench.jobs import Begin
from tickstorm.bench.latencies import add_latency
from tickstorm.bench.tally import Tally


class Meter:
    """Counts the CPU time and the lag of a loop into a tally.

    Args:
        tally: takes them.
        cpu_ns: CPU time that the process has used, in nanoseconds.
    """

    def __init__(self, tally: Tally, cpu_ns: Callable[[], int]) -> None:
        self._tally = tally
        self._cpu_ns = cpu_ns
        self._window: Begin | None = None
        self._began: tuple[int, int] | None = None
        self._ended = False

    def measure(self, window: Begin) -> None:
        """Count in this time, and not before."""
        self._window = window

    def turned(self, woken_ns: int, now_ns: int, events: int) -> None:
        """Take a turn of the loop.

        Args:
            woken_ns: when the kernel said what there is to read, since the Unix epoch.
            now_ns: when all of that was done.
            events: how many connections were read.
        """
        window = self._window
        if window is None or self._ended or now_ns < window.start_ns:
            return
        if self._began is None:
            self._began = (now_ns, self._cpu_ns())
            return
        if events:
            add_latency(self._tally.lags, (now_ns - woken_ns) // 1000, events)
        if now_ns >= window.end_ns:
            self.end(now_ns)

    def end(self, now_ns: int) -> None:
        """Take what there is as all."""
        if self._began is None or self._ended:
            return
        began_ns, cpu_ns = self._began
        self._tally.wall_ns = now_ns - began_ns
        self._tally.cpu_ns = self._cpu_ns() - cpu_ns
        self._ended = True
