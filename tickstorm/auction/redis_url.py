"""Where Redis is, and how to be let in: one URL. Pure.

No password is ever in an error, nor in what a RedisURL prints as.
"""

import re
from enum import Enum, unique
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from tickstorm.auction.redis_replies import Address
from tickstorm.errors import ConfigError

REDIS_PORT = 6379
SENTINEL_PORT = 26379
MAX_DATABASE = 2**31 - 1

_URL = re.compile(
    r"redis(?P<tls>s)?(?:\+(?P<kind>sentinel|cluster))?://"
    r"(?:(?P<login>[^@/?]*)@)?(?P<hosts>[^/?@]+)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_FILES = ("ca", "cert", "key")


@unique
class Kind(Enum):
    """How the servers of a URL belong together."""

    ONE = "one"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Login(NamedTuple):
    """Who this is.

    Attributes:
        user: empty for Redis's own default user.
        password: empty for no login at all.
    """

    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


class TLSFiles(NamedTuple):
    """What TLS is verified by. All are paths of PEM files.

    Attributes:
        ca: the certificates that the server's must be signed by; empty for the system's own.
        cert: this side's certificate; empty for none.
        key: its private key; empty if it is in the same file.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""


class RedisURL(NamedTuple):
    """What a URL says.

    Attributes:
        kind: how the servers belong together.
        addresses: of the server; of some of the Sentinels, or of some of the nodes of the Cluster.
        login: to Redis itself.
        database: its number; a Cluster has only 0.
        master: what the Sentinels call it; empty without them.
        tls: None for none.
    """

    kind: Kind
    addresses: tuple[Address, ...]
    login: Login = Login()
    database: int = 0
    master: str = ""
    tls: TLSFiles | None = None


def parse_redis_url(text: str) -> RedisURL:
    """Read a URL.

    `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, and `rediss://` for TLS, which
    `?ca=PATH&cert=PATH&key=PATH` may follow. `redis+sentinel://HOST,HOST/MASTER[/DATABASE]` and
    `redis+cluster://HOST,HOST` likewise. What is special in a URL is written as % and two digits.

    Raises:
        ConfigError: it is none; the message says which part is wrong.
    """
    match = _URL.fullmatch(text)
    if match is None:
        raise ConfigError(
            "the URL of Redis is none of redis://HOST, redis+sentinel://HOST,HOST/MASTER and "
            "redis+cluster://HOST,HOST"
        )
    kind = Kind(match["kind"] or "one")
    addresses = _addresses(match["hosts"], SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT)
    if kind is Kind.ONE and len(addresses) > 1:
        raise ConfigError("the URL of Redis has more than one host: is it a Cluster's?")
    master, database = _path(kind, match["path"] or "")
    files = _files(match["query"] or "")
    if files and not match["tls"]:
        raise ConfigError("the URL of Redis names certificates: rediss:// would use them")
    tls = TLSFiles(**files) if match["tls"] else None
    return RedisURL(kind, addresses, _login(match["login"] or ""), database, master, tls)


def _addresses(text: str, port: int) -> tuple[Address, ...]:
    return tuple(_address(each, port) for each in text.split(","))


def _address(text: str, port: int) -> Address:
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match["port"] or port) < 65536:
        raise ConfigError(f"the URL of Redis: {text!r} is not HOST or HOST:PORT")
    return Address(match["host"].strip("[]"), int(match["port"] or port))


def _login(text: str) -> Login:
    user, colon, password = text.partition(":")
    if text and not (colon and password):
        raise ConfigError("the URL of Redis has no password between ':' and '@'")
    return Login(unquote(user), unquote(password))


def _path(kind: Kind, path: str) -> tuple[str, int]:
    parts = [unquote(part) for part in path.split("/")[1:] if part]
    master = ""
    if kind is Kind.SENTINEL:
        if not parts:
            raise ConfigError("the URL of Redis does not name the master that Sentinel knows")
        master = parts.pop(0)
    if len(parts) > 1:
        raise ConfigError(f"the URL of Redis: {parts[-1]!r} is one part too many")
    return master, _database(kind, parts[0] if parts else "0")


def _database(kind: Kind, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > MAX_DATABASE:
        raise ConfigError(f"the URL of Redis: {text!r} is not the number of a database")
    if kind is Kind.CLUSTER and int(text):
        raise ConfigError("the URL of Redis: a Cluster has no database but 0")
    return int(text)


def _files(query: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _FILES or name in files or not value:
            raise ConfigError(f"the URL of Redis: ?{name}= is not one of ca, cert, key, once")
        files[name] = value
    return files
