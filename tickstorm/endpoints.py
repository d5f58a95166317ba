"""What to listen on, from a short description: our TLS, or any kind of endpoint of Twisted's.

A description that cannot be used is one ConfigError that names the part at fault.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from OpenSSL.SSL import TLS1_2_VERSION, TLS1_3_VERSION
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IReactorCore, IStreamServerEndpoint
from twisted.protocols.haproxy import proxyEndpoint

from tickstorm.descriptions import split_description
from tickstorm.errors import ConfigError
from tickstorm.tls import Read, TLSServerEndpoint, TLSSettings, read_file

DEFAULT_BACKLOG = 4096
"""Connections that may wait to be accepted: after a cut, everybody comes back at once."""
MAX_BACKLOG = 2**31 - 1
"""The kernel takes no larger number, and has a lower limit of its own."""

_Choice = TypeVar("_Choice")
_OURS = re.compile(r"(haproxy:)?tls:(?=\d)")
_KEYWORDS = ("interface", "backlog", "cert", "key", "clientCA", "clientAuth", "min")
_MINIMUM = {"1.2": TLS1_2_VERSION, "1.3": TLS1_3_VERSION}
_CLIENT_AUTH = {"require": True, "optional": False}
_BACKLOG_AT = {"tcp": 3, "tcp6": 2, "unix": 3, "ssl": 6, "tls": 3}
"""Where Twisted takes the backlog if it stands without its name; its default of 50 is too few."""


def server_endpoint(
    reactor: IReactorCore, description: str, read: Read = read_file
) -> IStreamServerEndpoint:
    r"""Return what a description says, ready to listen.

    `tls:` and a port are ours: `tls:8080:cert=PATH:key=PATH`, with `interface=`, `backlog=`,
    `clientCA=PATH`, `clientAuth=require` (as it is with a clientCA) or `optional`, and `min=1.3` or
    `1.2`. `haproxy:` before it expects the PROXY header before TLS begins. Anything else is for
    `twisted.internet.endpoints.serverFromString`. A colon within a value is written `\:`.

    Args:
        reactor: accepts the connections.
        description: as above.
        read: reads the files that `tls:` names.

    Raises:
        ConfigError: the message says which part of the description cannot be used, and why.
    """
    if "-----BEGIN" in description:
        raise ConfigError("a description of what to listen on names files; it has one's contents")
    try:
        arguments, keywords = _parse(description)
        ours = _OURS.match(description)
        if ours is None:
            return _endpoint_of_twisted(reactor, description, arguments, keywords)
        proxied = ours[1] is not None
        return tls_endpoint(reactor, arguments[1 + proxied :], keywords, proxied=proxied, read=read)
    except ConfigError as error:
        raise ConfigError(f"{description!r}: {error}") from None


def tls_endpoint(
    reactor: IReactorCore,
    arguments: Sequence[str],
    keywords: Mapping[str, str],
    *,
    proxied: bool = False,
    read: Read = read_file,
) -> TLSServerEndpoint:
    """Return the endpoint that the parts of a `tls:` description describe.

    Args:
        reactor: accepts the connections.
        arguments: the parts without a name: the port alone.
        keywords: the others, by name.
        proxied: whether the PROXY protocol comes before TLS.
        read: reads the files.

    Raises:
        ConfigError: the message begins with the part that cannot be used.
    """
    if len(arguments) != 1:
        raise ConfigError(
            rf"{arguments[1:]} are without a name; a colon within a value is written \:"
            if arguments
            else "the port is missing"
        )
    for keyword in sorted(keywords.keys() - set(_KEYWORDS)):
        raise ConfigError(f"{keyword}: is unknown; there are {', '.join(_KEYWORDS)}")
    accepting: IStreamServerEndpoint = TCP4ServerEndpoint(  # listens on IPv6 interfaces too
        reactor,
        _number("port", arguments[0], 0, 65535),
        _number("backlog", keywords.get("backlog", str(DEFAULT_BACKLOG)), 1, MAX_BACKLOG),
        keywords.get("interface", ""),
    )
    if proxied:
        accepting = proxyEndpoint(accepting)
    return TLSServerEndpoint(reactor, accepting, _tls_settings(keywords), read)


def _tls_settings(keywords: Mapping[str, str]) -> TLSSettings:
    for keyword in ("cert", "key"):
        if keyword not in keywords:
            raise ConfigError(f"{keyword}: is missing: the path of a PEM file")
    if "clientAuth" in keywords and "clientCA" not in keywords:
        raise ConfigError("clientAuth: needs clientCA, the certificates that it is judged by")
    return TLSSettings(
        keywords["cert"],
        keywords["key"],
        keywords.get("clientCA"),
        _choice("clientAuth", keywords.get("clientAuth", "require"), _CLIENT_AUTH),
        _choice("min", keywords.get("min", "1.3"), _MINIMUM),
    )


def _endpoint_of_twisted(
    reactor: IReactorCore,
    description: str,
    arguments: Sequence[str],
    keywords: Mapping[str, str],
) -> IStreamServerEndpoint:
    if not arguments:
        raise ConfigError("it does not say what kind of endpoint it is")
    if arguments[0] == "haproxy":
        arguments = arguments[1:]
    kind = arguments[0] if arguments else ""
    if kind in ("tcp", "tcp6"):
        _number("port", keywords.get("port") or "".join(arguments[1:2]), 0, 65535)
    if "backlog" in keywords:
        _number("backlog", keywords["backlog"], 1, MAX_BACKLOG)
    elif len(arguments) <= _BACKLOG_AT.get(kind, -1):
        description += f":backlog={DEFAULT_BACKLOG}"
    try:
        return cast(IStreamServerEndpoint, serverFromString(reactor, description))
    except ConfigError:
        raise
    except Exception as error:  # a kind's parser, which may be anybody's, raises what it likes
        raise ConfigError(_complaint(error)) from error


def _parse(description: str) -> tuple[list[str], dict[str, str]]:
    try:
        arguments, named = split_description(description)
    except ValueError:
        raise ConfigError("the backslash at its end stands before nothing") from None
    keywords = dict(named)
    for keyword in keywords:
        if sum(keyword == name for name, _ in named) > 1:
            raise ConfigError(f"{keyword}: is there twice")
    return arguments, keywords


def _number(keyword: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
        raise ConfigError(f"{keyword}: {text!r} is not {least} to {most}")
    return int(text)


def _choice(keyword: str, text: str, choices: Mapping[str, _Choice]) -> _Choice:
    if text not in choices:
        raise ConfigError(f"{keyword}: {text!r} is not {' or '.join(choices)}")
    return choices[text]


def _complaint(error: Exception) -> str:
    if isinstance(error, TypeError):  # says which of a private function's arguments is wrong
        text = str(error).partition("() ")[2] or str(error)
    elif isinstance(error, OSError):
        text = f"cannot open {error.filename!r}: {error.strerror}"
    elif isinstance(error, LookupError):
        text = "what it names is not there" + (f": {error}" if isinstance(error, KeyError) else "")
    else:
        text = str(error)
    return " ".join(text.split())
