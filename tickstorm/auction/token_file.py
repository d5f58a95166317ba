"""The key of tokens, from its file as it is now. What uses a key is loaded with the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickstorm.errors import ConfigError
from tickstorm.settings import Settings
from tickstorm.tls import Read, read_file

if TYPE_CHECKING:
    from tickstorm.auction.tokens import Tokens

_KEY = "auction_token_key"


def open_tokens(settings: Settings, read: Read = read_file) -> Tokens | None:
    """Return what verifies the tokens of bidders; None if there is no key, or there are no bidders.

    Args:
        settings: which key, and for whom tokens have to be.
        read: reads it.

    Raises:
        ConfigError: it cannot be read or used, or PyJWT is not installed.
    """
    path = settings.auction_token_key
    if not path or not settings.auction:
        return None
    try:
        return _tokens(read(path), settings.auction_token_audience)
    except ModuleNotFoundError:
        reason = "needs PyJWT, which pip install 'tickstorm[tokens]' brings"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except ValueError as error:
        reason = str(error)
    raise ConfigError(f"{settings.origins.get(_KEY, _KEY)}: {path!r} {reason}")


def _tokens(contents: bytes, audience: str) -> Tokens:
    from tickstorm.auction.tokens import Tokens, read_key

    return Tokens(read_key(contents), audience or None)
