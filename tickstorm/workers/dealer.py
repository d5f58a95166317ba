"""Deals accepted connections out to the workers, each to the one that has the most room.

So the workers stay equally full of each kind, also after one of them was replaced. While nobody can
take a connection it is not accepted: it waits in the kernel's queue. When all are full, and no
other is to come within moments, the emptiest gets it all the same, and turns it away politely.
"""

import socket
from collections.abc import Sequence
from functools import partial
from heapq import heapify, heapreplace
from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall

from tickstorm.workers.acceptor import Acceptor
from tickstorm.workers.handover import PortKind
from tickstorm.workers.place import Place

RETRY = 0.01
"""Seconds after which connections that no worker could take are offered again."""


class _Held(NamedTuple):
    """Accepted connections of one port that wait for a worker: some moments, as a rule."""

    port: int
    sockets: Sequence[socket.socket]


class Dealer:
    """Accepts for a pool.

    Args:
        reactor: says when somebody comes, and when to offer again.
        places: the workers' places.
    """

    def __init__(self, reactor: Any, places: Sequence[Place]) -> None:
        self._reactor = reactor
        self._places = places
        self._kinds: list[PortKind] = []
        self._acceptors: list[Acceptor] = []
        self._held: list[_Held] = []
        self._offering: IDelayedCall | None = None
        self._next_id = 1

    def accept_from(self, ports: Sequence[tuple[Any, PortKind]]) -> None:
        """Take over ports that listen, and accept as soon as there is a worker."""
        self._kinds = [kind for _, kind in ports]
        self._acceptors = [
            Acceptor(self._reactor, port, partial(self._accepted, number))
            for number, (port, _) in enumerate(ports)
        ]
        self.offer()

    def stop(self) -> None:
        """Accept nothing more, and drop what no worker has taken."""
        for acceptor in self._acceptors:
            acceptor.close()
        for held in self._held:
            for each in held.sockets:
                each.close()
        self._kinds, self._acceptors, self._held = [], [], []
        self.offer()

    def offer(self) -> None:
        """Deal what is held; call it whenever a worker may have become able to take more."""
        if self._offering is not None:
            self._offering.cancel()
            self._offering = None
        held, self._held = self._held, []
        for packet in held:
            self._deal(packet)
        takers = {kind for kind in self._kinds if self._has_taker(kind)}
        waiting = {self._kinds[packet.port] for packet in self._held}
        if waiting & takers:
            self._offering = self._reactor.callLater(RETRY, self._offer_again)
        for kind, acceptor in zip(self._kinds, self._acceptors, strict=True):
            if kind in takers - waiting:
                acceptor.start()
            else:
                acceptor.pause()

    def _offer_again(self) -> None:
        self._offering = None
        self.offer()

    def _accepted(self, port: int, sockets: Sequence[socket.socket]) -> None:
        self._held.append(_Held(port, sockets))
        self.offer()

    def _has_taker(self, kind: PortKind) -> bool:
        rooms = [place.room(kind) for place in self._places if place.takes]
        if not rooms:
            return False
        # While a worker is on its way, nobody is turned away for want of room.
        return max(rooms) > 0 or not any(place.awaited for place in self._places)

    def _deal(self, packet: _Held) -> None:
        kind = self._kinds[packet.port]
        if not self._has_taker(kind):
            self._held.append(packet)
            return
        left: list[socket.socket] = []
        for place, sockets in _shared_out(self._places, kind, packet.sockets):
            family = int(sockets[0].family)
            if place.hand(packet.port, family, self._next_id, sockets, kind):
                self._next_id += len(sockets)
            else:
                left += sockets
        if left:
            self._held.append(_Held(packet.port, left))


def _shared_out(
    places: Sequence[Place], kind: PortKind, sockets: Sequence[socket.socket]
) -> list[tuple[Place, list[socket.socket]]]:
    """Return which place gets which sockets: each the one that has the most room by then."""
    rooms = [(-place.room(kind), place.number) for place in places if place.takes]
    heapify(rooms)
    shares: dict[int, list[socket.socket]] = {}
    for each in sockets:
        fullness, number = rooms[0]
        shares.setdefault(number, []).append(each)
        heapreplace(rooms, (fullness + 1, number))
    return [(places[number - 1], share) for number, share in shares.items()]
