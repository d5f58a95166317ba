"""Being ended: a benchmark that a signal ends leaves no server, no load and no folder behind."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128
"""A process that a signal ended has this and the signal's number as its exit code, in shells."""


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Have signals that end the process leave the block as any error does.

    A signal that is ignored stays so, as nohup wants it.

    Raises:
        SystemExit: SIGTERM, SIGHUP or SIGINT came; the code says which.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _leave)
        yield
    except KeyboardInterrupt:
        raise SystemExit(SIGNALLED + signal.SIGINT) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    for ending in ENDING:  # the way out is not to be cut short by another
        signal.signal(ending, signal.SIG_IGN)
    raise SystemExit(SIGNALLED + number)
