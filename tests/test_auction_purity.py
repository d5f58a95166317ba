"""The auction's core is pure: none of its modules brings Twisted with it."""

import subprocess
import sys

import pytest

PURE = [
    "batches",
    "bid_ids",
    "book",
    "interfaces",
    "life",
    "metrics",
    "money",
    "pacing",
    "permits",
    "rule",
    "session",
    "turns",
    "watching",
    "wire",
]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_not_load_twisted(module):
    program = f"import sys, tickstorm.auction.{module}; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_the_store_in_memory_chooses_no_reactor():
    program = (
        "import sys, tickstorm.auction.memory_store; "
        "print('twisted' in sys.modules, 'twisted.internet.reactor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True False\n"
