"""`replay:` from the file to what is published, and when."""

import gzip

import pytest
from twisted.internet.task import Clock as Time
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from tickstorm.chaos import ChaosOptions, Fault
from tickstorm.clock import simulated_clock
from tickstorm.errors import SourceError
from tickstorm.hub import Hub, HubLimits
from tickstorm.interfaces import IChaoticSource
from tickstorm.sources.replay import CHECKED_ROWS, MAX_TICKS_PER_CALL, makeSource
from tickstorm.ticks import Tick

START_S = 1_000_000


class Published:
    """What was published: the time of each call, and its ticks."""

    def __init__(self, time):
        self._time = time
        self.calls = []

    def __call__(self, ticks):
        self.calls.append((self._time.seconds(), list(ticks)))
        return len(self.calls[-1][1])

    @property
    def prices(self):
        return [(when, [tick.price for tick in ticks]) for when, ticks in self.calls]

    @property
    def count(self):
        return sum(len(ticks) for _, ticks in self.calls)


def recorded(folder, rows, name="a.csv"):
    """Write rows of (second, price) or of bytes."""
    lines = [
        row if isinstance(row, bytes) else b"%d,A,%d" % (START_S + row[0], row[1]) for row in rows
    ]
    path = folder / name
    path.write_bytes(b"\n".join([b"time,symbol,price", *lines, b""]))
    return path


def started(arguments):
    time = Time()
    time.advance(100)
    published = Published(time)
    replay = makeSource(arguments, published, simulated_clock(time))
    replay.startService()
    time.advance(0)
    return replay, time, published


ROWS = [(0, 1), (0, 2), (2, 3), (3, 4)]


@pytest.mark.parametrize(
    ("speed", "expected"),
    [
        ("", [(100, [1, 2]), (102, [3]), (103, [4])]),
        (":speed=2", [(100, [1, 2]), (101, [3]), (101.5, [4])]),
        (":speed=0.5", [(100, [1, 2]), (104, [3]), (106, [4])]),
        (":speed=max", [(100, [1, 2, 3, 4])]),
    ],
)
def test_ticks_come_at_their_distance_in_time(tmp_path, speed, expected):
    _, time, published = started(f"{recorded(tmp_path, ROWS)}{speed}")
    time.pump([0.5] * 20)
    assert published.prices == expected


def test_it_ends_and_says_so(tmp_path):
    with capturedLogs() as logs:
        _, time, _ = started(f"{recorded(tmp_path, ROWS)}:speed=max")
    assert [event["log_format"] for event in logs] == ["the recording {name} has been played"]
    assert time.getDelayedCalls() == []


def test_a_loop_begins_again_a_second_after_the_end(tmp_path):
    _, time, published = started(f"{recorded(tmp_path, ROWS)}:loop=yes")
    time.pump([0.5] * 20)
    assert published.prices == [
        (100, [1, 2]),
        (102, [3]),
        (103, [4]),
        (104, [1, 2]),
        (106, [3]),
        (107, [4]),
        (108, [1, 2]),
        (110, [3]),
    ]


def test_a_loop_over_one_row_does_not_spin(tmp_path):
    _, time, published = started(f"{recorded(tmp_path, ROWS[:1])}:loop=yes:speed=max")
    time.pump([0.001] * 9_900)
    assert published.count == 10
    assert len(time.getDelayedCalls()) == 1


@pytest.mark.parametrize(
    ("argument", "times"),
    [("", [100, 102]), (":time=now", [100, 102]), (":time=recorded", [START_S, START_S + 2])],
)
def test_the_time_that_ticks_carry(tmp_path, argument, times):
    _, time, published = started(f"{recorded(tmp_path, [(0, 1), (2, 2)])}{argument}")
    time.advance(2)
    assert [ticks for _, ticks in published.calls] == [
        [Tick("A", 1.0, 0.0, times[0] * 10**9)],
        [Tick("A", 2.0, 0.0, times[1] * 10**9)],
    ]


