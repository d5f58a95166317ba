"""Where a subscription stands over all its connections, and what the next one asks for. Pure.

What it asks for makes that no batch is missed and none comes twice, as far as the server goes along
with it.
"""

from enum import Enum, auto, unique

from tickstorm.client.batch import Batch
from tickstorm.client.events import Subscribed
from tickstorm.client.sequence import SequenceTracker
from tickstorm.subscriptions import MAX_EPOCH, Position, Subscription


@unique
class Stage(Enum):
    """What came last, as far as it matters to the next connection."""

    NEW = auto()
    """Nothing yet."""
    SNAPSHOT_FIRST = auto()
    """A snapshot, perhaps not whole, and nothing of the past before it."""
    PAST = auto()
    """A batch of the past: behind those a snapshot is due."""
    SNAPSHOT_DUE = auto()
    """The word that something is missing, or a snapshot behind the past, perhaps not whole: until a
    batch has come, one is due."""
    STREAMING = auto()
    """A batch; a snapshot that was due lies before it."""


_AT_SUBSCRIPTION = {Stage.SNAPSHOT_FIRST: Stage.NEW, Stage.PAST: Stage.SNAPSHOT_DUE}
_AT_SNAPSHOT = {Stage.NEW: Stage.SNAPSHOT_FIRST, Stage.PAST: Stage.SNAPSHOT_DUE}


class Resumption:
    """One subscription, from its first connection to its last.

    Args:
        subscription: what is wanted at the beginning.
        resumes: whether connections go on where the one before ended, if the server can do that.

    Attributes:
        sequence: follows the numbers, for the session of each connection.
    """

    def __init__(self, subscription: Subscription, *, resumes: bool) -> None:
        self.sequence = SequenceTracker(subscription.resume)
        self._wanted = subscription
        self._resumes = resumes
        self._stage = Stage.NEW

    @property
    def position(self) -> Position | None:
        """Behind which batch the next connection goes on; None if that cannot be said."""
        position = self.sequence.position
        return None if position is None or len(position.epoch) > MAX_EPOCH else position

    def next_subscription(self) -> Subscription:
        """Return what a connection that begins now is to ask for."""
        if self._begins_in_the_past or (self._begins and not self._resumes):
            return self._wanted
        anew = self._wanted._replace(start_time_ms=0, resume=None)
        if not self._resumes or self.position is None:
            return anew
        if self._snapshot_is_due:
            return anew._replace(snapshot=True)
        return anew._replace(snapshot=False, resume=self.position)

    def subscribed(self, event: Subscribed) -> None:
        """Take in what the server says at the beginning of a connection."""
        if event.recovered is False and not self._begins_in_the_past:
            self._stage = Stage.SNAPSHOT_DUE
        else:
            self._stage = _AT_SUBSCRIPTION.get(self._stage, self._stage)

    def received(self, batch: Batch) -> None:
        """Take in a batch."""
        if batch.is_snapshot:
            self._stage = _AT_SNAPSHOT.get(self._stage, self._stage)
        elif self._stage is Stage.NEW and self._wanted.snapshot and self._begins_in_the_past:
            self._stage = Stage.PAST
        elif self._stage is not Stage.PAST:
            self._stage = Stage.STREAMING

    @property
    def _snapshot_is_due(self) -> bool:
        # One may not have come whole, and who resumes gets none unless something is missing.
        begins_with_one = self._wanted.snapshot and self._wanted.resume is None
        return self._stage in (Stage.PAST, Stage.SNAPSHOT_DUE) or (self._begins and begins_with_one)

    @property
    def _begins(self) -> bool:
        return self._stage in (Stage.NEW, Stage.SNAPSHOT_FIRST)

    @property
    def _begins_in_the_past(self) -> bool:
        return self._begins and self._wanted.start_time_ms > 0
