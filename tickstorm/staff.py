"""The staff: who serves the subscribers and the bidders of one server, this process or workers.

Made from one settings object, with the hub that it serves from.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tickstorm import open_files
from tickstorm.assembly import authenticator_for, make_factory, make_hub, make_intake
from tickstorm.auction.token_file import open_tokens
from tickstorm.fanout import FanOut
from tickstorm.serving import InProcess, Serving
from tickstorm.workers.pool import WorkerPool
from tickstorm.workers.shares import shares, slots_of_period, worker_count

if TYPE_CHECKING:
    from tickstorm.auction.interfaces import IAuctionStore
    from tickstorm.auction.serving import AuctionServing
    from tickstorm.auction.tokens import Tokens
    from tickstorm.clock import Clock
    from tickstorm.credentials import IAuthenticator
    from tickstorm.factory import TickstormFactory
    from tickstorm.settings import Settings
    from tickstorm.tls import KeptFiles


class Staff:
    """All that serves.

    Args:
        settings: the server's.
        authenticator: decides who a login is; None leaves it to the settings.
        kept: reads the files that are needed.
        reactor: connects to Redis, and starts workers.
        clock: the times.

    Attributes:
        workers: how many there are; 0 if this process serves.
        shares: of each process, how many connections it lets in, of subscribers and of bidders.
        hub: what is served from.
        factory: makes the connections of subscribers; None if workers do.
        serving: of subscribers.
        auctions: of bidders; None without a port for them.

    Raises:
        ConfigError: the auctions cannot be kept where they are to be, or the key of tokens cannot
            be used.
    """

    def __init__(
        self,
        settings: Settings,
        authenticator: IAuthenticator | None,
        kept: KeptFiles,
        reactor: Any,
        clock: Clock,
    ) -> None:
        self._authenticator = authenticator
        self._reactor = reactor
        self._clock = clock
        self._parts_of_files = 2 if settings.auction else 1
        limit = self._file_limit()
        self.workers = worker_count(
            settings.workers, settings.max_connections, _processors(), limit
        )
        self.shares = shares(settings.max_connections, self.workers or 1, limit)
        slots = slots_of_period(settings.delivery, self.workers)
        self.hub = make_hub(settings, uuid4().hex[:12], clock, slots)
        self.factory: TickstormFactory | None = None
        store = self._make_store(settings) if settings.auction else None
        tokens = open_tokens(settings, kept.read)
        self.serving = self._make_serving(settings, kept, store)
        self.auctions = self._make_auctions(settings, store, tokens)

    def reload(self, settings: Settings, tokens: Tokens | None, kept: KeptFiles) -> None:
        """Have all be held to other settings."""
        self.shares = shares(settings.max_connections, len(self.shares), self._file_limit())
        self.serving.reload(settings, self.shares, kept.contents)
        if self.auctions is not None:
            self.auctions.reload(self._of_one(settings), tokens)

    # What is for auctions alone is loaded where there are auctions.

    def _make_store(self, settings: Settings) -> IAuctionStore:
        from tickstorm.auction.stores import make_store

        return make_store(settings, self._reactor, self._clock)

    def _make_serving(
        self, settings: Settings, kept: KeptFiles, store: IAuctionStore | None
    ) -> Serving:
        if self.workers:
            return WorkerPool(
                settings,
                self.shares,
                self.hub,
                self._authenticator,
                kept.contents,
                clock=self._clock,
                reactor=self._reactor,
                store=None if settings.redis else store,
            )
        intake = make_intake(settings, self.hub)
        feed = FanOut(self.hub, self._clock, settings.batch_window, intake=intake)
        decides = authenticator_for(settings, self._authenticator)
        self.factory = make_factory(self._of_one(settings), feed, decides, self._clock)
        return InProcess(self.factory, intake, self._authenticator)

    def _make_auctions(
        self, settings: Settings, store: IAuctionStore | None, tokens: Tokens | None
    ) -> AuctionServing | None:
        if store is None:
            return None
        if isinstance(self.serving, WorkerPool):
            from tickstorm.workers.pooled_house import PooledHouse

            return PooledHouse(store, self.hub.publish, self.serving.read_bidders)
        from tickstorm.auction.house import AuctionHouse

        return AuctionHouse(
            store,
            self._of_one(settings),
            self.hub.publish,
            self._authenticator,
            self._clock,
            tokens=tokens,
            login_failures=self.factory.login_failures if self.factory is not None else None,
        )

    def _of_one(self, settings: Settings) -> Settings:
        return replace(settings, max_connections=self.shares[0])

    def _file_limit(self) -> int:
        # Subscribers and bidders have half of the open files of a process each.
        return open_files.limit() // self._parts_of_files


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