def test_what_is_late_is_caught_up_with_in_bounded_steps(tmp_path):
    rows = [(second, 1 + second) for second in range(2_500)]
    _, time, published = started(str(recorded(tmp_path, rows)))
    time.advance(5_000)
    assert [len(ticks) for _, ticks in published.calls] == [1, MAX_TICKS_PER_CALL, 1_000, 499]
    assert time.getDelayedCalls() == []
    assert [tick.price for _, ticks in published.calls for tick in ticks] == [
        price for _, price in rows
    ]


def test_ticks_very_close_together_share_a_call(tmp_path):
    rows = [(second, 1) for second in range(1_000)]
    _, time, published = started(f"{recorded(tmp_path, rows)}:speed=1000000")
    time.pump([0.0001] * 20)
    assert (len(published.calls), published.count) == (2, 1_000)


def test_one_call_is_pending_while_it_plays_and_none_when_it_is_stopped(tmp_path):
    replay, time, published = started(str(recorded(tmp_path, ROWS)))
    assert len(time.getDelayedCalls()) == 1
    replay.stopService()
    assert time.getDelayedCalls() == []
    replay.stopService()
    replay.startService()
    time.advance(0)
    assert published.prices == [(100, [1, 2]), (100, [1, 2])]
    replay.stopService()
    replay.startService()
    replay.stopService()
    assert time.getDelayedCalls() == []


def test_publishing_may_stop_it(tmp_path):
    time = Time()
    stopped = []

    def publish(ticks):
        stopped.append(len(list(ticks)))
        replay.stopService()
        return 2

    path = recorded(tmp_path, ROWS)
    replay = makeSource(f"{path}:loop=yes", publish, simulated_clock(time))
    replay.startService()
    time.advance(0)
    assert (stopped, time.getDelayedCalls()) == ([2], [])


def test_a_colon_in_the_name_is_written_with_a_backslash(tmp_path):
    path = recorded(tmp_path, ROWS, "a:b.csv")
    _, _, published = started(str(path).replace(":", r"\:"))
    assert published.count == 2


def test_a_zipped_file_is_played(tmp_path):
    path = recorded(tmp_path, ROWS)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert started(str(path))[2].count == 2


def test_the_file_is_found_after_the_process_has_moved(tmp_path, monkeypatch):
    recorded(tmp_path, ROWS)
    monkeypatch.chdir(tmp_path)
    time = Time()
    published = Published(time)
    replay = makeSource("a.csv", published, simulated_clock(time))
    monkeypatch.chdir("/")
    replay.startService()
    time.advance(0)
    assert published.count == 2


def refused(arguments):
    with pytest.raises(SourceError) as caught:
        makeSource(arguments, lambda ticks: 0, simulated_clock(Time()))
    return str(caught.value)


