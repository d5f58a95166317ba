"""CRC32C: two implementations, one published value."""

import subprocess
import sys

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.checksum import crc32c, portable_crc32c

CHECK_VALUE = 0xE3069283
"""RFC 3720, B.4, and the catalogue of CRCs, for b"123456789"."""

PUBLISHED = [
    (b"", 0x00000000),
    (b"123456789", CHECK_VALUE),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(reversed(range(32))), 0x113FDB5C),
]
"""RFC 3720, B.4."""


@pytest.mark.parametrize("function", [crc32c, portable_crc32c, google_crc32c.value])
@pytest.mark.parametrize(("data", "expected"), PUBLISHED)
def test_each_implementation_gives_the_published_values(function, data, expected):
    assert function(data) == expected


@given(st.binary(max_size=5000))
def test_the_implementations_agree(data):
    assert crc32c(data) == portable_crc32c(data) == google_crc32c.value(data)


def test_the_fast_implementation_is_used_where_there_is_one():
    assert google_crc32c.implementation == "c"
    assert crc32c is google_crc32c.value


@pytest.mark.parametrize(
    "substitute",
    [
        pytest.param("None", id="missing"),
        pytest.param("types.SimpleNamespace(implementation='python')", id="slow"),
    ],
)
def test_the_portable_implementation_takes_its_place(substitute):
    program = f"""
import sys, types
sys.modules["google_crc32c"] = {substitute}
from tickstorm.checksum import crc32c, portable_crc32c
assert crc32c is portable_crc32c
print(hex(crc32c(b"123456789")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"0xe3069283\n"
