"""cutting: whole frames out of any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.bench.cutting import MAX_PAYLOAD_BYTES, cut_frames
from tickstorm.errors import InvalidMessage, MessageTooLarge
from tickstorm.frames import FrameType, encode_frame

frames = st.lists(
    st.builds(encode_frame, st.sampled_from(FrameType), st.binary(max_size=50)), max_size=5
)


@given(frames, st.data())
def test_however_it_is_cut_the_frames_are_the_same(expected, data):
    stream = b"".join(expected)
    found, rest, at = [], b"", 0
    while at < len(stream):
        end = data.draw(st.integers(at + 1, len(stream)))
        whole, rest = cut_frames(rest + stream[at:end])
        found += whole
        at = end
    assert (found, rest) == (expected, b"")


def test_what_is_no_frame():
    with pytest.raises(InvalidMessage, match="begins with 4854"):
        cut_frames(encode_frame(FrameType.PONG, b"") + b"HTTP/1.1 400")


def test_what_is_too_long():
    header = bytes([0xF5, 0x7D, 1, 4])
    assert cut_frames(header + MAX_PAYLOAD_BYTES.to_bytes(4, "big"))[0] == []
    with pytest.raises(MessageTooLarge):
        cut_frames(header + (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big"))
