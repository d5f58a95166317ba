"""What other packages may add as plugins: sources of ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from twisted.plugin import IPlugin
from zope.interface import Attribute

if TYPE_CHECKING:  # plugins import this at every start of twistd, so it loads nothing more
    from twisted.application.service import IService

    from tickstorm.clock import Clock
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
