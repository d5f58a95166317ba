"""A run of the reactor: what each end comes to, and who waits how long."""

import signal

import pytest
from twisted.internet.defer import Deferred

from tickstorm.commands.running import INTERRUPTED, TERMINATED, Run


class Endless:
    """Something that runs until it is told, and then for as long as it takes."""

    def __init__(self):
        self.stopped = 0
        self.ended = Deferred()

    async def run(self):
        await self.ended

    def stop(self):
        self.stopped += 1


class ScriptedReactor:
    """A reactor whose run is a script."""

    def __init__(self, script):
        self._script = script
        self._begin = self._shut_down = None
        self.shutdown = None

    def addSystemEventTrigger(self, phase, event, call):
        assert (phase, event) == ("before", "shutdown")
        self._shut_down = call

    def callWhenRunning(self, call):
        self._begin = call

    def callFromThread(self, call):
        call()

    def stop(self):
        self.shutdown = self._shut_down()

    def run(self):
        self._begin()
        self._script(self)
        assert self.shutdown is None or self.shutdown.called


@pytest.fixture(autouse=True)
def _interrupts():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_it_ends_by_itself():
    running = Endless()
    assert Run(ScriptedReactor(lambda _: running.ended.callback(None)), running).code() == 0


def test_what_ended_it_is_raised():
    running = Endless()
    with pytest.raises(OSError, match="gone"):
        Run(ScriptedReactor(lambda _: running.ended.errback(OSError("gone"))), running).code()


@pytest.mark.parametrize("code", [INTERRUPTED, TERMINATED])
def test_a_signal_lets_it_come_to_its_end(code):
    running = Endless()

    def script(reactor):
        signal.raise_signal(signal.SIGINT) if code == INTERRUPTED else reactor.stop()
        assert (running.stopped, reactor.shutdown.called) == (1, False)
        running.ended.callback(None)

    assert Run(ScriptedReactor(script), running).code() == code


def test_a_second_interrupt_does_not_wait():
    running = Endless()

    def script(reactor):
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert (running.stopped, reactor.shutdown.called) == (1, True)
        running.ended.errback(OSError("too late to be told"))

    assert Run(ScriptedReactor(script), running).code() == INTERRUPTED


def test_an_interrupt_after_a_termination_does_not_wait():
    running = Endless()

    def script(reactor):
        reactor.stop()
        signal.raise_signal(signal.SIGINT)

    assert Run(ScriptedReactor(script), running).code() == TERMINATED
