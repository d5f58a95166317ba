"""The auction's core is pure: none of its modules brings Twisted with it."""

import subprocess
import sys

import pytest

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


def test_a_store_in_redis_chooses_no_reactor():
    program = (
        "import sys, tickstorm.auction.redis_connection, tickstorm.auction.redis_opening; "
        "print('twisted.internet.reactor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_only_where_a_store_is_made_hiredis_is_needed():
    program = "import sys, tickstorm.auction.redis_opening; print('hiredis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_a_server_without_auctions_does_not_load_them():
    program = (
        "import sys, tickstorm.service, tickstorm.workers.process; "
        "print([part for part in ('factory', 'house', 'redis_opening', 'tokens') "
        "if f'tickstorm.auction.{part}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_the_store_in_memory_chooses_no_reactor():
    program = (
        "import sys, tickstorm.auction.memory_store; "
        "print('twisted' in sys.modules, 'twisted.internet.reactor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True False\n"
