"""The command `tickstorm bench` itself: what it needs, what it refuses, and what it loads."""

import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tickstorm.cli import main
from tickstorm.commands.bid_options import BidOptions, BidTarget, Range, make_bid_target

MODULES = [
    "arrivals",
    "auction_setup",
    "batches",
    "bid_load",
    "bid_report",
    "bid_run",
    "bid_table",
    "bid_trial",
    "bidders",
    "bids",
    "clock_offset",
    "confirmations",
    "connections",
    "cpu_log",
    "crew",
    "cutting",
    "demand",
    "doubts",
    "effort",
    "heartbeats",
    "latencies",
    "load",
    "login",
    "loop",
    "measurement",
    "meter",
    "outcome",
    "pace",
    "page",
    "picture",
    "plan",
    "receipts",
    "report",
    "results",
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
        (("--auction", "--user", "u"), "No password: give --password or set STREAM_PASS."),
        (("--auction", "--mode", "tick"), "--mode is not with --auction."),
        (("--auction", "--symbols", "A"), "--symbols is not with --auction."),
        (("--auction", "--heartbeat", "1"), "--heartbeat is not with --auction."),
        (("--pipeline", "2"), "--pipeline is only with --auction."),
        (("--bid-ids",), "--bid-ids is only with --auction."),
        (("--no-login",), "--no-login is only with --auction."),
        (("--auction", "--pipeline", "0"), "0 is not in the range"),
        (("--auction", "--pipeline", "1001"), "1001 is not in the range"),
        (("--auction", "--rate", "0"), "0.0 is not in the range"),
        (("--auction", "--rate", "nan"), "nan is no number"),
        (("--auction", "--auctions", "0-5"), "'0-5' is no range as 1-100 within 1 to 99999999"),
        (("--auction", "--auctions", "5-1"), "'5-1' is no range as"),
        (("--auction", "--users", "all"), "'all' is no range as"),
        (
            ("--auction", "--no-login", "--auctions", "1-10001"),
            "--auctions: at most 10,000 of them.",
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, words, monkeypatch):
    for name in ("STREAM_USER", "STREAM_PASS", "AUTH_USERNAME", "AUTH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert words in errors.splitlines()[-1]


def test_ranges():
    read = Range(1, 1000).convert
    assert [read(text, None, None) for text in ("7", "1-100", "1000")] == [
        (7, 7),
        (1, 100),
        (1000, 1000),
    ]


def test_what_is_bid_on():
    options = BidOptions((3, 5), False, 16, 100.0, (1, 9), True, None)
    assert make_bid_target("here:1", "alice:secret", options) == BidTarget(
        "here:1", "alice:secret", (3, 4, 5), (1, 9), 16, 100.0, True
    )


def test_no_server_of_auctions_is_one_line():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        assert run("--auction", address, "--no-login") == (
            1,
            "",
            f"tickstorm: {address}: Connection refused\n",
        )


def test_without_an_operators_page_no_auction_is_created():
    code, output, errors = run("--auction", "--no-login", "--http", "nonsense")
    assert (code, output) == (1, "")
    assert errors.startswith("Error: 'nonsense' is neither http://HOST:PORT nor")
