"""A whole bench: the trial, the plan, the processes, and the report."""

from __future__ import annotations

import os
import resource
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from tickstorm.bench.crew import Crew
from tickstorm.bench.jobs import Job
from tickstorm.bench.login import Requests
from tickstorm.bench.measurement import Measurement, Watcher
from tickstorm.bench.outcome import Outcome
from tickstorm.bench.plan import Machine, Wish, make_plan
from tickstorm.bench.report import Asked, Report
from tickstorm.bench.server_process import (
    PROC,
    Server,
    find_server,
    machine_busy,
    processes,
)
from tickstorm.bench.trial import Trial, try_login
from tickstorm.client.address import TCPAddress, TLSAddress, UnixAddress, parse_address
from tickstorm.client.messages import login_frame, subscription_frame
from tickstorm.errors import ConfigError
from tickstorm.messages import Login
from tickstorm.subscriptions import PERIOD_MS, Subscription

if TYPE_CHECKING:
    from tickstorm.commands.stream_options import Target


class Size(NamedTuple):
    """How much of it.

    Attributes:
        connections: at least 1.
        seconds: to measure.
        ramp: connections to begin a second, at most; None for no limit.
        heartbeat: seconds between those of a connection; None for what the server says.
        processes: of the load; None for as many as it takes.
        sources: addresses to connect from; none leaves them to the plan.
        pid: of the server; None for whichever listens, if that is on this machine.
    """

    connections: int
    seconds: float
    ramp: float | None = None
    heartbeat: float | None = None
    processes: int | None = None
    sources: tuple[str, ...] = ()
    pid: int | None = None


class Loaded(NamedTuple):
    """What came of a load, and how many processes it had."""

    outcome: Outcome
    processes: int


def run_bench(target: Target, size: Size, watcher: Watcher) -> Report:
    """Measure a server.

    Args:
        target: which stream.
        size: how much of it.
        watcher: is shown how it goes.

    Raises:
        ConfigError: the address cannot be used, or this machine does not allow what is asked for.
        TickstormError: the server refuses even one login.
        OSError: it cannot be reached.
    """
    address = tcp_address(target.address)
    requests = _requests(target)
    trial = try_login(address, requests, source_of(size))
    job = blank_job(address, trial, requests)._replace(
        period_ns=PERIOD_MS[target.mode] * 1_000_000,
        heartbeat=size.heartbeat,
        ahead_ns=trial.ahead_ns,
    )
    loaded = put(job, trial, size, watcher)
    return Report(_asked(target, size, loaded.processes, trial), loaded.outcome)


def put(job: Job, trial: Trial, size: Size, watcher: Watcher) -> Loaded:
    """Put a load on a server, and measure.

    Args:
        job: what each process is to do, but for its share of the connections.
        trial: where the server is.
        size: how much of it.
        watcher: is shown how it goes.

    Raises:
        ConfigError: this machine does not allow what is asked for.
    """
    server = _server(trial, size.pid)
    shares = make_plan(_wish(size, trial), _machine())
    per_second = inf if size.ramp is None else size.ramp / len(shares)
    jobs = [job._replace(per_second=per_second, **share._asdict()) for share in shares]
    with Crew(jobs) as crew:
        outcome = Measurement(crew, size.seconds, machine_busy, server, watcher).run()
    return Loaded(outcome, len(jobs))


def blank_job(address: TCPAddress | TLSAddress, trial: Trial, requests: Requests) -> Job:
    """Return a job without connections, and without anything that is of one kind of load alone."""
    return Job(
        trial.place,
        address if isinstance(address, TLSAddress) else None,
        requests,
        period_ns=0,
        first=0,
        connections=0,
        sources=(),
        per_second=inf,
        heartbeat=None,
    )


def source_of(size: Size) -> str:
    """Return where the trial is made from; empty for wherever."""
    return size.sources[0] if size.sources else ""


def tcp_address(text: str) -> TCPAddress | TLSAddress:
    """Read where a server is.

    Raises:
        ConfigError: it is no address, or that of a Unix socket.
    """
    address = parse_address(text)
    if isinstance(address, UnixAddress):
        raise ConfigError(f"address {text!r}: a load is put on tcp: and tls: only")
    return address


def _requests(target: Target) -> Requests:
    login = Login(target.username, target.password, client_id="tickstorm-bench")
    subscription = Subscription(target.mode, target.symbols)
    return Requests(login_frame(login), subscription_frame(subscription))


def _server(trial: Trial, pid: int | None) -> Server | None:
    if pid is None:
        host, port = trial.place.address[:2]
        return find_server(host, port) if trial.local else None
    if pid not in processes():
        raise ConfigError(f"--pid {pid}: there is no such process")
    # An ancestor of this process is not the server by what it measures with.
    return Server((pid,), without=(os.getpid(),))


def _wish(size: Size, trial: Trial) -> Wish:
    loopback = trial.place.address[0].startswith("127.")
    return Wish(size.connections, size.processes, size.sources, loopback)


def _machine() -> Machine:
    _, files_per_process = resource.getrlimit(resource.RLIMIT_NOFILE)
    first, last = map(int, (PROC / "sys/net/ipv4/ip_local_port_range").read_text().split())
    return Machine(
        os.cpu_count() or 1,
        files_per_process,
        int((PROC / "sys/fs/file-max").read_text()),
        last - first + 1,
    )


def _asked(target: Target, size: Size, processes: int, trial: Trial) -> Asked:
    return Asked(
        target.address,
        target.mode.name,
        PERIOD_MS[target.mode] / 1000,
        None if target.symbols is None else tuple(sorted(target.symbols)),
        size.connections,
        processes,
        trial.local,
        trial.ahead_ns / 1e6,
        os.cpu_count() or 1,
    )