def test_a_bad_file_is_refused_before_anything_is_played(tmp_path):
    path = recorded(tmp_path, [*ROWS, b"5,A,1"])
    assert refused(str(path)) == f"{path}, line 6: time '5' is before that of the row above"
    assert refused("none.csv:speed=2") == "none.csv: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("f:speed=0", "replay: speed=0 is not max, nor a number 0.001 to 1000000"),
        ("f:speed=nan", "replay: speed=nan is not max, nor a number 0.001 to 1000000"),
        ("f:speed=inf", "replay: speed=inf is not max, nor a number 0.001 to 1000000"),
        ("f:loop=maybe", "replay: loop=maybe is not yes or no"),
        ("f:time=then", "replay: time=then is not now or recorded"),
        (
            "f:volume=5",
            "replay: there is no argument volume=; the arguments are: speed=, loop=, time=, "
            "chaos=, seed=, rate=",
        ),
        *(
            (
                f"f:chaos={faults}",
                f"replay: chaos={faults} is not all, nor of drip, cut, dup, gap, delay, badcrc, "
                "with commas",
            )
            for faults in ("", "drop", "cut,", "all,cut", "Cut")
        ),
        ("f:chaos=cut:seed=-1", f"replay: seed=-1 is not a whole number 0 to {2**64 - 1}"),
        ("f:chaos=cut:seed=x", f"replay: seed=x is not a whole number 0 to {2**64 - 1}"),
        ("f:chaos=cut:rate=0", "replay: rate=0 is not a number 0.0001 to 1"),
        ("f:chaos=cut:rate=1.1", "replay: rate=1.1 is not a number 0.0001 to 1"),
        ("f:seed=0", "replay: seed= and rate= belong to chaos=, which is not there"),
        ("f:rate=0.1", "replay: seed= and rate= belong to chaos=, which is not there"),
        ("f:g", "replay: 'g' is not KEY=VALUE"),
    ],
)
def test_arguments_that_are_refused(arguments, error):
    assert refused(arguments) == error


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("chaos=all", ChaosOptions(frozenset(Fault), 0, 0.05)),
        ("chaos=cut,drip:seed=7", ChaosOptions(frozenset({Fault.CUT, Fault.DRIP}), 7, 0.05)),
        ("rate=1:chaos=gap", ChaosOptions(frozenset({Fault.GAP}), 0, 1.0)),
    ],
)
def test_chaos_is_what_the_service_finds(tmp_path, arguments, options):
    replay, time, published = started(f"{recorded(tmp_path, ROWS)}:{arguments}")
    assert verifyObject(IChaoticSource, replay)
    assert replay.options == options
    assert published.prices == [(100, [1, 2])]
    replay.stopService()
    assert time.getDelayedCalls() == []


def test_without_it_there_is_none(tmp_path):
    assert not IChaoticSource.providedBy(started(str(recorded(tmp_path, ROWS)))[0])


def test_a_bad_row_far_into_the_file_ends_it_once(tmp_path):
    rows = [(0, 1)] * CHECKED_ROWS
    path = recorded(tmp_path, [*rows, (1, 2), (2, 3), b"5,A,nan", (4, 5)])
    with capturedLogs() as logs:
        replay, time, published = started(f"{path}:loop=yes")
        time.pump([0.0] * 10 + [1.0] * 10)
    assert published.count == CHECKED_ROWS + 2
    assert [(event["log_level"].name, str(event["error"])) for event in logs] == [
        ("critical", f"{path}, line {CHECKED_ROWS + 4}: price 'nan' is not a number")
    ]
    assert time.getDelayedCalls() == []
    replay.stopService()


def test_a_file_that_has_gone_ends_a_loop(tmp_path):
    path = recorded(tmp_path, ROWS)
    _, time, published = started(f"{path}:loop=yes:speed=max")
    path.unlink()
    with capturedLogs() as logs:
        time.pump([1.0] * 5)
    assert published.count == 4
    assert [str(event["error"]) for event in logs] == [f"{path}: No such file or directory"]


def test_it_goes_on_when_the_hub_refuses(tmp_path, failures):
    rows = [b"1000,A,1", b"1001,B,2", b"1002,B,3", b"1003,A,4"]
    time = Time()
    hub = Hub("epoch", simulated_clock(time).wall_ns, HubLimits(max_symbols=1))
    path = recorded(tmp_path, rows)
    makeSource(str(path), hub.publish, simulated_clock(time)).startService()
    time.pump([0.0, *[1.0] * 5])
    assert (hub.ticks_published, hub.symbols) == (2, 1)
    assert [str(failure) for failure in failures] == ["tick 0: B is one more than 1 symbols"]
    failures.clear()


def test_without_a_file_the_bundled_recording_is_played_a_day_a_second():
    _, time, published = started("")
    time.pump([0.05] * 21)
    assert [(when, len(ticks)) for when, ticks in published.calls] == [
        (100, 4),
        (pytest.approx(100.3), 4),
        (pytest.approx(101, abs=0.06), 4),
    ]


def test_the_bundled_recording_may_be_played_otherwise():
    _, time, published = started("speed=max:loop=no")
    while time.getDelayedCalls():
        time.advance(0)
    assert published.count == 3_224
    assert [len(ticks) for _, ticks in published.calls] == [1_000, 1_000, 1_000, 224]
