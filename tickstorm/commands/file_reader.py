"""A file or a pipe, read in the reactor as it is wanted: what is there comes at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

READ_BYTES = 65_536


@implementer(IReadDescriptor)
class FileReader:
    """Reads a descriptor when the reactor says that there is something.

    Args:
        reactor: watches it; it must take regular files, too, as that of epoll does.
        descriptor: an open one, which is not closed here.
        take: gets what was read, nothing at the end. It comes again only after `resume`.
        failed: gets the error that ended it.
    """

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        take: Callable[[bytes], object],
        failed: Callable[[OSError], object],
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._take = take
        self._failed = failed

    def resume(self) -> None:
        """Read once more."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Read no more; nothing happens if that is so."""
        self._reactor.removeReader(self)

    # What the reactor calls.

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Name it in the log."""
        return "input"

    def doRead(self) -> None:
        """Read what is there."""
        self.stop()
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except OSError as error:
            self._failed(error)
        else:
            self._take(data)

    def connectionLost(
        self,
        reason: Failure,  # noqa: ARG002 - the interface's
    ) -> None:
        """Note that whoever wrote is gone, and had nothing more to say."""
        self._take(b"")
