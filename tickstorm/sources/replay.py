"""`replay:FILE` - a recording, played at the distances in time at which it was made.

    replay:FILE:speed=1:loop=no:time=now
    replay:FILE:chaos=drip,cut,dup,gap,delay,badcrc:seed=0:rate=0.05

`speed` divides the recorded time (0.001 to 1,000,000; 1), or is `max`: as fast as the machine can.
`loop=yes` begins again, a second after the end. `time=now` gives each tick the time at which it is
played, as in a live feed; `time=recorded` leaves it the one in the file, `loop` or not.

`replay:` without a file plays the bundled recording of daily prices, and then `loop` is yes and
`speed` 86400 unless set: a day takes a second, a night and a weekend their part of it.

`chaos` names faults, or is `all` of them: all connections of the server to its subscribers then
misbehave on purpose, for people who write clients (see `Fault`, and docs/chaos.md). `rate` is the
part of the batches that get one (0.0001 to 1; 0.05), `seed` a whole number (0): with the same one a
connection has the same faults at the same places. A server with workers refuses it.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from typing import NamedTuple

from twisted.application.service import IService, Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tickstorm.chaos import DEFAULT_RATE, MAX_SEED, ChaosOptions, Fault
from tickstorm.chaotic import ChaoticSource
from tickstorm.clock import Clock
from tickstorm.errors import SourceError
from tickstorm.interfaces import Publish
from tickstorm.sources.arguments import Arguments, Kind, choice, number, whole_number
from tickstorm.sources.guarded import GuardedPublish
from tickstorm.sources.playback import Playback
from tickstorm.sources.recording_file import read_recording
from tickstorm.ticks import Tick

BUNDLED = Path(__file__).with_name("recordings") / "stocks.csv.gz"
CHECKED_ROWS = 10_000
"""How many rows are read before the source is made, so that a bad file stops the start."""
MIN_SPEED, MAX_SPEED = 0.001, 1_000_000.0
DAY_A_SECOND = 86_400.0
MAX_TICKS_PER_CALL = 1_000
"""What is published between two turns of the reactor, however late."""
MIN_WAIT = 0.001
"""Seconds: ticks closer together than this may share a call."""
LOOP_PAUSE = 1.0
"""Seconds between the end of a pass and the beginning of the next."""

_NUMBER_OF_SPEED = number(MIN_SPEED, MAX_SPEED)
SPEED = Kind(
    lambda text: inf if text == "max" else _NUMBER_OF_SPEED.read(text),
    f"max, nor {_NUMBER_OF_SPEED.allowed}",
)
YES_NO = choice({"yes": True, "no": False})
RESTAMPED = choice({"now": True, "recorded": False})
MIN_RATE = 0.0001


def read_faults(text: str) -> frozenset[Fault]:
    """Return the faults that are named.

    Raises:
        ValueError: one does not exist.
    """
    return frozenset(Fault) if text == "all" else frozenset(map(Fault, text.split(",")))


FAULTS = Kind(read_faults, f"all, nor of {', '.join(fault.value for fault in Fault)}, with commas")


class ReplayOptions(NamedTuple):
    """How a recording is played.

    Attributes:
        speed: recorded seconds in a second, infinity for as fast as possible.
        loop: whether it begins again after its end.
        restamped: whether ticks get the time at which they are played.
    """

    speed: float = 1.0
    loop: bool = False
    restamped: bool = True


def makeSource(arguments: str, publish: Publish, clock: Clock) -> IService:
    """Make a replay of what stands behind `replay:`; see `ISourceMaker`."""
    given = Arguments("replay", arguments)
    name = given.first
    defaults = ReplayOptions() if name else ReplayOptions(speed=DAY_A_SECOND, loop=True)
    options = ReplayOptions(
        given.take("speed", SPEED, defaults.speed),
        given.take("loop", YES_NO, defaults.loop),
        given.take("time", RESTAMPED, defaults.restamped),
    )
    chaos = read_chaos(given)
    given.finish()
    path = Path(name).absolute() if name else BUNDLED  # a daemon may be moved to another folder
    read = partial(read_recording, path, name or BUNDLED.name)
    with closing(read()) as ticks:
        for _ in islice(ticks, CHECKED_ROWS):
            pass
    replay = Replay(name or BUNDLED.name, read, options, publish, clock)
    return replay if chaos is None else ChaoticSource(replay, chaos, clock)


def read_chaos(given: Arguments) -> ChaosOptions | None:
    """Return how the server is to misbehave, None if it is not to.

    Raises:
        SourceError: an argument cannot be used.
    """
    faults = given.take("chaos", FAULTS, None)
    seed = given.take("seed", whole_number(0, MAX_SEED), None)
    rate = given.take("rate", number(MIN_RATE, 1), None)
    if faults is not None:
        return ChaosOptions(faults, seed or 0, rate or DEFAULT_RATE)
    if seed is not None or rate is not None:
        raise SourceError("replay: seed= and rate= belong to chaos=, which is not there")
    return None


class Replay(Service):
    """Plays a recording while it runs; started again, it begins anew.

    A row that cannot be used ends it: what was before that is published, the error is logged once,
    and nothing more comes.

    Args:
        name: names the recording in the log.
        read: opens the recording at its beginning.
        options: how it is played.
        publish: takes the ticks, at most MAX_TICKS_PER_CALL at once.
        clock: the times.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        read: Callable[[], Generator[Tick]],
        options: ReplayOptions,
        publish: Publish,
        clock: Clock,
    ) -> None:
        self._name = name
        self._read = read
        self._options = options
        self._publish = GuardedPublish(publish, "replay")
        self._clock = clock
        self._playback: Playback | None = None
        self._pending: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin to play, in the next turn of the reactor."""
        super().startService()
        self._call_later(0, self._begin)

    def stopService(self) -> None:
        """Publish no more, and close the file."""
        super().stopService()
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if self._playback is not None:
            self._playback.close()
            self._playback = None

    def _begin(self) -> None:
        self._playback = Playback(self._read(), self._options.speed, self._clock.monotonic())
        self._step(self._playback)

    def _step(self, playback: Playback) -> None:
        ticks = playback.take(self._clock.monotonic(), MAX_TICKS_PER_CALL)
        if ticks:
            self._publish(self._stamped(ticks))
        if self._playback is not playback:
            return  # publishing stopped this service
        if playback.due_at == inf:
            self._end(playback)
        else:
            wait = playback.due_at - self._clock.monotonic()
            self._call_later(max(wait, MIN_WAIT) if wait > 0 else 0, self._step, playback)

    def _end(self, playback: Playback) -> None:
        self._playback = None
        if playback.error is not None:
            self._log.critical("the replay has stopped: {error}", error=playback.error)
        elif self._options.loop:
            self._call_later(LOOP_PAUSE, self._begin)
        else:
            self._log.info("the recording {name} has been played", name=self._name)

    def _stamped(self, ticks: list[Tick]) -> list[Tick]:
        if not self._options.restamped:
            return ticks
        now_ns = self._clock.wall_ns()
        return [tick._replace(timestamp_ns=now_ns) for tick in ticks]

    def _call_later(self, wait: float, call: Callable[..., None], *arguments: Playback) -> None:
        def run() -> None:
            self._pending = None
            call(*arguments)

        self._pending = self._clock.scheduler.callLater(wait, run)
