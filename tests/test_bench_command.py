"""The command `tickstorm bench` itself: what it needs, what it refuses, and what it loads."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tickstorm.cli import main

MODULES = [
    "batches",
    "clock_offset",
    "connections",
    "cpu_log",
    "crew",
    "cutting",
    "doubts",
    "heartbeats",
    "latencies",
    "load",
    "login",
    "measurement",
    "meter",
    "outcome",
    "pace",
    "picture",
    "plan",
    "receipts",
    "report",
    "run",
    "saving",
    "sequences",
    "server_process",
    "table",
    "tally",
    "trial",
    "watching",
    "wire",
]


def run(*arguments):
    done = CliRunner().invoke(main, ["bench", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_no_process_of_a_load_brings_twisted_with_it(module):
    program = (
        f"import sys, tickstorm.bench.{module}\n"
        "print(*(name for name in ('twisted', 'asyncio', 'click', 'rich') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"\n"


def test_without_histograms_it_is_one_line():
    program = (
        "import sys\nsys.modules['hdrh'] = None\nfrom tickstorm.cli import main\n"
        "main(['bench', '--user', 'u', '--password', 'p'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "Error: hdrhistogram is not installed: pip install 'tickstorm[bench]' brings it\n",
    )


def test_an_interrupt_while_it_is_loading():
    program = (
        "import sys, types\n"
        "class Loading(types.ModuleType):\n"
        "    def __getattr__(self, name):\n"
        "        raise KeyboardInterrupt\n"
        "sys.modules['tickstorm.bench.run'] = Loading('run')\n"
        "from tickstorm.cli import main\n"
        "main(['bench', '--user', 'u', '--password', 'p'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-n", "0"), "0 is not in the range"),
        (("--ramp", "0"), "0.0 is not in the range"),
        (("--heartbeat", "0"), "0.0 is not in the range"),
        (("--seconds", "nan"), "nan is no number"),
        (("--ramp", "nan"), "nan is no number"),
        (("--heartbeat", "nan"), "nan is no number"),
        (("--picture", "-"), "a picture goes to a file"),
        (("--source-address", "localhost"), "'localhost' does not appear to be an IPv4"),
        (("--count", "3"), "No such option '--count'"),
        (("--user", "u"), "No password: give --password or set STREAM_PASS."),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, words, monkeypatch):
    for name in ("STREAM_USER", "STREAM_PASS", "AUTH_USERNAME", "AUTH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert words in errors.splitlines()[-1]
