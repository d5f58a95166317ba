"""The same fan-out through other brokers, those that are installed: Redis, NATS, Mosquitto."""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.publishers import MESSAGE_BYTES, MQTT, NATS, REDIS, Dialect, publishing
from benchmarks.rows import Row, run_row
from benchmarks.runs import Run, Size, compared, in_turn, run
from benchmarks.servers import Server, batch_bytes, free_port, tickstorm
from benchmarks.storm import Load
from benchmarks.table import Section, counted, markdown, number
from benchmarks.yardsticks import Tools

SEARCHED = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
RAMP = 2500
"""Connections a second: what the slowest of them takes while it sends."""


class Broker(NamedTuple):
    """A broker that may be installed.

    Attributes:
        name: as the table has it.
        program: what is run, and Debian's package.
        dialect: how it is spoken to.
        arguments: makes the command's, of a port and a folder.
        limited_by: what its CPU goes to, from a profile (perf).
    """

    name: str
    program: str
    dialect: Dialect
    arguments: Callable[[int, Path], Sequence[str]]
    limited_by: str


def redis_arguments(port: int, folder: Path) -> Sequence[str]:
    """Return what a Redis without persistence is started with."""
    bound = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    # Protected mode lets no other address of loopback in than 127.0.0.1.
    return (*bound, "--protected-mode", "no", "--save", "", "--maxclients", "18000")


def _nats(port: int, folder: Path) -> Sequence[str]:
    return ("--addr", "127.0.0.1", "--port", str(port), "--log", str(folder / "log"))


def _mosquitto(port: int, folder: Path) -> Sequence[str]:
    file = folder / "mosquitto.conf"
    bound = f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
    file.write_text(f"{bound}log_dest none\n")
    return ("-c", str(file))


BROKERS = (
    Broker(
        "Redis",
        "redis-server",
        REDIS,
        redis_arguments,
        "Redis spends 79 % of its CPU in the kernel, and in it on sending.",
    ),
    Broker(
        "NATS",
        "nats-server",
        NATS,
        _nats,
        "NATS spends 61 % in the kernel, and has a goroutine and its switches for each connection.",
    ),
    Broker(
        "Mosquitto",
        "mosquitto",
        MQTT,
        _mosquitto,
        "Mosquitto spends 44 % on comparing strings, and asks epoll twice for every message.",
    ),
)
NONE_INSTALLED = "None of the brokers is installed."


def installed() -> list[Broker]:
    """Return the brokers that are here, and say which are not."""
    here = []
    for broker in BROKERS:
        if shutil.which(broker.program, path=SEARCHED) is None:
            print(f"  {broker.name} is left out: {broker.program} is not installed")
        else:
            here.append(broker)
    return here


def broker_run(tools: Tools, broker: Broker, load: Load) -> Run:
    """Measure one broker.

    Raises:
        Unusable: it lost something.
    """
    program = shutil.which(broker.program, path=SEARCHED) or broker.program
    port = free_port()
    with TemporaryDirectory() as folder:
        command = (program, *broker.arguments(port, Path(folder)))
        return run(
            tools,
            Server(broker.name, port, command),
            load._replace(protocol=broker.dialect.name),
            memory=True,
            beside=partial(publishing, broker.dialect, port),
        )


def measure(tools: Tools, size: Size, judged: bool) -> Section:  # noqa: ARG001 - as every row
    """Measure Tickstorm and the brokers in turn."""
    load = Load(size.connections, size.seconds, ramp=RAMP)
    brokers = installed()
    measures: list[Callable[[], Run]] = [
        lambda: run(tools, tickstorm("aligned"), load, memory=True),
        *(partial(broker_run, tools, broker, load) for broker in brokers),
    ]
    rounds = in_turn(measures, size.pairs)
    names = ["Tickstorm", *(broker.name for broker in brokers)]
    return Section(
        f"Brokers: one message a second to each of {size.connections:,} subscribers",
        f"Message brokers that do something else than Tickstorm, and more of it, under the same "
        f"load; a publisher sends each of them a message of {MESSAGE_BYTES} bytes at the second, "
        f"which is fire and forget in all of them. Tickstorm makes its batch of {batch_bytes()} "
        f"bytes itself, and answers heartbeats, which the brokers are not asked for. Versions and "
        f"settings are Debian's, without persistence. CPU is that of "
        f"all threads; the ratio is the broker's to Tickstorm's in the same round. A broker's "
        f"latency begins as the publisher sends, so that the way to the broker is in it; "
        f"Tickstorm's begins with its fan-out. {counted(size.pairs, 'round')} of {size.seconds} s.",
        brokers_table(names, rounds.taken),
        limited_by(brokers),
        "python -m benchmarks.brokers",
        rounds.busy,
    )


def limited_by(brokers: Sequence[Broker]) -> str:
    """Say what limits those brokers that were measured."""
    if not brokers:
        return NONE_INSTALLED
    return " ".join(["Profiles (perf):", *(broker.limited_by for broker in brokers)])


def brokers_table(names: Sequence[str], rounds: Sequence[tuple[Run, ...]]) -> str:
    """Return a table with a row a server; the first of each round is what the others are over."""
    header = ["", "CPU per delivered message, µs", "ratio: median (lowest to highest)"]
    header += ["latency, median, ms", "99th percentile, ms", "memory for each connection, bytes"]
    return markdown(header, (_row(name, rounds, at) for at, name in enumerate(names)))


def _row(name: str, rounds: Sequence[tuple[Run, ...]], at: int) -> list[str]:
    def of(field: str, digits: int) -> str:
        return number([getattr(round[at], field) for round in rounds], digits)

    cpu = compared(name, "µs", [(round[0], round[at]) for round in rounds], "cpu_us")
    ratio = "1" if at == 0 else str(cpu.ratio)
    return [
        name,
        of("cpu_us", 2),
        ratio,
        of("p50_ms", 1),
        of("p99_ms", 1),
        of("connection_bytes", 0),
    ]


ROW = Row("brokers", measure, Size(10_000, 10, 5), Size(2_000, 2, 1))

if __name__ == "__main__":
    run_row(ROW, __doc__)
