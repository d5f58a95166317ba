"""The core is pure: none of its modules brings Twisted, a clock, a logger or a socket with it."""

import subprocess
import sys
from importlib.util import find_spec

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
]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_not_load_twisted(module):
    name = f"tickstorm.{module}"
    if find_spec(name) is None:
        pytest.skip(f"there is no {name}")
    program = f"import sys, {name}; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_the_question_can_be_answered_with_yes():
    program = "import sys, tickstorm.clock; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True\n"
