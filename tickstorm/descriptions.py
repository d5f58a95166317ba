"""Endpoint descriptions as text: taken apart, judged and completed, as Twisted will read them.

Nothing listens here and no plugin is asked: what a kind of endpoint does that is not known by name
is taken to be the worst.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

_KIND = re.compile(r"[a-z][a-z0-9_]*:")
_WHOLE = re.compile(r"(\\.|[^\\])*", re.DOTALL)
_PART = re.compile(r"(?:\A|:)((?:\\.|[^\\:])*)", re.DOTALL)
_NAMED = re.compile(r"((?:\\.|[^\\=])*)=(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}")
_ADDRESS = re.compile(r"(?P<interface>\[[^]]+\]|[A-Za-z0-9.-]*):(?P<port>[0-9]{1,5})")
_TCP_KINDS = ("tcp", "tcp6", "tls", "ssl")
_MAX_PORT = 65535


class Description(NamedTuple):
    """The parts of `kind:argument:name=value`, without the escapes; at least one argument."""

    kind: str
    arguments: tuple[str, ...]
    named: Mapping[str, str]

    @property
    def is_own_tls(self) -> bool:
        """Whether it is this package's `tls:PORT`; a folder stands behind Twisted's own `tls:`."""
        if self.kind == "haproxy":
            return self._inner().is_own_tls
        return self.kind == "tls" and self.arguments[0].isdecimal()

    @property
    def is_systemd(self) -> bool:
        """Whether systemd opened its socket, for the one process that it started."""
        if self.kind == "haproxy":
            return self._inner().is_systemd
        return self.kind == "systemd"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach what listens there; False when that is not known."""
        if self.kind == "haproxy":
            return self._inner().is_local
        if self.kind == "systemd":
            return self.named.get("domain", self.arguments[0]) == "UNIX"
        if self.kind in _TCP_KINDS:
            return _is_loopback(self.named.get("interface", ""))
        return self.kind == "unix"

    @property
    def has_port(self) -> bool:
        """Whether its port, where its kind has one, is a number from 0 to 65535."""
        if self.kind == "haproxy":
            return self._inner().has_port
        if self.kind not in _TCP_KINDS or (self.kind == "tls" and not self.is_own_tls):
            return True
        return _is_port(self.named.get("port", self.arguments[0]))

    def _inner(self) -> "Description":
        kind, *arguments = self.arguments
        return Description(kind, tuple(arguments) or ("",), self.named)


def parse_description(text: str) -> Description:
    """Take a description apart: at its colons, at a part's first `=`; a backslash escapes.

    Raises:
        ValueError: it does not begin with a kind and a colon, ends within an escape, or has a
            port that is none.
    """
    if not _KIND.match(text):
        raise ValueError(text)
    arguments, named = split_description(text)
    kind, *rest = arguments
    description = Description(kind, tuple(rest) or ("",), dict(named))
    if not description.has_port:
        raise ValueError(text)
    return description


def split_description(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the parts of a description without a name, and those with one, without the escapes.

    The rules are those of `twisted.internet.endpoints`, whose own parser is private.

    Raises:
        ValueError: it ends within an escape.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    arguments: list[str] = []
    named: list[tuple[str, str]] = []
    for part in _PART.findall(text):
        pair = _NAMED.fullmatch(part)
        if pair is None:
            arguments.append(_unescape(part))
        else:
            named.append((_unescape(pair[1]), _unescape(pair[2])))
    return arguments, named


def is_local(text: str) -> bool:
    """Whether only this machine can reach what listens at a description.

    A port without `interface=` is open to all, and so is every kind that is not known here.

    Raises:
        ValueError: it is no description.
    """
    return parse_description(text).is_local


def from_address(text: str) -> str:
    """Return the description of `0.0.0.0:8080`, `:8080`, `localhost:8080` or `[::]:8080`.

    Raises:
        ValueError: it is not such an address.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not _is_port(match["port"]):
        raise ValueError(text)
    interface, port = match["interface"], int(match["port"])
    if interface.startswith("["):
        address = IPv6Address(interface[1:-1])
        return f"tcp6:{port}:interface={quote(str(address))}"
    return f"tcp:{port}:interface={interface}" if interface else f"tcp:{port}"


def over_tls(text: str) -> str:
    """Return the same port as this package's `tls:`, if it is a plain `tcp:` or `tcp6:`."""
    kind, _, rest = text.partition(":")
    return f"tls:{rest}" if kind in ("tcp", "tcp6") else text


def _completed(text: str, named: Mapping[str, str]) -> str:
    """Return a description with these added, but for the empty and those that it has."""
    present = parse_description(text).named
    added = [
        f":{name}={quote(value)}" for name, value in named.items() if value and name not in present
    ]
    return "".join([text, *added])


class OwnTLS(NamedTuple):
    """What this package's `tls:PORT` takes that does not say it itself; see the settings `tls_`."""

    cert: str
    key: str
    client_ca: str
    client_auth: str
    min_version: str


def lacks_certificate(text: str) -> bool:
    """Whether it is this package's `tls:PORT`, without `cert=`."""
    description = parse_description(text)
    return description.is_own_tls and "cert" not in description.named


def with_certificate(text: str, tls: OwnTLS) -> str:
    """Return a description that lacks its certificate with all of `tls` that it does not say."""
    if not lacks_certificate(text):
        return text
    client_auth = parse_description(text).named.get("clientAuth", tls.client_auth)
    verifies = client_auth != "none"
    added = {
        "cert": tls.cert,
        "key": tls.key,
        "clientCA": tls.client_ca if verifies else "",
        "clientAuth": client_auth if verifies else "",
        "min": tls.min_version,
    }
    return _completed(text, added)


def quote(value: str) -> str:
    """Escape a value so that it stands as one in a description."""
    return value.replace("\\", "\\\\").replace(":", "\\:")


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


def _is_port(text: str) -> bool:
    return bool(_PORT.fullmatch(text)) and int(text) <= _MAX_PORT


def _is_loopback(interface: str) -> bool:
    if interface == "localhost":
        return True
    try:
        return ip_address(interface).is_loopback
    except ValueError:
        return False
