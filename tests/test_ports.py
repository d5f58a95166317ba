"""Ports that listen all or none."""

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from tickstorm.errors import ListenError
from tickstorm.ports import listen_all, stop_listening

TAKEN = CannotListenError("", 2, OSError(98, "Address already in use"))


class Port:
    """Something that listens until it is stopped.

    Attributes:
        stops: what stopping it returns.
    """

    def __init__(self):
        self.listening = True
        self.stops = None

    def stopListening(self):
        self.listening = False
        return self.stops


class Endpoint:
    """Listens with whatever it was told to come to."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.factory = None

    def listen(self, factory):
        self.factory = factory
        return self.outcome


def test_all_listen_each_with_its_factory():
    ports, factories = [Port(), Port()], [Factory(), Factory()]
    endpoints = [Endpoint(succeed(port)) for port in ports]
    assert listen_all(zip(("tcp:1", "tcp:2"), endpoints, factories, strict=True)) == ports
    assert [endpoint.factory for endpoint in endpoints] == factories
    assert [port.listening for port in ports] == [True, True]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (lambda: fail(TAKEN), "cannot listen: Address already in use (tcp:2)"),
        (lambda: fail(ValueError("a bad day")), "cannot listen: a bad day (tcp:2)"),
        (Deferred, "cannot listen: it does not listen at once (tcp:2)"),
    ],
)
def test_one_that_does_not_stops_those_before_it(outcome, reason):
    first, last = Port(), Endpoint(succeed(Port()))
    endpoints = [Endpoint(succeed(first)), Endpoint(outcome()), last]
    with pytest.raises(ListenError) as caught:
        listen_all((f"tcp:{at}", each, Factory()) for at, each in enumerate(endpoints, 1))
    assert str(caught.value) == reason
    assert (first.listening, last.factory) == (False, None)


def test_all_have_stopped_when_the_last_one_has():
    ports, slow, over = [Port(), Port()], Deferred(), []
    ports[0].stops = slow
    stop_listening(ports).addCallback(over.append)
    assert ([port.listening for port in ports], over) == ([False, False], [])
    slow.callback(None)
    assert over == [[None, None]]
