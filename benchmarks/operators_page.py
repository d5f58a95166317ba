"""Tickstorm's own numbers, read from its operators' page."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.figures import Unusable
from benchmarks.servers import Server

PAGE_SECONDS = 10.0
POLL_SECONDS = 0.1
GONE_SECONDS = 30.0
"""How long a server may take to see that its clients have gone."""
SENT, CONNECTED = "tickstorm_messages_sent_total", "tickstorm_active_connections"


class Sent(NamedTuple):
    """What a server had sent when nobody was connected.

    Attributes:
        batches: since it was started.
        at: the time.time() by which everybody was gone.
    """

    batches: int
    at: float


def values(text: str, name: str) -> Iterator[float]:
    """Yield the values of a metric in Prometheus' text, whatever its labels."""
    for line in text.splitlines():
        if line.startswith((f"{name} ", f"{name}{{")):
            yield float(line.rsplit(" ", 1)[1])


def page_text(server: Server) -> str:
    """Return what a server says of itself.

    Raises:
        OSError: its page does not answer.
    """
    url = f"http://127.0.0.1:{server.page}/metrics"
    with urllib.request.urlopen(url, timeout=PAGE_SECONDS) as answer:
        text: str = answer.read().decode()
    return text


def sent(
    server: Server,
    read: Callable[[Server], str] = page_text,
    wait: Callable[[float], None] = time.sleep,
) -> Sent:
    """Wait until nobody is connected to a server, and return what it has sent by then.

    What workers say of themselves may be a second old. But one that has said that nobody is
    connected to it has sent nothing since.

    Args:
        server: which.
        read: returns its page.
        wait: lets seconds pass.

    Raises:
        Unusable: somebody stays, or the page cannot be read.
    """
    for _ in range(round(GONE_SECONDS / POLL_SECONDS)):
        try:
            text = read(server)
        except OSError as error:
            raise Unusable(f"the page of {server.name} does not answer: {error}") from error
        if not sum(values(text, CONNECTED)):
            return Sent(int(sum(values(text, SENT))), time.time())
        wait(POLL_SECONDS)
    raise Unusable(f"{server.name} has connections {GONE_SECONDS:g} s after its clients have gone")
