"""Sources: where ticks come from. Each is a plugin, found by the name in `NAME:ARGUMENTS`.

A source only ever calls `publish`; it knows nothing of the hub behind it or of who listens.
"""

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IProtocolFactory
from zope.interface import implementer

from tickstorm.clock import Clock
from tickstorm.errors import SourceError
from tickstorm.interfaces import IChaoticSource, ISourceMaker, Publish


@implementer(ISourceMaker)
class SourceMaker:
    """The plugin of a source whose module is imported when one is asked for, not before.

    Args:
        name: what stands before the colon: lower-case letters.
        module: has a function `makeSource(arguments, publish, clock)`; see `ISourceMaker`.
        usage: one line for people: the arguments and what they do.
    """

    def __init__(self, name: str, module: str, usage: str) -> None:
        self.name = name
        self.module = module
        self.usage = usage

    def makeSource(self, arguments: str, publish: Publish, clock: Clock) -> IService:
        """Have the module make one."""
        source: IService = import_module(self.module).makeSource(arguments, publish, clock)
        return source


def make_source(
    spec: str, publish: Publish, clock: Clock, plugins: Iterable[ISourceMaker]
) -> IService:
    """Return the source that `NAME:ARGUMENTS` asks for; a bare NAME has no arguments.

    Args:
        spec: the name of a plugin, and what that plugin is to be told.
        publish: takes the ticks.
        clock: the times.
        plugins: what there is, as from `twisted.plugin.getPlugins(ISourceMaker)`.

    Raises:
        SourceError: not exactly one plugin has that name, or its arguments cannot be used.
    """
    name, _, arguments = spec.partition(":")
    makers = sorted(plugins, key=lambda maker: maker.name)
    named = [maker for maker in makers if maker.name == name]
    if not named:
        known = ", ".join(maker.name for maker in makers) or "none"
        raise SourceError(f"source {spec!r}: there is no {name!r}; the sources are: {known}")
    if len(named) > 1:
        raise SourceError(f"source {spec!r}: {len(named)} plugins are named {name!r}")
    return named[0].makeSource(arguments, publish, clock)


def with_chaos(
    factory: IProtocolFactory, sources: Sequence[tuple[str, IService]], workers: int
) -> IProtocolFactory:
    """Return what subscribers' ports listen with: the factory, unless a source is a chaotic one.

    Args:
        factory: makes the connections.
        sources: each with what asked for it.
        workers: how many processes serve.

    Raises:
        SourceError: there are two such sources, or workers, whose connections it could not reach.
    """
    chaotic: list[tuple[str, Any]] = [
        (spec, source) for spec, source in sources if IChaoticSource.providedBy(source)
    ]
    if not chaotic:
        return factory
    if len(chaotic) > 1:
        raise SourceError(f"source {chaotic[1][0]!r}: there is chaos= already; give it once")
    spec, source = chaotic[0]
    if workers:
        raise SourceError(f"source {spec!r}: chaos= needs workers = 0, not {workers}")
    wrapped: IProtocolFactory = source.wrapFactory(factory)
    return wrapped
