"""Publishers for other brokers: one message a second, at the second, with the time in it.

The message begins as storm.c reads it, "T=" and the 16 digits of the microseconds since the Unix
epoch, and is filled up to the size of the batches that were compared first.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import pack
from typing import NamedTuple

MESSAGE_BYTES = 116
TOPIC = b"t"
"""What storm.c subscribes to."""
READ_BYTES = 65536
_MQTT_CONNECT, _MQTT_PUBLISH = 0x10, 0x30


class Dialect(NamedTuple):
    """How a broker is spoken to.

    Attributes:
        name: as storm.c calls the protocol.
        hello: the bytes to begin with.
    """

    name: str
    hello: bytes


def _mqtt_text(text: bytes) -> bytes:
    return pack(">H", len(text)) + text


def _mqtt_packet(type: int, body: bytes) -> bytes:
    length, more = len(body) % 128, len(body) // 128
    return bytes([type, length | 128, more] if more else [type, length]) + body


REDIS = Dialect("redis", b"")
NATS = Dialect("nats", b'CONNECT {"verbose":false,"pedantic":false}\r\n')
MQTT = Dialect(
    "mqtt",
    _mqtt_packet(_MQTT_CONNECT, _mqtt_text(b"MQTT") + pack(">BBH", 4, 2, 0) + _mqtt_text(b"pub")),
)


def message(now_ns: int) -> bytes:
    """Return the message of a moment."""
    return f"T={now_ns // 1000:016d}".encode().ljust(MESSAGE_BYTES, b"x")


def publication(dialect: Dialect, payload: bytes) -> bytes:
    """Return the bytes that publish a payload of less than 16 KiB."""
    if dialect is REDIS:
        parts = (b"PUBLISH", TOPIC, payload)
        return b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    if dialect is NATS:
        return b"PUB %s %d\r\n%s\r\n" % (TOPIC, len(payload), payload)
    return _mqtt_packet(_MQTT_PUBLISH, _mqtt_text(TOPIC) + payload)


@contextmanager
def publishing(dialect: Dialect, port: int) -> Iterator[None]:
    """Publish at each second while the block runs."""
    stop = threading.Event()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(dialect.hello)
        connection.setblocking(False)
        thread = threading.Thread(target=_publish, args=(dialect, connection, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _publish(dialect: Dialect, connection: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(1 - time.time() % 1):
        with suppress(BlockingIOError):  # what the broker says to it is of no interest
            connection.recv(READ_BYTES)
        connection.sendall(publication(dialect, message(time.time_ns())))
