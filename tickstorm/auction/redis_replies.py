"""What an error reply of Redis means for what was asked. Pure.

Only those are known to have had no effect that Redis gives before it begins, or at the first write.
"""

import re
from enum import Enum, auto, unique
from typing import NamedTuple

from tickstorm.errors import TickstormError


@unique
class Meaning(Enum):
    """What to do about an error reply."""

    LOAD = auto()
    """Nothing was done: the script is to be sent along."""
    MOVED = auto()
    """Nothing was done: another node has the slot, for good."""
    ASK = auto()
    """Nothing was done: another node has the key already, and is to be asked this once."""
    PAST = auto()
    """Nothing was done: it came too late, which may be this side's fault; others are well."""
    MOVING = auto()
    """Nothing was done, nor will be while the slot is on its way; others are well."""
    LATER = auto()
    """Nothing was done, and it may soon be possible."""
    ELSEWHERE = auto()
    """Nothing was done, nor will be on this connection: it is not that of a master, or not ours."""
    UNKNOWN = auto()
    """It may have been done in part."""


_MEANINGS = {
    "NOSCRIPT": Meaning.LOAD,
    "MOVED": Meaning.MOVED,
    "ASK": Meaning.ASK,
    "TRYAGAIN": Meaning.MOVING,
    "CLUSTERDOWN": Meaning.LATER,
    "LOADING": Meaning.LATER,
    "BUSY": Meaning.LATER,
    "OOM": Meaning.LATER,
    "MISCONF": Meaning.LATER,
    "NOREPLICAS": Meaning.LATER,
    "PASTDUE": Meaning.PAST,
    "MASTERDOWN": Meaning.ELSEWHERE,
    "READONLY": Meaning.ELSEWHERE,
    "UNBLOCKED": Meaning.ELSEWHERE,
    "NOAUTH": Meaning.ELSEWHERE,
    "WRONGPASS": Meaning.ELSEWHERE,
    "NOPERM": Meaning.ELSEWHERE,
}


_WITHIN_A_SCRIPT = re.compile(r"ERR Error running script .*?: -(?=[A-Z])")
"""What Redis before 7 puts before its error if a script had to be told it. The hyphen is there only
if the command was refused before it began."""


class Refused(TickstormError):
    """Redis answered with an error.

    Args:
        text: its words. Those of Redis 6 about a command of a script become as those of Redis 7.

    Attributes:
        meaning: what to do about it.
    """

    def __init__(self, text: str) -> None:
        within = _WITHIN_A_SCRIPT.match(text)
        words = text if within is None else text[within.end() :]
        super().__init__(words)
        self.meaning = _MEANINGS.get(words.partition(" ")[0], Meaning.UNKNOWN)


class ConnectionGone(TickstormError):
    """The connection ended, or was given up, before the reply came."""


class Address(NamedTuple):
    """Where a server is."""

    host: str
    port: int


class Redirection(NamedTuple):
    """Where a slot is to be asked for."""

    slot: int
    address: Address


def read_time_ms(refused: Refused) -> int:
    """Return what a PASTDUE says that the time is there.

    Raises:
        ValueError: it says nothing.
    """
    _, now_ms = str(refused).split()[:2]
    return int(now_ms)


def read_redirection(refused: Refused, asked: Address) -> Redirection:
    """Return where a MOVED or ASK points to.

    Args:
        refused: what it said.
        asked: who said it; without a host, it means its own.

    Raises:
        ValueError: it points nowhere.
    """
    _, slot, address = str(refused).split()[:3]
    host, _, port = address.rpartition(":")
    return Redirection(int(slot), Address(host or asked.host, int(port)))
