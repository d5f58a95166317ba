"""Publishing that goes on when a call of it fails."""

from collections.abc import Iterable

from twisted.logger import Logger

from tickstorm.interfaces import Publish
from tickstorm.ticks import Tick


class GuardedPublish:
    """Publishes, and lets no exception out: the ticks of a call that fails are lost, and logged.

    Of failures in a row only the first is logged, as a source may publish a thousand times a
    second.

    Args:
        publish: what may fail.
        source: names the source in the log.
    """

    _log = Logger()

    def __init__(self, publish: Publish, source: str) -> None:
        self._publish = publish
        self._source = source
        self.failures = 0
        """Calls that failed."""
        self._failures_in_a_row = 0

    def __call__(self, ticks: Iterable[Tick]) -> None:
        """Publish these."""
        try:
            self._publish(ticks)
        except Exception:
            self.failures += 1
            self._failures_in_a_row += 1
            if self._failures_in_a_row == 1:
                self._log.failure("{source} could not publish", source=self._source)
        else:
            self._failures_in_a_row = 0
