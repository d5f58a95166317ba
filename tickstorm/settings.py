"""All there is to set: each field of `Settings` carries its default and everything else about it.

What a value may be, its names in the environment and its line of documentation stand beside the
default, and `SETTINGS` is the same as a table. Parsing, printing and checking read nothing else.
"""

from dataclasses import dataclass

from tickstorm.auction.bid_ids import BidIdLimits
from tickstorm.auction.book import BookLimits
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.permits import BidRight
from tickstorm.auction.redis_limits import RedisLimits
from tickstorm.declarations import setting, table_of
from tickstorm.descriptions import is_local, lacks_certificate
from tickstorm.kinds import (
    AUCTION_PORTS,
    BID_RIGHTS,
    FLAG,
    PATH,
    REDIS_URL,
    duration,
    matching,
    whole,
)
from tickstorm.stream_settings import StreamSettings

PACE = PaceLimits()


@dataclass(frozen=True, slots=True)
class Settings(StreamSettings):
    """What a server is told: the settings of the stream, and those of its auctions."""

    auction: tuple[str, ...] = setting(
        (),
        AUCTION_PORTS,
        "Where bidders connect: Twisted's endpoints; none: there are no auctions.",
    )
    auction_auth: bool = setting(
        True, FLAG, "Whether bidders log in; if not, whoever can connect may bid for anybody."
    )
    auction_users: tuple[BidRight, ...] = setting(
        (), BID_RIGHTS, "Which users a login may bid for: none unless set."
    )
    auction_token_key: str = setting(
        "",
        PATH,
        "The key that the tokens of bidders are verified with: a public one, PEM, or a secret in "
        "one line; none: there are no tokens.",
    )
    auction_token_audience: str = setting(
        "",
        matching(r"\S{0,128}", "at most 128 characters without blanks"),
        "Whom tokens have to be for, by their aud; none: they do not say.",
    )
    auction_rate_per_user: int = setting(
        PACE.per_user, whole(0, 1_000_000_000, "bids a second"), "Bids of one user; 0: no limit."
    )
    auction_rate_per_address: int = setting(
        PACE.per_address,
        whole(0, 1_000_000_000, "bids a second"),
        "Bids from one address, for all users together; 0: no limit.",
    )
    auction_pipeline: int = setting(
        512,
        whole(1, 800, "bids"),
        "What one connection may have sent without its results; beyond it, it is not read.",
    )
    auction_in_flight: int = setting(
        5_000,
        whole(1, 1_000_000, "bids"),
        "What all connections together may have that is not decided; beyond it none is read.",
    )
    auction_batch: int = setting(
        512, whole(1, 10_000, "bids"), "What is decided of one auction at a time."
    )
    auction_watched: int = setting(
        100, whole(0, 1_000, "auctions"), "What one connection may watch at a time."
    )
    auction_max: int = setting(
        BookLimits().auctions,
        whole(1, 1_000_000, "auctions"),
        "What is kept; for one more, that which closed first is given up.",
    )
    auction_bid_memory: float = setting(
        BidIdLimits().keep_ms / 1000,
        duration(1, 86_400),
        "How long the bid_id of a bid is remembered, at least.",
    )
    redis: str = setting(
        "",
        REDIS_URL,
        "Where the auctions are kept; none: in memory. Better set in the environment, if it has a "
        "password.",
        secret=True,
    )
    redis_timeout: float = setting(
        RedisLimits().timeout,
        duration(0.05, 60),
        "How long Redis may take to answer; then it counts as away.",
    )
    redis_replicas: int = setting(
        RedisLimits().replicas,
        whole(0, 16, "replicas"),
        "How many replicas of Redis must have a bid before its result is told.",
    )
    redis_record: int = setting(
        RedisLimits().record,
        whole(0, 1_000_000_000, "bids"),
        "How much of the record of each auction Redis keeps; 0: all of it.",
    )

    @property
    def auction_descriptions(self) -> tuple[str, ...]:
        """`auction`, completed likewise."""
        return tuple(map(self.completed, self.auction))

    @property
    def exposed_ports(self) -> tuple[str, ...]:
        """Those that ask for a login, and that others than this machine can reach."""
        ports = (*self.port, *self.auction) if self.auction_auth else self.port
        return tuple(port for port in ports if not is_local(port))

    @property
    def auction_without_certificate(self) -> tuple[str, ...]:
        """Those of `auction` likewise."""
        return tuple(port for port in self.auction if lacks_certificate(port))


SETTINGS = table_of(Settings)
"""The table: one row a setting, in the order of `Settings`."""
