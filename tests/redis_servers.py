"""Real servers of Redis on free ports of the loopback interface, for as long as a test runs."""

import os
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

TIMEOUT = 20.0
"""Seconds after which a test that waits has failed."""
HOST = "127.0.0.1"


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def say(port, *words, timeout=TIMEOUT):
    """Send one command over a connection of its own, and return the start of the reply."""
    command = b"*%d\r\n" % len(words)
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        command += b"$%d\r\n%b\r\n" % (len(data), data)
    with socket.create_connection((HOST, port), timeout) as connection:
        connection.sendall(command)
        return connection.recv(2**16)


def until(holds, what):
    """Wait until something holds."""
    end = monotonic() + TIMEOUT
    while monotonic() < end:
        try:
            if found := holds():
                return found
        except OSError:
            pass
        sleep(0.02)
    raise AssertionError(f"not within {TIMEOUT} s: {what}")


class RedisServer:
    """One process, without persistence.

    Attributes:
        port: where it listens.
    """

    def __init__(self, folder, *options, port=0, ready=True):
        self.port = port or free_port()
        self._folder = Path(folder)
        self._options = options
        self._process = None
        self.start(ready)

    def start(self, ready=True):
        """Start it, empty."""
        log = self._folder / f"{self.port}.log"
        self._process = subprocess.Popen(
            [
                "redis-server",
                *self._leading(),
                *("--port", str(self.port), "--bind", HOST, "--dir", str(self._folder)),
                *("--save", "", "--appendonly", "no", "--logfile", str(log)),
                *self._options,
            ],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        if ready:
            until(lambda: b"PONG" in self.say("PING"), f"redis-server on {self.port}")

    def _leading(self):
        return ()

    def say(self, *words):
        return say(self.port, *words)

    def signal(self, number):
        os.kill(self._process.pid, number)

    def stop(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(TIMEOUT)

    def restart(self):
        """Kill it, and start it again with nothing in it."""
        self.kill()
        self.start()

    @property
    def url(self):
        return f"redis://{HOST}:{self.port}"


@contextmanager
def redis_server(*options, **more):
    """Run one server."""
    with TemporaryDirectory(prefix="tickstorm-redis-") as folder:
        server = RedisServer(folder, *options, **more)
        try:
            yield server
        finally:
            server.kill()
