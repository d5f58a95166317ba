"""What Redis tells of all auctions, on a connection of its own, and the followers that hear it."""

import struct
from collections.abc import Callable

from twisted.logger import Logger

from tickstorm.auction.interfaces import IFollower
from tickstorm.auction.redis_packing import read_update


class Following:
    """Tells followers. One that fails costs the others nothing."""

    _log = Logger()

    def __init__(self) -> None:
        self._followers: list[IFollower] = []

    def add(self, follower: IFollower) -> None:
        """Tell somebody from now on."""
        self._followers.append(follower)

    def heard(self, message: bytes) -> None:
        """Take a message of the channel."""
        try:
            auction = read_update(message)
        except struct.error:
            self._log.warn("what was heard is no auction: {size} bytes", size=len(message))
            return
        self._tell(lambda follower: follower.moved(auction))

    def resumed(self) -> None:
        """Take note that something may have been missed."""
        self._tell(lambda follower: follower.resumed())

    def _tell(self, what: Callable[[IFollower], object]) -> None:
        for follower in self._followers:
            try:
                what(follower)
            except Exception:
                self._log.failure("a follower of the auctions failed")
