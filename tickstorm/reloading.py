"""What a server that runs takes of settings that are read anew: a table, and the comparison. Pure.

It is all or nothing: what comes out is valid as a whole, or an error says why it is not.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, unique
from typing import NamedTuple

from tickstorm.agreement import check_together
from tickstorm.declarations import Origin
from tickstorm.settings import SETTINGS, Settings


@unique
class Holds(Enum):
    """From when a setting that was changed holds."""

    AT_ONCE = "at once"
    CONNECTION = "for connections to come"
    LOGIN = "from the next login on"
    BEHIND = "for who falls behind from then on"
    RESTART = "after a restart"


HOLDS: Mapping[str, Holds] = {
    "port": Holds.RESTART,
    "http": Holds.RESTART,
    "source": Holds.RESTART,
    "delivery": Holds.RESTART,
    "workers": Holds.RESTART,
    "log_format": Holds.RESTART,
    "log_level": Holds.AT_ONCE,
    "username": Holds.LOGIN,
    "password": Holds.LOGIN,
    "publishers": Holds.LOGIN,
    "publish_rate": Holds.AT_ONCE,
    "history": Holds.RESTART,
    "history_bytes": Holds.RESTART,
    "history_stream_bytes": Holds.RESTART,
    "max_intervals": Holds.RESTART,
    "max_connections": Holds.CONNECTION,
    "max_connections_per_address": Holds.CONNECTION,
    "allow": Holds.CONNECTION,
    "block": Holds.CONNECTION,
    "max_login_failures": Holds.LOGIN,
    "login_failure_window": Holds.LOGIN,
    "auth_timeout": Holds.CONNECTION,
    "heartbeat_interval": Holds.CONNECTION,
    "heartbeat_timeout": Holds.CONNECTION,
    "batch_window": Holds.RESTART,
    "max_message_bytes": Holds.RESTART,
    "max_symbols": Holds.RESTART,
    "write_deadline": Holds.BEHIND,
    "lossy_write_deadline": Holds.BEHIND,
    "max_write_queue": Holds.BEHIND,
    "max_write_queue_bytes": Holds.BEHIND,
    "soft_write_queue_bytes": Holds.BEHIND,
    "max_backlog_bytes": Holds.AT_ONCE,
    "tcp_keepalive": Holds.CONNECTION,
    "tcp_read_buffer_bytes": Holds.CONNECTION,
    "tcp_write_buffer_bytes": Holds.CONNECTION,
    "tcp_unsent_bytes": Holds.CONNECTION,
    "tls_enabled": Holds.RESTART,
    "tls_cert": Holds.RESTART,
    "tls_key": Holds.RESTART,
    "tls_ca": Holds.RESTART,
    "tls_client_auth": Holds.RESTART,
    "tls_min_version": Holds.RESTART,
    "feed_timeout": Holds.AT_ONCE,
    "drain_delay": Holds.AT_ONCE,
    "drain_timeout": Holds.AT_ONCE,
    "auction": Holds.RESTART,
    "auction_auth": Holds.CONNECTION,
    "auction_users": Holds.LOGIN,
    "auction_token_key": Holds.LOGIN,
    "auction_token_audience": Holds.LOGIN,
    "auction_rate_per_user": Holds.AT_ONCE,
    "auction_rate_per_address": Holds.AT_ONCE,
    "auction_pipeline": Holds.CONNECTION,
    "auction_in_flight": Holds.RESTART,
    "auction_batch": Holds.RESTART,
    "auction_watched": Holds.CONNECTION,
    "auction_max": Holds.RESTART,
    "auction_bid_memory": Holds.RESTART,
    "redis": Holds.RESTART,
    "redis_timeout": Holds.RESTART,
    "redis_replicas": Holds.RESTART,
    "redis_record": Holds.RESTART,
}
"""Every setting. One that is not here could be changed without anybody hearing of it."""


class Change(NamedTuple):
    """What comes of settings that were read anew.

    Attributes:
        settings: what the server is to run with from now on.
        taken: the names of the settings that are others in it than before.
        left: the names of those that are others only after a restart.
    """

    settings: Settings
    taken: tuple[str, ...]
    left: tuple[str, ...]


def compare(running: Settings, read: Settings) -> Change:
    """Return what a server that runs takes of settings that were read anew.

    Args:
        running: what it runs with.
        read: what is there now.

    Raises:
        ConfigError: what it would take does not go together with what it has to keep.
    """
    changed = [
        setting.name
        for setting in SETTINGS
        if getattr(read, setting.name) != getattr(running, setting.name)
    ]
    left = tuple(name for name in changed if HOLDS[name] is Holds.RESTART)
    settings = replace(
        read,
        **{name: getattr(running, name) for name in left},
        origins=_origins(running, read),
    )
    if left:  # else they are as they were read, and whoever has read them has checked them
        check_together(settings)
    return Change(settings, tuple(name for name in changed if name not in left), left)


def _origins(running: Settings, read: Settings) -> dict[str, Origin]:
    return {
        name: origin
        for settings, restart in ((running, True), (read, False))
        for name, origin in settings.origins.items()
        if (HOLDS[name] is Holds.RESTART) is restart
    }
