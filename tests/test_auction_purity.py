"""The auction's core is pure: none of its modules brings Twisted with it."""

import subprocess
import sys
from pathlib import Path

import pytest

import tickstorm

PURE = [
    "batches",
    "bid_ids",
    "book",
    "breaker",
    "interfaces",
    "life",
    "metrics",
    "money",
    "pacing",
    "permits",
    "redis_limits",
    "reading",
    "redis_packing",
    "redis_replies",
    "redis_time",
    "redis_url",
    "rule",
    "session",
    "tokens",
    "turns",
    "watching",
    "wire",
]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_not_load_twisted(module):
    program = f"import sys, tickstorm.auction.{module}; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_only_the_connection_loads_what_installs_a_reactor():
    program = (
        "import sys, tickstorm.auction.redis_opening; "
        "print('txredisapi' in sys.modules, 'twisted.internet.reactor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False False\n"


def test_nothing_else_imports_it():
    importing = [
        file.stem
        for file in Path(tickstorm.__file__).parent.rglob("*.py")
        if "import txredisapi" in file.read_text() or "redis_connection import" in file.read_text()
    ]
    assert sorted(importing) == ["redis_connection", "redis_opening"]


def test_the_store_in_memory_chooses_no_reactor():
    program = (
        "import sys, tickstorm.auction.memory_store; "
        "print('twisted' in sys.modules, 'twisted.internet.reactor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True False\n"
