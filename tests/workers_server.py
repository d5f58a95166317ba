"""A server of several processes, started as its users start it, and looked at from outside."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep

from test_tap import LOGIN, LOOPBACK, command, surroundings

TIMEOUT = 30.0
"""Seconds after which a test that waits has failed."""
DEAD = ("X", "Z")
"""States of a process that is gone, but for its entry (proc(5))."""


def until(holds, what, seconds=TIMEOUT):
    """Wait until something holds, and return what it gave."""
    over = monotonic() + seconds
    while not (found := holds()):
        assert monotonic() < over, f"it never came to that: {what}"
        sleep(0.005)
    return found


class Launched:
    """A server; whatever it has started is gone behind the block.

    Args:
        folder: where it runs, and writes what it says.
        options: its own; without a port among them it has one for TCP.
        workers: how many; 0 serves in one process.
        environ: what it has in its environment, beside patience with clients that are silent.
        files: how many it may open in each process; None leaves that as it is.
        line: another way to start it than by its command line.
    """

    def __init__(
        self, folder, *options, workers=2, environ=LOGIN, files=None, line=None, **process
    ):
        self.folder = folder
        self.workers_wanted = workers
        ports = () if "--port" in options else ("--port", LOOPBACK)
        options = (*ports, "--http", LOOPBACK, "--workers", str(workers), *options)
        line = [*(line or ()), *map(str, command(folder, *options))]
        if files is not None:
            line = ["prlimit", f"--nofile={files}:{files}", *line]
        with (folder / "log").open("w") as log, (folder / "errors").open("w") as errors:
            self.process = subprocess.Popen(
                line,
                cwd=folder,
                env=surroundings({"HEARTBEAT_TIMEOUT": "1h", **environ}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                # A session of its own: so all its processes are known, and Ctrl-C reaches them.
                start_new_session=True,
                **process,
            )

    def __enter__(self):
        try:
            self.ports  # noqa: B018 - waits for them
            until(self._serves, "every worker serves")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End at once whatever it has started; calling it again changes nothing."""
        until(self._end_all, "every process can be ended")
        self.process.wait()

    # What it says.

    def lines(self):
        """Its log so far."""
        whole, _, _ = (self.folder / "log").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def said(self, words):
        """The lines of its log that have these words in them."""
        return [line for line in self.lines() if words in line["message"]]

    def until_said(self, words, times=1):
        """The last of so many lines with these words, once they are there."""
        return until(lambda: self.said(words)[times - 1 : times], f"{times} x {words!r}")[0]

    def complaints(self):
        """The messages in its log that call for somebody."""
        return [
            line["message"]
            for line in self.lines()
            if line["level"] in ("error", "critical") or "traceback" in line
        ]

    @property
    def errors(self):
        """Its standard error so far."""
        return (self.folder / "errors").read_text()

    @property
    def ports(self):
        """Where subscribers connect: port numbers, and text for a Unix socket, in their order."""
        self.until_said("listening for operators")
        return [_port(line["address"]) for line in self.said("listening for subscribers")]

    @property
    def port(self):
        """The first of these."""
        return self.ports[0]

    # Its pages.

    def page(self, path):
        """The text of a page."""
        (line,) = self.said("listening for operators")
        connection = HTTPConnection("127.0.0.1", _port(line["address"]), timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def get(self, path):
        """The object on a page."""
        return json.loads(self.page(path))

    def total(self):
        """How many are connected."""
        return self.get("/connections?limit=1")["total"]

    def metrics(self):
        """Its metrics by their name and labels, as they are written."""
        lines = [line for line in self.page("/metrics").splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def by_worker(self, name):
        """One metric of each worker, in their order."""
        metrics = self.metrics()
        numbers = range(1, self.workers_wanted + 1)
        return [metrics[f'tickstorm_worker_{name}{{worker="{number}"}}'] for number in numbers]

    # Its processes.

    def processes(self):
        """All that live, each with its parent's id, by their own."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and (stat := _stat(entry)) is not None:
                state, parent, _, session = stat
                if int(session) == self.process.pid and state not in DEAD:
                    found[int(entry.name)] = int(parent)
        return found

    def nursery(self):
        """The id of the nursery, None while there is none."""
        ours = self.process.pid
        return next((pid for pid, parent in self.processes().items() if parent == ours), None)

    def workers(self):
        """The ids of the workers."""
        return sorted(self.processes().keys() - {self.process.pid, self.nursery()})

    def open_files(self):
        """How many files its serving processes have open."""
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in self.serving()]

    def memory(self):
        """Bytes of all its processes: what several share is counted once (proc(5), Pss)."""
        return sum(_proportional_bytes(pid) for pid in self.processes())

    def serving(self):
        """The ids of the processes that subscribers are connected to."""
        return self.workers() if self.workers_wanted else [self.process.pid]

    # Its end.

    def end(self, how=signal.SIGTERM):
        """Stop it; its exit code, once it is gone."""
        self.process.send_signal(how)
        return self.process.wait(TIMEOUT)

    def until_gone(self):
        """Wait until none of its processes is left."""
        until(lambda: not self.processes(), "no process is left")

    def _serves(self):
        assert self.process.poll() is None, f"it has ended: {self.errors}"
        return len(self.said("serves")) >= self.workers_wanted

    def _end_all(self):
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not self.processes()


def counters_that_fell(before, after):
    """The counters of the whole instance that are smaller than they were."""
    return {
        name: (value, after.get(name))
        for name, value in before.items()
        if name.partition("{")[0].endswith(("_total", "_bucket", "_sum", "_count"))
        and "_worker_cpu_seconds" not in name  # of one process each, as its text says
        and after.get(name, -1.0) < value
    }


def state(pid):
    """The letter of a process's state (proc(5)); empty if there is none of this id."""
    stat = _stat(Path(f"/proc/{pid}"))
    return "" if stat is None else stat[0]


def _port(address):
    return address if address.startswith("unix:") else int(address.rpartition(":")[2])


def _stat(entry):
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[:4]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return None


def _proportional_bytes(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes * 1024
