"""measurement: what is asked of crew, server and machine, from the first connection to the end."""

import time

import pytest

from tickstorm.bench.jobs import Begin, Progress
from tickstorm.bench.measurement import Measurement
from tickstorm.bench.outcome import MachineUse, ServerUse
from tickstorm.bench.tally import Tally

TALLY = Tally(subscribed=5)


class Crew:
    """Is told orders; while it waits for a time it looks around so many times, and then goes on."""

    def __init__(self, progress=Progress(5, 0, ready=True), looks=3, interrupted=False):
        self.progress = progress
        self.orders = []
        self._looks = looks
        self._interrupted = interrupted

    def await_ready(self, tell):
        tell()

    def await_time(self, _time_ns, tell):
        for _ in range(self._looks):
            tell()
        if self._interrupted:
            raise KeyboardInterrupt

    def begin(self, window):
        self.orders.append(window)

    def stop(self):
        self.orders.append("stop")

    def tallies(self):
        return (TALLY, None)

    def endings(self):
        return ("process 2 of the load ended with exit code 1",)


class Server:
    """Has one process, which ends after it was looked at so many times."""

    def __init__(self, looks):
        self._cpu = 100.0
        self._looks = looks

    def cpu(self):
        return self.cpu_of([7])

    def cpu_of(self, pids):
        if not self._looks:
            return {}
        self._looks -= 1
        self._cpu += 1
        return dict.fromkeys(pids, self._cpu)

    def memory(self):
        return 1000 if self._looks else None


class Watcher:
    def __init__(self):
        self.shown = []

    def connecting(self, progress):
        self.shown.append(progress)

    def measuring(self, seconds):
        self.shown.append(seconds)


def measure(crew, server=None, seconds=10.0):
    watcher = Watcher()
    busy = iter((50.0, 53.0))
    outcome = Measurement(crew, seconds, lambda: next(busy), server, watcher).run()
    return outcome, watcher.shown


def test_a_measurement():
    crew = Crew()
    before_ns = time.time_ns()
    outcome, shown = measure(crew, Server(looks=99))
    (window,) = crew.orders
    assert window == Begin(window.start_ns, window.start_ns + 10 * 10**9)
    assert window.start_ns > before_ns
    assert shown[0] == Progress(5, 0, ready=True)
    assert len(shown) == 1 + 3 + 1
    assert outcome.tallies == (TALLY,)
    assert outcome.endings == crew.endings()
    assert outcome.server == ServerUse((7,), 0, 5.0, 1000)  # 1 at first, 3 + 1 looks, 1 at the end
    assert outcome.machine == MachineUse(3.0, pytest.approx(outcome.machine.wall))
    assert not outcome.interrupted


def test_a_server_that_ends_keeps_what_it_had_used():
    outcome, _ = measure(Crew(), Server(looks=3))
    assert outcome.server == ServerUse((), 1, 2.0, None)


def test_the_machine_is_measured_without_a_server_that_can_be_seen():
    outcome, _ = measure(Crew())
    assert (outcome.server, outcome.machine.busy) == (None, 3.0)


def test_a_crew_without_connections_is_told_to_stop():
    crew = Crew(Progress(5, 0, ready=True, deserted=True))
    measure(crew)
    assert crew.orders[1:] == ["stop"]


def test_nobody_subscribed_and_nothing_is_measured():
    crew = Crew(Progress(0, 5, ready=True, deserted=True))
    outcome, _ = measure(crew, Server(looks=99))
    assert crew.orders == ["stop"]
    assert (outcome.seconds, outcome.machine, outcome.server) == (0.0, None, None)


def test_an_interrupt_keeps_what_there_is():
    crew = Crew(interrupted=True)
    outcome, _ = measure(crew, Server(looks=99))
    assert crew.orders[1:] == ["stop"]
    assert (outcome.interrupted, outcome.tallies) == (True, (TALLY,))
