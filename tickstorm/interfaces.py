"""What other packages may add: sources of ticks, and what stands before the connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

if TYPE_CHECKING:  # plugins import this at every start of twistd, so it loads nothing more
    from twisted.application.service import IService
    from twisted.internet.interfaces import IProtocolFactory

    from tickstorm.clock import Clock
    from tickstorm.factory import TickstormFactory
    from tickstorm.ticks import Tick

Publish: TypeAlias = "Callable[[Iterable[Tick]], int]"
"""`Hub.publish`: all that a source is given of the hub."""


class ISourceMaker(IPlugin):
    """A plugin that makes sources of one kind: `--source NAME:ARGUMENTS` asks for one.

    Put an object that provides this into a module of the `twisted.plugins` package.
    """

    name: str = Attribute("What stands before the colon: lower-case letters.")
    usage: str = Attribute("One line for people: the arguments and what they do.")

    def makeSource(arguments: str, publish: Publish, clock: Clock) -> IService:
        """Return a service that publishes while it runs.

        Args:
            arguments: what stands behind the first colon.
            publish: takes valid ticks; see `Hub.publish`.
            clock: the times, and what runs calls later.

        Raises:
            SourceError: the arguments, or the file that they name, cannot be used.
        """


class IChaoticSource(Interface):
    """What a source provides, beside IService, whose server is to misbehave for clients under test.

    A server has one such source at most, and no workers.
    """

    def wrapFactory(factory: TickstormFactory) -> IProtocolFactory:
        """Return what the subscribers' ports are to listen with.

        Args:
            factory: what they would listen with otherwise. Its `doStart`, `doStop` and
                `buildProtocol` are to be called as a port would.
        """


class IKnowsPeer(Interface):
    """What a wrapper of transports provides that does not change who the peer is.

    Of any other, except TLS, it is thought that it may, as the PROXY protocol does.
    """
