"""A worker's feed and authenticator: both are in the parent, at the other end of the link."""

from collections.abc import Callable, Iterable
from itertools import count, cycle
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from tickstorm.broadcast import Broadcast
from tickstorm.cadence import slot_of
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator, Peer, User
from tickstorm.errors import ProtocolError
from tickstorm.feed import Joined
from tickstorm.hub import Backfill
from tickstorm.messages import Login
from tickstorm.metrics import Metrics
from tickstorm.outlet import Outlet
from tickstorm.past import Copies, Past
from tickstorm.publishing import Accepted, Publication
from tickstorm.stream import Stream, StreamKey, StreamTable, Surroundings
from tickstorm.subscriptions import Mode, Subscription
from tickstorm.workers.joins import Joins, Waiting, wanted
from tickstorm.workers.link import (
    Emission,
    Leave,
    LoginAnswered,
    LoginAsked,
    LoginDropped,
    Placed,
    PublishAnswered,
    PublishAsked,
    Unplaced,
)

Send = Callable[[tuple[Any, ...]], None]
"""Sends a control message to the parent."""


class _Placement:
    """A stream that the parent sends here, and how often it said so."""

    __slots__ = ("kept", "placed", "stream")

    def __init__(self, stream: Stream[Outlet]) -> None:
        self.stream = stream
        self.placed = 0
        self.kept = False


