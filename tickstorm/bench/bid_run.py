"""A whole bench of bids: the trial, the plan, the processes, and the report."""

from __future__ import annotations

import os
import time
from math import inf
from typing import TYPE_CHECKING

from tickstorm.auction.wire import auth_frame
from tickstorm.bench.bid_report import BidReport, BidsAsked
from tickstorm.bench.bid_trial import try_bids
from tickstorm.bench.jobs import Bidding
from tickstorm.bench.login import Requests
from tickstorm.bench.measurement import Watcher
from tickstorm.bench.run import Size, blank_job, put, source_of, tcp_address
from tickstorm.errors import ConfigError

if TYPE_CHECKING:
    from tickstorm.commands.bid_options import BidTarget


def run_bid_bench(target: BidTarget, size: Size, watcher: Watcher) -> BidReport:
    """Measure a server of auctions.

    Args:
        target: what to bid.
        size: how much of it.
        watcher: is shown how it goes.

    Raises:
        ConfigError: the address cannot be used, an auction takes no bids, or this machine does not
            allow what is asked for.
        TickstormError: the server refuses even one login.
        OSError: it cannot be reached.
    """
    address = tcp_address(target.address)
    hello, bidding = _hello(target.login), _bidding(target, size.connections)
    trial, level = try_bids(address, hello, bidding, source_of(size))
    job = blank_job(address, trial, Requests(hello, b""))
    loaded = put(job._replace(bidding=bidding._replace(level=level)), trial, size, watcher)
    return BidReport(_asked(target, size, loaded.processes, local=trial.local), loaded.outcome)


def _hello(login: str) -> bytes:
    try:
        return auth_frame(login) if login else b""
    except ValueError as error:
        raise ConfigError(f"the name and the password are too long: {error}") from error


def _bidding(target: BidTarget, connections: int) -> Bidding:
    per_second = inf if target.per_second is None else target.per_second / connections
    # By the clock, the ids of this measurement are those of no other.
    first_bid_id = time.time_ns() if target.bid_ids else 0
    return Bidding(target.auctions, target.users, target.pipeline, per_second, 1, first_bid_id)


def _asked(target: BidTarget, size: Size, processes: int, *, local: bool) -> BidsAsked:
    return BidsAsked(
        target.address,
        len(target.auctions),
        target.pipeline,
        target.per_second,
        target.bid_ids,
        size.connections,
        processes,
        local,
        os.cpu_count() or 1,
    )
