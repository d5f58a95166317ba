"""The store that a server's settings ask for: in memory, or in Redis."""

from typing import Any

from tickstorm.auction.bid_ids import BidIdLimits
from tickstorm.auction.book import Book, BookLimits
from tickstorm.auction.interfaces import IAuctionStore
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.redis_limits import RedisLimits
from tickstorm.auction.redis_opening import redis_store
from tickstorm.auction.redis_url import parse_redis_url
from tickstorm.clock import Clock
from tickstorm.errors import ConfigError
from tickstorm.settings import Settings


def make_store(settings: Settings, reactor: Any, clock: Clock) -> IAuctionStore:
    """Return a store that is to be started.

    Args:
        settings: say which.
        reactor: connects to Redis.
        clock: the times.

    Raises:
        ConfigError: the URL of Redis, or a file that it names, cannot be used, or what speaks to
            Redis is not installed.
    """
    if not settings.redis:
        return MemoryStore(Book(_book_limits(settings)), clock.wall_ms)
    try:
        url = parse_redis_url(settings.redis)
        return redis_store(reactor, url, clock, _redis_limits(settings))
    except ConfigError as error:
        raise ConfigError(f"{settings.origins.get('redis', 'redis')}: {error}") from error
    except ImportError as error:
        raise ConfigError(
            f"redis needs {error.name}, which is not installed: pip install 'tickstorm[redis]'"
        ) from error


def _keep_ms(settings: Settings) -> int:
    return round(settings.auction_bid_memory * 1000)


def _book_limits(settings: Settings) -> BookLimits:
    return BookLimits(settings.auction_max, bid_ids=BidIdLimits(_keep_ms(settings)))


def _redis_limits(settings: Settings) -> RedisLimits:
    return RedisLimits(
        settings.redis_timeout, _keep_ms(settings), settings.redis_record, settings.redis_replicas
    )
