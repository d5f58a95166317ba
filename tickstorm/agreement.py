"""What settings must be together: a table of rules, and the one line that says which is broken."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tickstorm.errors import ConfigError
from tickstorm.frames import OVERHEAD_BYTES
from tickstorm.kinds import shortened, toml
from tickstorm.ring import ENTRY_BYTES
from tickstorm.settings import SETTINGS, Settings

_SECRETS = {setting.name for setting in SETTINGS if setting.secret}
_KEPT_BESIDE = OVERHEAD_BYTES + ENTRY_BYTES
"""What a batch that is kept takes beside its payload."""


class _Rule(NamedTuple):
    """What two settings must be together.

    Attributes:
        name: the setting that is named first when they are not.
        holds: whether they are.
        needs: what stands between their names then.
        other: the second setting.
    """

    name: str
    holds: Callable[[Settings], bool]
    needs: str
    other: str


_RULES = (
    _Rule(
        "heartbeat_timeout",
        lambda s: s.heartbeat_timeout > s.heartbeat_interval,
        "must be longer than",
        "heartbeat_interval",
    ),
    _Rule(
        "max_write_queue_bytes",
        lambda s: s.max_write_queue_bytes >= s.max_message_bytes + OVERHEAD_BYTES,
        f"must be at least {OVERHEAD_BYTES} more than",
        "max_message_bytes",
    ),
    _Rule(
        "soft_write_queue_bytes",
        lambda s: s.soft_write_queue_bytes <= s.max_write_queue_bytes,
        "must be at most",
        "max_write_queue_bytes",
    ),
    _Rule(
        "history_bytes",
        lambda s: (
            not (s.history and s.history_bytes)
            or s.history_bytes >= s.max_message_bytes + _KEPT_BESIDE
        ),
        f"is neither 0 nor at least {_KEPT_BESIDE} more than",
        "max_message_bytes",
    ),
    _Rule("username", lambda s: bool(s.password) or not s.username, "needs", "password"),
    _Rule("password", lambda s: bool(s.username) or not s.password, "needs", "username"),
    _Rule("tls_cert", lambda s: bool(s.tls_key) or not s.tls_cert, "needs", "tls_key"),
    _Rule("tls_key", lambda s: bool(s.tls_cert) or not s.tls_key, "needs", "tls_cert"),
    _Rule("tls_enabled", lambda s: bool(s.tls_cert) or not s.tls_enabled, "needs", "tls_cert"),
    _Rule(
        "tls_client_auth",
        lambda s: bool(s.tls_ca) or s.tls_client_auth == "none",
        "needs",
        "tls_ca",
    ),
    _Rule(
        "tls_ca",
        lambda s: "tls_client_auth" in s.origins or not s.tls_ca,
        "needs a choice of",
        "tls_client_auth",
    ),
    _Rule("redis", lambda s: bool(s.auction) or not s.redis, "needs", "auction"),
    _Rule(
        "port",
        lambda s: bool(s.tls_cert) or not s.ports_without_certificate,
        "needs a cert= of its own, or",
        "tls_cert",
    ),
    _Rule(
        "auction",
        lambda s: bool(s.tls_cert) or not s.auction_without_certificate,
        "needs a cert= of its own, or",
        "tls_cert",
    ),
    _Rule(
        "auction_token_audience",
        lambda s: bool(s.auction_token_key) or not s.auction_token_audience,
        "needs",
        "auction_token_key",
    ),
)
"""Checked in this order when each setting is right by itself."""

_USERS = (
    _Rule(
        "publishers",
        lambda s: not s.username or all(right.user == s.username for right in s.publishers),
        "has somebody who cannot log in: there is only",
        "username",
    ),
    _Rule(
        "auction_users",
        lambda s: not s.username or all(right.name == s.username for right in s.auction_users),
        "has somebody who cannot log in: there is only",
        "username",
    ),
)
"""Checked where nobody logs in but the user of the settings."""


def check_together(settings: Settings) -> None:
    """Check settings that depend on one another.

    Raises:
        ConfigError: two of them do not agree.
    """
    _check(settings, _RULES)


def check_users(settings: Settings) -> None:
    """Check who may publish and bid, where nobody logs in but the user of the settings.

    Raises:
        ConfigError: it is somebody else, too.
    """
    _check(settings, _USERS)


def _check(settings: Settings, rules: Iterable[_Rule]) -> None:
    for name, holds, needs, other in rules:
        if not holds(settings):
            raise ConfigError(
                f"{settings.origins.get(name, name)}: {_shown(settings, name)} {needs} {other}, "
                f"which is {_shown(settings, other)} ({settings.origins.get(other, 'the default')})"
            )


def _shown(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if name in _SECRETS and value:
        return "its value, not shown here,"
    return shortened(toml(value)) if value != "" else "not set"
