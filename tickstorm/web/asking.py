"""Asks the operators' page of a server, from another process. Each call blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from http.client import HTTPConnection

DEFAULT_HTTP = "tcp:9090:interface=127.0.0.1"
MAX_ANSWER_BYTES = 4096
"""What is read of an answer, unless it is told otherwise."""
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound


class Page(NamedTuple):
    """A page to ask for.

    Attributes:
        host: a name or IP address; empty for a Unix socket.
        port: likewise 0.
        path: of the page.
        socket: the path of a Unix socket; empty for TCP.
    """

    host: str
    port: int
    path: str
    socket: str = ""

    def __str__(self) -> str:
        if self.socket:
            return f"{self.path} at unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"


class Answer(NamedTuple):
    """The status of an answer, and the beginning of its body."""

    status: int
    body: bytes


def page_at(where: str, path: str) -> Page:
    """Return the page to ask for.

    Args:
        where: the endpoint description that the server's `--http` has, or an http URL. A path in
            the URL, if there is one, stands for `path`.
        path: of the page.

    Raises:
        ValueError: it is neither.
    """
    from tickstorm.descriptions import parse_description

    if where.startswith("http://"):
        return _page_of_url(where, path)
    description = parse_description(where)
    if description.kind == "unix":
        return Page("", 0, path, description.named.get("address", description.arguments[0]))
    if description.kind not in ("tcp", "tcp6"):
        raise ValueError(where)
    anywhere = "::" if description.kind == "tcp6" else ""
    interface = description.named.get("interface", anywhere)
    port = description.named.get("port", description.arguments[0])
    return Page(_LOOPBACK.get(interface, interface), int(port), path)


def _page_of_url(url: str, path: str) -> Page:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(url)
    asked = path if parts.path in ("", "/") else parts.path
    return Page(parts.hostname, 80 if parts.port is None else parts.port, asked)


def fetch(
    page: Page, timeout: float, method: str = "GET", at_most_bytes: int = MAX_ANSWER_BYTES
) -> Answer:
    """Ask for a page.

    Args:
        page: what to ask for.
        timeout: seconds for each step; the caller bounds the whole.
        method: GET, or POST, with nothing in its body.
        at_most_bytes: what is read of the answer.

    Raises:
        OSError: the server cannot be reached, or does not answer in time.
        http.client.HTTPException: what answers is no HTTP server.
    """
    connection = _connection(page, timeout)
    try:
        connection.request(method, page.path, headers={"Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, response.read(at_most_bytes))
    finally:
        connection.close()


def _connection(page: Page, timeout: float) -> HTTPConnection:
    import socket
    from http.client import HTTPConnection

    if not page.socket:
        return HTTPConnection(page.host, page.port, timeout=timeout)
    connection = HTTPConnection("localhost", timeout=timeout)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(timeout)
    connection.sock.connect(page.socket)
    return connection


def fetch_within(
    page: Page, timeout: float, method: str = "GET", at_most_bytes: int = MAX_ANSWER_BYTES
) -> Answer:
    """Ask for a page, and give up after `timeout` seconds whatever the server does meanwhile.

    Raises:
        TimeoutError: the answer was not whole by then.
        Exception: as `fetch`.
    """
    from queue import Empty, SimpleQueue
    from threading import Thread

    results: SimpleQueue[Answer | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            results.put(fetch(page, timeout, method, at_most_bytes))
        except Exception as error:
            results.put(error)

    # A server may send a byte now and then, and a name server may not answer at all.
    Thread(target=ask, daemon=True).start()
    try:
        result = results.get(timeout=timeout)
    except Empty:
        raise TimeoutError from None
    if isinstance(result, Exception):
        raise result
    return result
