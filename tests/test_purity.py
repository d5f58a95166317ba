"""The core is pure: none of its modules brings Twisted with it."""

import subprocess
import sys

import pytest

PURE = [
    "checksum",
    "errors",
    "fifo",
    "frames",
    "messages",
    "ticks",
    "bars",
    "stream",
    "epochs",
    "cadence",
    "hub",
    "session",
    "states",
    "events",
    "batches",
    "conflation",
    "queues",
    "past",
    "ring",
    "overload",
    "backlogs",
    "admission",
    "entrance",
    "credentials",
    "config",
    "agreement",
    "declarations",
    "descriptions",
    "kinds",
    "settings",
    "welcome",
    "addresses",
    "feed",
    "listing",
    "metrics",
    "reading",
    "open_files",
    "symbols",
    "rates",
    "chaos",
    "publishing",
    "departures",
    "reloading",
    "workers.shares",
    "workers.silence",
    "workers.spec",
    "workers.bids",
    "workers.handover",
    "workers.link",
    "workers.nursery",
    "workers.worker_process",
    "web.asking",
    "web.blocking_auctions",
    "web.health",
    "client.auction",
    "client.auction.alarm",
    "client.auction.session",
    "client.session",
    "client.client",
    "client.connection",
    "client.dialogue",
    "client.line",
    "client.publication",
    "client.publisher",
    "client.publisher_session",
    "client.pulse",
    "client.terms",
    "client.window",
]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_not_load_twisted(module):
    program = f"import sys, tickstorm.{module}; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_the_question_can_be_answered_with_yes():
    program = "import sys, tickstorm.clock; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True\n"


@pytest.mark.parametrize("module", ["workers.process", "workers.pool", "service"])
def test_what_is_loaded_before_a_fork_or_a_daemon_chooses_no_reactor(module):
    program = f"import sys, tickstorm.{module}; print('twisted.internet.reactor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"
