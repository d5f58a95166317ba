"""`walk:` - a seeded random walk of some symbols, at a steady rate.

    walk:symbols=AAA,BBB:rate=50:seed=1:price=100

`symbols` are their names, or how many there are to be (1 to 10,000; 5 unless set), then called
SIM1, SIM2 and so on; `rate` is in ticks a second, all symbols together (0.001 to 1,000,000; 50);
`seed` is a whole number (0); `price` is where each symbol begins (0.02 to 999,900; 100).
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import ceil
from random import Random

from twisted.application.service import IService, Service
from twisted.internet.task import LoopingCall

from tickstorm.clock import Clock
from tickstorm.interfaces import Publish
from tickstorm.sources.arguments import Arguments, Kind, number, whole_number
from tickstorm.sources.guarded import GuardedPublish
from tickstorm.sources.random_walk import MAX_CENTS, MIN_CENTS, walk
from tickstorm.ticks import SYMBOL, Tick

MAX_SYMBOLS = 10_000
MIN_RATE, MAX_RATE = 0.001, 1_000_000.0
MAX_SEED = 2**64 - 1
CALL_INTERVAL = 0.01
"""Seconds between calls, unless the rate asks for fewer or TICKS_PER_CALL for more."""
TICKS_PER_CALL = 1_000
"""What a call that is on time publishes at most."""
MAX_TICKS_PER_CALL = 2_000
"""What any call publishes at most."""
CATCH_UP = 1.0
"""Seconds that a late call makes up for; what was missed before that does not come."""
_EARLY = 1e-6
"""The part of a tick by which a timer may be early without the tick waiting for the next call."""


def read_symbols(text: str) -> Sequence[str]:
    """Return the symbols that are named, or as many as are asked for.

    Raises:
        ValueError: there are none or too many, one is not a symbol, or one is there twice.
    """
    if text.isdecimal():
        symbols = [f"SIM{n}" for n in range(1, whole_number(1, MAX_SYMBOLS).read(text) + 1)]
    else:
        symbols = text.split(",")
    if len(symbols) > MAX_SYMBOLS or len(set(symbols)) < len(symbols):
        raise ValueError(text)
    if not all(map(SYMBOL.fullmatch, symbols)):
        raise ValueError(text)
    return symbols


SYMBOLS = Kind(
    read_symbols,
    f"a count 1 to {MAX_SYMBOLS}, nor different names of 1 to 16 of A-Z 0-9 . _ - with commas",
)


def makeSource(arguments: str, publish: Publish, clock: Clock) -> IService:
    """Make a random walk of what stands behind `walk:`; see `ISourceMaker`."""
    given = Arguments("walk", arguments)
    given.refuse_first()
    symbols = given.take("symbols", SYMBOLS, read_symbols("5"))
    rate = given.take("rate", number(MIN_RATE, MAX_RATE), 50.0)
    seed = given.take("seed", whole_number(0, MAX_SEED), 0)
    price = given.take("price", number(MIN_CENTS / 100, MAX_CENTS / 100), 100.0)
    given.finish()
    ticks = walk(symbols, round(price * 100), Random(seed))  # noqa: S311 - it keeps no secret
    return Walk(ticks, rate, publish, clock)


def call_interval(rate: float) -> float:
    """Return the seconds between calls that publish `rate` ticks a second."""
    return max(1 / rate, min(CALL_INTERVAL, TICKS_PER_CALL / rate))


class Walk(Service):
    """Publishes a walk at its rate. One that the machine cannot keep up with goes slower.

    Args:
        ticks: the walk; it has no end.
        rate: ticks a second, MIN_RATE to MAX_RATE.
        publish: takes the ticks.
        clock: the times.
    """

    def __init__(self, ticks: Iterator[Tick], rate: float, publish: Publish, clock: Clock) -> None:
        self._ticks = ticks
        self._rate = rate
        self._publish = GuardedPublish(publish, "walk")
        self._monotonic = clock.monotonic
        self._loop = LoopingCall(self._step)
        self._loop.clock = clock.scheduler
        self._interval = call_interval(rate)
        self._most = min(ceil(rate * CATCH_UP), MAX_TICKS_PER_CALL)
        self._began = 0.0
        self._done = 0

    def startService(self) -> None:
        """Begin, or go on where the walk was stopped."""
        super().startService()
        self._began = self._monotonic()
        self._done = 0
        self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        """Publish no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _step(self) -> None:
        due = int((self._monotonic() - self._began) * self._rate + _EARLY) - self._done
        self._done += due
        ticks = list(islice(self._ticks, min(due, self._most)))
        if ticks:
            self._publish(ticks)
