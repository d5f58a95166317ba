"""Ports: all that a server is to have listen, or none of them do."""

from collections.abc import Iterable
from typing import Any, cast

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure

from tickstorm.errors import ListenError

Listener = tuple[str, IStreamServerEndpoint, IProtocolFactory]
"""The description of an endpoint, the endpoint, and what it is to listen with."""


def listen_all(listeners: Iterable[Listener]) -> list[IListeningPort]:
    """Have them all listen, and return their ports in the same order.

    Raises:
        ListenError: one does not; what listened already is stopped.
    """
    ports: list[IListeningPort] = []
    try:
        for listener in listeners:
            ports.append(_listen(*listener))  # noqa: PERF401 - what listens already is undone below
    except ListenError:
        stop_listening(ports)
        raise
    return ports


def stop_listening(ports: Iterable[IListeningPort]) -> Deferred[Any]:
    """Have them listen no more; the Deferred fires when none does."""
    return gatherResults([maybeDeferred(port.stopListening) for port in ports])


def _listen(
    description: str, endpoint: IStreamServerEndpoint, factory: IProtocolFactory
) -> IListeningPort:
    # Every endpoint of a server listens at once or not at all, so there is nothing to wait for.
    outcome: list[Any] = []
    endpoint.listen(factory).addBoth(outcome.append)
    port = outcome[0] if outcome else Failure(ListenError("it does not listen at once"))
    if isinstance(port, Failure):
        raise ListenError(f"cannot listen: {_reason(port.value)} ({description})")
    return cast(IListeningPort, port)


def _reason(error: BaseException | None) -> object:
    cause = getattr(error, "socketError", None)
    return getattr(cause, "strerror", None) or error
