"""Where a server is: Twisted's endpoint strings, and the short forms, as values.

A string means the same to a Twisted and an asyncio application; of the latter's, `parse_address`
knows `tcp:`, `tls:` and `unix:`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from tickstorm.errors import ConfigError

_SHORT = re.compile(r"(?P<host>[^:=\\\[\]]+|\[[0-9A-Fa-f:.%\w]+\]):(?P<port>[0-9]+)")
_PREFIXES = frozenset({"tcp", "tcp6", "tls", "ssl", "unix"})
_FIELD = re.compile(r"(?:[^\\:]|\\.)*", re.DOTALL)
_NAMED = re.compile(r"(?P<name>[A-Za-z]+)=(?P<value>.*)", re.DOTALL)
_TLS_FIELDS = frozenset({"trustRoots", "certificate", "privateKey"})

Place = str | tuple[str, int]
"""An endpoint string, "HOST:PORT", "[IPv6]:PORT", or (host, port)."""


class TCPAddress(NamedTuple):
    """A host, by name or IP address, and a port."""

    host: str
    port: int


class TLSAddress(NamedTuple):
    """The same behind TLS: the host is also the name that the certificate must bear.

    Attributes:
        trust_roots: a file of PEM certificates or a directory of such files named *.pem; empty for
            the system's own.
        certificate: a PEM file that shows who this side is; empty for none.
        private_key: the PEM file of its key; empty if `certificate` has it.
    """

    host: str
    port: int
    trust_roots: str = ""
    certificate: str = ""
    private_key: str = ""


class UnixAddress(NamedTuple):
    """A Unix socket."""

    path: str


Address = TCPAddress | TLSAddress | UnixAddress


def endpoint_string(place: Place) -> str:
    """Return the endpoint string for a place; what is one already is returned as it is.

    Raises:
        ConfigError: its port is not 1 to 65535, which a connection would be tried to for ever.
    """
    if isinstance(place, tuple):
        host, port = place
        return f"tcp:host={_quoted(host)}:port={_port(f'{host}:{port}', str(port))}"
    short = _SHORT.fullmatch(place)
    if short is None or short["host"] in _PREFIXES:
        _check_number(place)
        return place
    port = _port(place, short["port"])
    return f"tcp:host={_quoted(short['host'].strip('[]'))}:port={port}"


def parse_address(place: Place) -> Address:
    """Read a place.

    Raises:
        ConfigError: it is none of tcp:, tls: and unix:, or a part of it is missing or unknown.
    """
    string = endpoint_string(place)
    prefix, *fields = _split(string)
    if prefix == "unix":
        return UnixAddress(_named(string, fields, ("path",), frozenset())["path"])
    if prefix == "tcp":
        named = _named(string, fields, ("host", "port"), frozenset())
        return TCPAddress(named["host"], _port(string, named["port"]))
    if prefix == "tls":
        named = _named(string, fields, ("host", "port"), _TLS_FIELDS)
        return TLSAddress(
            named["host"],
            _port(string, named["port"]),
            named.get("trustRoots", ""),
            named.get("certificate", ""),
            named.get("privateKey", ""),
        )
    raise ConfigError(f"address {string!r}: it begins with none of tcp:, tls: and unix:")


def _check_number(string: str) -> None:
    """Refuse a number out of range where an endpoint string may have its port."""
    prefix, *fields = _split(string)
    if prefix not in _PREFIXES - {"unix"}:
        return
    named = [match for match in map(_NAMED.fullmatch, fields) if match is not None]
    ports = [match["value"] for match in named if match["name"] == "port"]
    hosts = [match for match in named if match["name"] == "host"]
    unnamed = [field for field in fields if _NAMED.fullmatch(field) is None]
    for text in (*ports, *unnamed[0 if hosts else 1 :][: not ports]):
        if text.isdigit():  # what is none has a reason of its own, from whoever reads it
            _port(string, text)


def _quoted(text: str) -> str:
    return re.sub(r"([\\:=])", r"\\\1", text)


def _split(string: str) -> list[str]:
    fields, at = [], 0
    while at <= len(string):
        match = _FIELD.match(string, at)
        assert match is not None  # it matches nothing at all, too
        fields.append(match[0])
        at = match.end() + 1
    return fields


def _named(
    string: str, fields: list[str], positional: tuple[str, ...], optional: frozenset[str]
) -> Mapping[str, str]:
    named: dict[str, str] = {}
    unnamed: list[str] = []
    for field in fields:
        match = _NAMED.fullmatch(field)
        if match is None:
            unnamed.append(field)
            continue
        name = match["name"]
        if name in named or name not in optional.union(positional):
            raise ConfigError(f"address {string!r}: {name!r} is not known, or is there twice")
        named[name] = _plain(match["value"])
    missing = [name for name in positional if name not in named]
    if len(unnamed) > len(missing):
        raise ConfigError(f"address {string!r}: {unnamed[-1]!r} is one part too many")
    if len(unnamed) < len(missing):
        raise ConfigError(f"address {string!r}: it has no {missing[len(unnamed)]}")
    return named | dict(zip(missing, map(_plain, unnamed), strict=True))


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _port(string: str, text: str) -> int:
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit() and len(digits) <= 5 and 0 < int(text) < 65536):
        raise ConfigError(f"address {string!r}: port {text!r} is not 1 to 65535")
    return int(text)
