"""Time as a server of Redis has it, as well as it is known here. Pure.

It is never ahead of that server's own: what was heard of it was some time under way.
"""

from collections.abc import Callable, Sequence


class RedisClock:
    """The clock of one server.

    Args:
        monotonic: seconds that never go back.
        wall_ms: milliseconds since the Unix epoch here, for as long as nothing was heard.
    """

    def __init__(self, monotonic: Callable[[], float], wall_ms: Callable[[], int]) -> None:
        self._monotonic = monotonic
        self._offset_ms = wall_ms() - monotonic() * 1000

    def heard(self, now_ms: float) -> None:
        """Note the time that it was there, at the latest now."""
        self._offset_ms = now_ms - self._monotonic() * 1000

    def heard_reply(self, reply: Sequence[bytes]) -> None:
        """Note the reply to TIME: seconds and microseconds."""
        seconds, microseconds = reply
        self.heard(int(seconds) * 1000 + int(microseconds) // 1000)

    def now_ms(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return int(self._offset_ms + self._monotonic() * 1000)
