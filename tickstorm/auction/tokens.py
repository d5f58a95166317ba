"""Tokens: who a bidder is, for whom it may bid, and until when, as somebody has signed it. Pure.

A token is a JSON Web Token (RFC 7519). Which algorithm has signed it is said by the key alone, and
never by the token. No error has anything in it that a token says.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeGuard

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.types import Options

from tickstorm.auction.permits import MAX_USER_ID
from tickstorm.errors import InvalidAuth

LEEWAY = 5.0
"""Seconds by which the clock of whoever signs may differ."""
MIN_SECRET_BYTES = 32
"""What a secret for HS256 has at least (RFC 7518, 3.2)."""
MAX_NAME_BYTES = 255

_MAX_TIME = 253_402_300_799
"""The end of the year 9999. A time in milliseconds, which would be for ever, is beyond it."""

# PyJWT takes the system's time, and here it is passed in: so the times are checked below, by the
# same rules, and all else is left to PyJWT.
_CHECKS: Options = {
    "require": ["exp", "user_id"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,  # likewise: it has to be a name
}


@dataclass(frozen=True, slots=True)
class Key:
    """What signatures are verified with.

    Attributes:
        algorithm: the only one that a token may be signed by.
        material: the public key, or the secret.
    """

    algorithm: Literal["EdDSA", "HS256"]
    material: Ed25519PublicKey | bytes = field(repr=False)


class Token(NamedTuple):
    """What a token says that is right.

    Attributes:
        name: of who has it, 1 to 255 bytes in UTF-8, all of it printable.
        users: whom it may bid for.
        ends_at: when it is right no more, in Unix seconds.
    """

    name: str
    users: frozenset[int]
    ends_at: float


def read_key(contents: bytes) -> Key:
    """Return the key in a file: of Ed25519, public and in PEM, or a secret in one line of text.

    Args:
        contents: of the file. The end of the secret's line is no part of it.

    Raises:
        ValueError: why there is none, to stand behind the file's name.
    """
    if b"PRIVATE KEY-----" in contents:
        raise ValueError("has a private key: keep that where tokens are made, and give the public")
    if b"-----BEGIN" in contents:
        return Key("EdDSA", _public_key(contents))
    return Key("HS256", _secret(contents))


def _public_key(pem: bytes) -> Ed25519PublicKey:
    key: object = None
    with suppress(ValueError, UnsupportedAlgorithm):
        key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("is not a public key of Ed25519")  # noqa: TRY004 - it is the file
    return key


def _secret(contents: bytes) -> bytes:
    secret = contents.removesuffix(b"\n").removesuffix(b"\r")
    if not _is_text(secret):
        raise ValueError("is neither a public key in PEM nor a secret in one line of text")
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"has a secret of {len(secret)} bytes, and {MIN_SECRET_BYTES} are needed")
    try:
        jwt.encode({}, secret, "HS256")
    except jwt.InvalidKeyError:
        raise ValueError("has no secret but a key in another form than PEM") from None
    return secret


def _is_text(line: bytes) -> bool:
    try:
        return line.decode().isprintable()
    except UnicodeDecodeError:
        return False


class Tokens:
    """Verifies tokens.

    Args:
        key: of whoever signs them.
        audience: whom they have to be for; None for tokens that do not say.
    """

    def __init__(self, key: Key, audience: str | None = None) -> None:
        self._key = key
        self._audience = audience

    def verify(self, text: str, now: float) -> Token:
        """Return what a token says.

        Args:
            text: the token.
            now: the present, in Unix seconds.

        Raises:
            InvalidAuth: it is none, or not one of this key, or not for this audience, or not now.
        """
        claims = self._claims(text)
        ends_at = _end(claims, now)
        _check_begun(claims, now)
        users = _users(claims)
        return Token(_name(claims, users), frozenset(users), ends_at)

    def _claims(self, text: str) -> dict[str, Any]:
        key = self._key
        try:
            return jwt.decode(text, key.material, [key.algorithm], _CHECKS, audience=self._audience)
        except jwt.MissingRequiredClaimError as error:
            reason = f"the token has no {error.claim}"
        except jwt.InvalidAudienceError:
            reason = "the token is for another audience"
        except (jwt.PyJWTError, ValueError):
            reason = "the token, or its signature, is wrong"
        raise InvalidAuth(reason)


def _end(claims: dict[str, Any], now: float) -> float:
    end = _time(claims, "exp") + LEEWAY
    if end <= now:
        raise InvalidAuth("the token has expired")
    return end


def _check_begun(claims: dict[str, Any], now: float) -> None:
    for name in ("nbf", "iat"):
        if name in claims and _time(claims, name) > now + LEEWAY:
            raise InvalidAuth("the token is not valid yet")


def _time(claims: dict[str, Any], name: str) -> float:
    time = claims[name]
    if type(time) not in (int, float) or not 0 <= time <= _MAX_TIME:
        raise InvalidAuth(f"the token's {name} is not a number of seconds since 1970")
    return float(time)


def _users(claims: dict[str, Any]) -> list[int]:
    said = claims["user_id"]
    users = said if isinstance(said, list) else [said]
    if not users or not all(type(user) is int and 1 <= user <= MAX_USER_ID for user in users):
        raise InvalidAuth(f"the token's user_id is not one, or a list, of 1 to {MAX_USER_ID}")
    return users


def _name(claims: dict[str, Any], users: list[int]) -> str:
    name = claims.get("sub", ",".join(map(str, users)))
    if _is_name(name):
        return name
    raise InvalidAuth(f"the token's sub is not a name of 1 to {MAX_NAME_BYTES} bytes")


def _is_name(name: object) -> TypeGuard[str]:
    # JSON can say what cannot be encoded, but nothing of that is printable.
    if not isinstance(name, str) or not name.isprintable():
        return False
    return 1 <= len(name.encode()) <= MAX_NAME_BYTES
