"""A queue that knows how long everything in it is together. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item", bound=Sized)

_NONE: deque[Any] = deque(maxlen=0)
"""What all have that nothing was added to: one of their own is 760 bytes, and can hold nothing."""


class Fifo(Generic[_Item]):
    """Things of some length, oldest first.

    Attributes:
        length: of all of them together.
    """

    __slots__ = ("_items", "length")

    def __init__(self) -> None:
        self._items: deque[_Item] = _NONE
        self.length = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[_Item]:
        return iter(self._items)

    def __reversed__(self) -> Iterator[_Item]:
        return reversed(self._items)

    @property
    def first(self) -> _Item:
        """The oldest."""
        return self._items[0]

    @property
    def last(self) -> _Item:
        """The newest."""
        return self._items[-1]

    def append(self, item: _Item) -> None:
        """Add the newest."""
        if self._items is _NONE:
            self._items = deque()
        self._items.append(item)
        self.length += len(item)

    def popleft(self) -> _Item:
        """Remove the oldest, and return it."""
        item = self._items.popleft()
        self.length -= len(item)
        return item

    def clear(self) -> None:
        """Remove all."""
        self._items = _NONE
        self.length = 0

    def take(self, at_most: int) -> list[_Item]:
        """Remove the oldest: one if there is any, and more as long as they are no longer."""
        taken: list[_Item] = []
        left = at_most
        while self._items and (not taken or len(self._items[0]) <= left):
            taken.append(self.popleft())
            left -= len(taken[-1])
        return taken


def fitting(items: Iterable[_Item], at_most: int) -> list[_Item]:
    """Return the first: one if there is any, and more as long as they are no longer."""
    found: list[_Item] = []
    left = at_most
    for item in items:
        if found and len(item) > left:
            break
        found.append(item)
        left -= len(item)
    return found
