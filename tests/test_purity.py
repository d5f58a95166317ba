"""The core is pure: none of its modules brings Twisted with it."""

import subprocess
import sys

import pytest

PURE = [
    "checksum",
    "errors",
    "frames",
    "messages",
    "ticks",
    "bars",
    "stream",
    "cadence",
    "hub",
    "session",
    "overload",
    "admission",
    "credentials",
    "config",
    "descriptions",
    "kinds",
    "settings",
    "welcome",
    "addresses",
    "web.health",
    "client.session",
    "client.client",
    "client.connection",
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
