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


def free_port_with_bus():
    """Return a port of a Cluster's node: its bus is 10,000 above it, in every version of Redis."""
    for port in range(20_000 + os.getpid() % 1_000, 30_000):
        if _is_free(port) and _is_free(port + 10_000):
            return port
    raise AssertionError("no two ports are free that are 10,000 apart")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


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
            there = (b"+PONG", b"-NOAUTH")
            until(lambda: self.say("PING").startswith(there), f"redis-server on {self.port}")

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


class Sentinel(RedisServer):
    """A Sentinel that alone decides."""

    def __init__(self, folder, master, port):
        port = port or free_port()
        self._config = Path(folder, f"sentinel-{port}.conf")
        self._config.write_text(
            f"sentinel monitor {master.name} {HOST} {master.port} 1\n"
            f"sentinel down-after-milliseconds {master.name} 300\n"
            f"sentinel failover-timeout {master.name} 2000\n"
        )
        super().__init__(folder, "--sentinel", port=port)

    def _leading(self):
        return (str(self._config),)


class Fleet:
    """A master, a replica of it, and a Sentinel that watches them.

    Attributes:
        name: what the Sentinel calls the master.
    """

    def __init__(self, folder):
        self.name = "house"
        self.master = RedisServer(folder)
        self.port = self.master.port
        self.replica = RedisServer(folder, "--replicaof", HOST, str(self.port))
        self.replicated(self.replica)
        self.sentinel = Sentinel(folder, self, 0)
        until(lambda: b"num-slaves\r\n$1\r\n1" in self._known(), "the Sentinel knows the replica")

    def replicated(self, replica):
        until(lambda: b"master_link_status:up" in replica.say("INFO", "replication"), "a replica")

    def told(self, offset_of):
        """Wait until the replica has what the master has."""
        assert offset_of.say("WAIT", 1, 1000) is not None

    def _known(self):
        return self.sentinel.say("SENTINEL", "MASTER", self.name)

    @property
    def url(self):
        dead = f"{HOST}:1"
        return f"redis+sentinel://{dead},{HOST}:{self.sentinel.port}/{self.name}"

    def kill(self):
        for server in (self.sentinel, self.replica, self.master):
            server.kill()


SHARE = 16384 // 3 + 1


class Cluster:
    """Three masters, each with a third of the slots, and a replica of the first."""

    def __init__(self, folder):
        self._folder = folder
        self.masters = [self._node() for _ in range(3)]
        self.replica = self._node()
        self.nodes = [*self.masters, self.replica]
        for at, node in enumerate(self.masters):
            slots = range(at * SHARE, min((at + 1) * SHARE, 16384))
            assert node.say("CLUSTER", "ADDSLOTS", *slots) == b"+OK\r\n"
            assert node.say("CONFIG", "SET", "cluster-require-full-coverage", "no") == b"+OK\r\n"
        for node in self.nodes[1:]:
            meet = ("CLUSTER", "MEET", HOST, self.masters[0].port)
            assert node.say(*meet) == b"+OK\r\n"
        for node in self.nodes:
            until(lambda each=node: self._complete(each), "the Cluster is whole")
        first = self.id_of(self.masters[0])
        until(
            lambda: self.replica.say("CLUSTER", "REPLICATE", first) == b"+OK\r\n",
            "there is a replica",
        )
        until(
            lambda: b"master_link_status:up" in self.replica.say("INFO", "replication"),
            "the replica has all",
        )
        until(
            lambda: all(
                str(self.replica.port).encode() in node.say("CLUSTER", "SLOTS")
                for node in self.masters
            ),
            "all know of the replica",
        )

    def _node(self):
        port = free_port_with_bus()
        return RedisServer(
            self._folder,
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "500"),
            *("--cluster-config-file", f"nodes-{port}.conf"),
            port=port,
        )

    def _complete(self, node):
        info = node.say("CLUSTER", "INFO")
        return b"cluster_state:ok" in info and b"cluster_known_nodes:4" in info

    def id_of(self, node):
        return node.say("CLUSTER", "MYID").split(b"\r\n")[1]

    @property
    def url(self):
        hosts = ",".join(f"{HOST}:{node.port}" for node in (self.replica, self.masters[2]))
        return f"redis+cluster://{hosts}"

    def kill(self):
        for node in self.nodes:
            node.kill()


@contextmanager
def _running(kind):
    with TemporaryDirectory(prefix="tickstorm-redis-") as folder:
        servers = kind(folder)
        try:
            yield servers
        finally:
            servers.kill()


def fleet():
    """Run a master, a replica and a Sentinel."""
    return _running(Fleet)


def cluster():
    """Run a Cluster."""
    return _running(Cluster)
