"""What a port's kind puts around a connection's bytes, without the port: TLS, the PROXY protocol.

A worker is handed connections that the parent has accepted. So each description becomes an endpoint
here too, and listens on a reactor that only notes the factory it was to listen with.
"""

from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.protocols.haproxy import proxyEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import directlyProvides, implementer, providedBy

from tickstorm.descriptions import parse_description
from tickstorm.endpoints import server_endpoint
from tickstorm.errors import ConfigError
from tickstorm.tls import Read, read_file


class PortFactory(NamedTuple):
    """What serves the connections of one port.

    Attributes:
        factory: makes their protocols.
        endpoint: the port's; where it is ours with TLS, its certificate can be read anew.
    """

    factory: IProtocolFactory
    endpoint: IStreamServerEndpoint


def port_factory(
    reactor: Any, description: str, factory: IProtocolFactory, read: Read = read_file
) -> PortFactory:
    """Return what serves the connections of a port.

    Args:
        reactor: the real one.
        description: the port's.
        factory: what they talk to in the end.
        read: reads the files that `tls:` names.

    Raises:
        ConfigError: the description cannot be used, or not by workers.
    """
    noting = _NotingReactor(reactor)
    parsed = parse_description(description)
    endpoint: Any
    if not parsed.is_systemd:
        endpoint = server_endpoint(noting, description, read)  # type: ignore[arg-type]  # provides all that the reactor does
    elif parsed.kind == "haproxy":  # the socket itself is the parent's alone
        endpoint = proxyEndpoint(_NotingEndpoint(noting))
    else:
        endpoint = _NotingEndpoint(noting)
    failures: list[Any] = []
    endpoint.listen(factory).addErrback(failures.append)
    if failures:
        raise ConfigError(f"{description!r}: {failures[0].getErrorMessage()}")
    if noting.factory is None:
        raise ConfigError(f"{description!r}: this kind of port cannot be shared by workers")
    return PortFactory(noting.factory, endpoint)


class _NotingReactor:
    """A reactor whose ports only note what they were to listen with."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.factory: IProtocolFactory | None = None
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, _: int, factory: IProtocolFactory, *__: Any, **___: Any) -> None:
        """Note the factory."""
        self.factory = factory

    def listenUNIX(self, _: bytes, factory: IProtocolFactory, *__: Any, **___: Any) -> None:
        """Note the factory."""
        self.factory = factory

    def listenSSL(
        self,
        _: int,
        factory: Any,
        contextFactory: Any,  # noqa: N803 - the interface's
        *__: Any,
        **___: Any,
    ) -> None:
        """Note the factory, with TLS around it, as the reactor itself would have it."""
        self.factory = TLSMemoryBIOFactory(
            contextFactory, False, factory, IReactorTime(self._reactor)
        )


@implementer(IStreamServerEndpoint)
class _NotingEndpoint:
    def __init__(self, reactor: _NotingReactor) -> None:
        self._reactor = reactor

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803 - the interface's
        self._reactor.factory = protocolFactory
        port: Any = None
        return succeed(port)
