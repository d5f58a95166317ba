"""A line: one connection at a time, over a scripted endpoint."""

from math import inf

import pytest
from scripted import ScriptedEndpoint, result
from twisted.internet.task import Clock

from tickstorm.client.backoff import Backoff, BackoffLimits
from tickstorm.client.events import Admitted, ServerError
from tickstorm.client.line import Line
from tickstorm.client.on_twisted import TwistedFramework
from tickstorm.clock import simulated_clock
from tickstorm.errors import InvalidAuth

ADMITTED = Admitted("e", 15.0, 20.0)
REFUSED = ServerError(InvalidAuth("no"), retryable=False)
MEANT = {b"hello": ADMITTED, b"no": REFUSED}


class Echo:
    """A conversation that tells what it hears, and says what it is given."""

    deadline = inf
    over = False

    def __init__(self, to_say):
        self._to_say, self._heard = to_say, []

    def take_output(self):
        said, self._to_say[:] = b"".join(self._to_say), []
        return said

    def feed(self, data, now, wall_ns):
        self._heard.append(MEANT.get(data, data))
        self.over = data == b"no"

    def next_event(self):
        return self._heard.pop(0) if self._heard else None

    def pause(self):
        pass

    def resume(self, now):
        pass

    def close(self):
        self._heard.clear()


class Owner:
    """A line, and what it reports."""

    def __init__(self):
        self.clock, self.endpoint = Clock(), ScriptedEndpoint()
        self.to_say, self.begun, self.told = [], [], []
        self.full = False
        self.line = Line(
            TwistedFramework(self.endpoint, simulated_clock(self.clock)),
            self,
            self._begin,
            connect_timeout=10.0,
            backoff=Backoff(BackoffLimits(), lambda: 0.5),
        )

    def _begin(self, now):
        self.begun.append(now)
        return Echo(self.to_say)

    def heard(self, event):
        self.told.append(event)

    def disconnected(self, error, retry_in):
        self.told.append((type(error).__name__, retry_in))


@pytest.fixture
def owner():
    return Owner()


def test_it_connects_when_it_is_started_and_only_once(owner):
    assert (owner.line.started, owner.endpoint.dialed) == (False, [])
    owner.line.start()
    owner.line.start()
    assert (owner.line.started, len(owner.endpoint.dialed)) == (True, 1)


def test_before_there_is_a_connection_nothing_is_sent_or_taken(owner):
    owner.to_say.append(b"early")
    owner.line.send()
    owner.line.make_room()
    owner.line.start()
    owner.line.send()
    owner.line.make_room()
    assert owner.endpoint.accept().transport.value() == b"early"


def test_what_is_said_goes_out_and_what_is_heard_comes_in(owner):
    owner.line.start()
    server = owner.endpoint.accept()
    owner.to_say.append(b"one")
    owner.line.send()
    assert (server.transport.value(), owner.told) == (b"one", [])
    server.say(b"two")
    assert owner.told == [b"two"]


def test_while_the_owner_is_full_nothing_comes_in(owner):
    owner.line.start()
    server = owner.endpoint.accept()
    owner.full = True
    server.say(b"later")
    assert (owner.told, server.reading_paused) == ([], True)
    owner.full = False
    owner.line.make_room()
    assert (owner.told, server.reading_paused) == ([b"later"], False)


def test_a_lost_connection_is_followed_by_another_after_waits_that_grow(owner):
    owner.line.start()
    owner.endpoint.accept().lose()
    owner.clock.advance(0.25)
    owner.endpoint.refuse()
    assert owner.told == [("ConnectionDone", 0.25), ("DNSLookupError", 0.5)]
    owner.clock.advance(0.5)
    owner.endpoint.accept()
    assert owner.begun == [0.0, 0.75]


def test_one_that_lasted_makes_the_next_wait_a_first_one(owner):
    owner.line.start()
    owner.endpoint.refuse()
    owner.clock.advance(0.25)
    server = owner.endpoint.accept()
    server.say(b"hello")
    owner.clock.advance(30.0)
    server.lose()
    assert owner.told == [("DNSLookupError", 0.25), ADMITTED, ("ConnectionDone", 0.25)]


def test_after_an_error_that_stays_there_is_no_other(owner):
    owner.line.start()
    server = owner.endpoint.accept()
    server.say(b"no")
    owner.line.start()
    assert owner.told == [REFUSED, ("InvalidAuth", None)]
    assert (owner.clock.getDelayedCalls(), owner.endpoint.dialed) == ([], [])


@pytest.mark.parametrize("phase", ["idle", "dialing", "waiting", "dialing again"])
def test_closed_without_a_connection_it_is_gone_at_once_and_for_good(owner, phase):
    if phase != "idle":
        owner.line.start()
    if phase in ("waiting", "dialing again"):
        owner.endpoint.refuse()
    if phase == "dialing again":
        owner.clock.advance(0.25)
    assert result(owner.line.close()) is None
    assert owner.clock.getDelayedCalls() == []
    owner.endpoint.dialed.clear()
    owner.line.start()
    assert owner.endpoint.dialed == []


def test_closed_it_is_gone_when_its_connection_is_and_reports_nothing(owner):
    owner.line.start()
    server = owner.endpoint.accept()
    closed = owner.line.close()
    assert (closed.called, server.transport.disconnecting) == (False, True)
    server.lose()
    assert (result(closed), owner.told) == (None, [])


def test_closed_by_what_it_reports_it_makes_no_other(owner):
    owner.disconnected = lambda error, retry_in: owner.line.close()
    owner.line.start()
    owner.endpoint.refuse()
    assert (owner.clock.getDelayedCalls(), owner.endpoint.dialed) == ([], [])


def test_who_has_nothing_to_do_is_not_woken(owner):
    owner.line.start()
    owner.endpoint.accept()
    assert owner.clock.getDelayedCalls() == []
