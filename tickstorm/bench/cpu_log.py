"""CPU time of several processes that come and go while it is looked at. Pure.

A process that ends takes its figure with it. So each is counted by itself, up to the last look at
which it was there: the sum never falls.
"""

from collections.abc import Collection, Mapping


class CpuLog:
    """What processes used between the first look and the last.

    Args:
        first: the CPU seconds of each process at the first look, by process id.
    """

    def __init__(self, first: Mapping[int, float]) -> None:
        self._first = dict(first)
        self._last = dict(first)

    @property
    def pids(self) -> Collection[int]:
        """Which processes were ever there."""
        return self._last.keys()

    @property
    def used(self) -> float:
        """CPU seconds; all of those that a process has that began meanwhile."""
        first = self._first
        return sum(max(0.0, cpu - first.get(pid, 0.0)) for pid, cpu in self._last.items())

    def look(self, cpu: Mapping[int, float]) -> None:
        """Take a look: the CPU seconds of those that are there."""
        self._last.update(cpu)

    def ended(self, there: Collection[int]) -> int:
        """Return how many of those that were ever there are not among these."""
        return sum(pid not in there for pid in self._last)
