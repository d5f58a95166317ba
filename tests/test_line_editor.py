"""Keys become lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.commands.line_editor import MAX_TYPED, LineEditor


def typed(*pieces):
    """The lines, what is left, and whether it has ended."""
    editor = LineEditor()
    lines = [line for piece in pieces for line in editor.take(piece)]
    return lines, editor.text, editor.ended


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        ((b"12.5",), ([], "12.5", False)),
        ((b"12.5", b"0\n"), (["12.50"], "", False)),
        ((b"1\r2\n",), (["1", "2"], "", False)),
        ((b"13\x7f\x082\n",), (["2"], "", False)),
        ((b"\x7f1\n",), (["1"], "", False)),
        ((b"12\x153",), ([], "3", False)),
        ((b"12\x04",), ([], "12", False)),
        ((b"\x045\n",), ([], "", True)),
        ((b"1\x1b[A\x1b[1;5C\x1bOP\x1bx2",), ([], "12", False)),
        ((b"1\x00\x07\xff2",), ([], "12", False)),
    ],
)
def test_what_is_typed(pieces, found):
    assert typed(*pieces) == found


def test_a_line_is_bounded():
    assert typed(b"1" * 100) == ([], "1" * MAX_TYPED, False)


@given(st.binary())
def test_nothing_that_commands_a_terminal_is_left(data):
    lines, text, _ = typed(data)
    assert all(line.isprintable() for line in (*lines, text))