class RemoteFeed:
    """Feeds a worker's connections from the parent's hub.

    Args:
        epoch: the hub's.
        slots: those of the hub's that this worker's subscribers take in turn.
        slots_of_period: how many the hub has.
        send: to the parent.
        clock: the times.
        max_payload_bytes: no frame's payload is longer.
    """

    def __init__(
        self,
        epoch: str,
        slots: Iterable[int],
        *,
        slots_of_period: int,
        send: Send,
        clock: Clock,
        max_payload_bytes: int,
    ) -> None:
        self.epoch = epoch
        self.metrics = Metrics()
        self.streams: dict[int, StreamTable[Outlet]] = {}
        self._around = Surroundings(max_payload_bytes)
        self._slots = cycle(slots)
        self._slots_of_period = slots_of_period
        self._send = send
        self._broadcast = Broadcast(clock, self.metrics)
        self._joins = Joins(send, self._slots)
        self._publish_requests = count(1)
        self._publishing: dict[int, Deferred[Accepted]] = {}
        self._placements: dict[int, _Placement] = {}
        self._numbers: dict[Stream[Outlet], int] = {}

    def start(self) -> None:
        """Nothing is to be done: what comes is sent on."""

    def stop(self) -> None:
        """Nothing is to be done: nothing is pending here."""

    def flush(self) -> None:
        """Nothing is to be done: nothing is pending here."""

    def join(self, subscription: Subscription, subscriber: Outlet) -> Joined | Deferred[Joined]:
        """Put a subscriber on the stream that serves it, once the parent has this worker on it."""
        slot = self._slot(subscription)
        stream = self._present(subscription, slot)
        if stream is not None:
            stream.join(subscriber)
            return Joined(subscription, stream, Backfill(stream.next_sequence))
        return self._joins.wait(wanted(subscription, slot), subscription, subscriber)

    def leave(self, stream: Stream[Outlet], subscriber: Outlet, kept: bool = True) -> None:
        """Take a subscriber off its stream; with the last one the worker leaves it too."""
        self._placements[self._numbers[stream]].kept |= kept
        period_ms = stream.key.period_ms
        self.streams[period_ms].leave(stream, subscriber)
        if stream.subscribers:
            return
        self._leave(self._numbers[stream])
        if not self.streams[period_ms]:
            del self.streams[period_ms]

    def send_past(self, subscriber: Outlet, past: Past) -> None:
        """Send one subscriber what comes before the next batch of its stream."""
        self._broadcast.send_past(subscriber, past)

    def publish(self, publication: Publication) -> Deferred[Accepted]:
        """Have the parent publish what a client asks for."""
        request = next(self._publish_requests)
        accepted = self._publishing[request] = Deferred()
        self._send(PublishAsked(request, publication))
        return accepted

    def published(self, answered: PublishAnswered) -> None:
        """Take the parent's answer to a publication."""
        accepted = self._publishing.pop(answered.request)
        if isinstance(answered.answer, ProtocolError):
            accepted.errback(answered.answer)
        else:
            accepted.callback(answered.answer)

    def placed(self, placed: Placed | Unplaced) -> None:
        """Take the parent's answer to a join, or a part of it."""
        waiting = self._joins.answered(placed)
        if waiting is None:
            return
        if isinstance(placed, Unplaced):
            _refuse(waiting, placed.error)
        elif waiting.joins or placed.number in self._placements:
            self._place(placed, waiting)
        else:
            self._send(Leave(placed.number, 1))

    def emitted(self, emission: Emission) -> None:
        """Send batches of the parent's hub to their subscribers."""
        placement = self._placements.get(emission.number)
        if placement is not None:
            placement.stream.next_sequence = emission.next_sequence
            self._broadcast.send(placement.stream, emission.frames, emission.began)

    def _place(self, placed: Placed, waiting: Waiting) -> None:
        placement = self._placements.get(placed.number)
        if placement is None:
            placement = self._open(placed, waiting.wanted.subscription)
        placement.placed += 1
        stream = placement.stream
        backfill = Backfill(placed.first_sequence, recovered=placed.recovered)
        copies = Copies(waiting.frames)
        # All of them before any hears of it: who leaves at once must not take the stream along.
        for subscriber in waiting.joins:
            stream.join(subscriber)
        for subscription, subscriber, joined in tuple(waiting.joins.values()):
            if joined.called:  # it was given up while another heard
                self.leave(stream, subscriber)
            else:
                own = backfill._replace(past=copies.past()) if copies else backfill
                joined.callback(Joined(subscription, stream, own))

    def _slot(self, subscription: Subscription) -> int | None:
        if subscription.mode is Mode.TICK:
            return 0
        # Who resumes gets the slot that it had, if the parent knows it; all who had the same one of
        # a server that is gone get the same new one, by one answer.
        return next(self._slots) if subscription.resume is None else None

    def _present(self, subscription: Subscription, slot: int | None) -> Stream[Outlet] | None:
        period_ms = subscription.period_ms
        streams = self.streams.get(period_ms)
        if streams is None or slot is None or subscription.has_past:
            return None
        own = slot_of(slot, period_ms, self._slots_of_period)
        return streams.get(StreamKey(subscription.symbols, own, period_ms))

    def _open(self, placed: Placed, subscription: Subscription) -> _Placement:
        period_ms = subscription.period_ms
        streams = self.streams.setdefault(period_ms, StreamTable(self._around))
        key = StreamKey(subscription.symbols, placed.slot, period_ms)
        stream = streams.open(key, placed.next_sequence, placed.epoch)
        self._numbers[stream] = placed.number
        placement = self._placements[placed.number] = _Placement(stream)
        return placement

    def _leave(self, number: int) -> None:
        placement = self._placements.pop(number)
        del self._numbers[placement.stream]
        self._send(Leave(number, placement.placed, placement.kept))


def _refuse(waiting: Waiting, error: ProtocolError) -> None:
    for _, _, joined in tuple(waiting.joins.values()):
        if not joined.called:
            joined.errback(error)


@implementer(IAuthenticator)
class RemoteAuthenticator:
    """Asks the parent who a login is.

    Args:
        send: to the parent.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._requests = count(1)
        self._waiting: dict[int, Deferred[User]] = {}

    def authenticate(self, login: Login, peer: Peer) -> Deferred[User]:
        """Return the user, once the parent has said who it is."""
        request = next(self._requests)
        user: Deferred[User] = Deferred(lambda _: self._drop(request))
        self._waiting[request] = user
        self._send(LoginAsked(request, login, peer))
        return user

    def answered(self, answered: LoginAnswered) -> None:
        """Take the parent's answer."""
        user = self._waiting.pop(answered.request, None)
        if user is None:
            return
        if isinstance(answered.answer, ProtocolError):
            user.errback(answered.answer)
        else:
            user.callback(answered.answer)

    def _drop(self, request: int) -> None:
        del self._waiting[request]
        self._send(LoginDropped(request))
