"""Frames: bytes in, frames out, however they were cut; anything else is one of our errors."""

from struct import pack

import crcmod.predefined
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.errors import (
    ChecksumFailed,
    InvalidMessage,
    MessageTooLarge,
    ProtocolError,
    UnsupportedVersion,
)
from tickstorm.frames import (
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    OVERHEAD_BYTES,
    Frame,
    FrameDecoder,
    FrameType,
    encode_frame,
    sole_payload,
)

crc32c = crcmod.predefined.mkPredefinedCrcFun("crc-32c")

PAYLOADS = {
    FrameType.AUTH: b"\n\x05alice\x12\x06secret",
    FrameType.SUBSCRIBE: b"\x08\x01\x12\x04AAPL",
    FrameType.HEARTBEAT: b"",
    FrameType.DATA_BATCH: bytes(range(256)),
    FrameType.ERROR: b"\x08\x09\x12\x03bad",
    FrameType.ACK: b"\x08\x01\x10\x01",
    FrameType.PONG: b"\x18\x07",
    FrameType.PUBLISH: b"\x10\x07",
    FrameType.UNSUBSCRIBE: b"",
    FrameType.GAP: b"\x08\x06\x10\x07\x18\x09",
    FrameType.GOAWAY: b"\x08\xe8\x07",
}

frame_lists = st.lists(
    st.builds(Frame, st.sampled_from(FrameType), st.binary(max_size=300)), max_size=12
)


def raw(type, payload, *, magic=0xF57D, version=1, length=None):
    """A frame as PROTOCOL describes it, made by nothing of ours."""
    body = pack(">HBBI", magic, version, type, len(payload) if length is None else length) + payload
    return body + pack(">I", crc32c(body))


def header(length, type=1):
    return pack(">HBBI", 0xF57D, 1, type, length)


def drain(decoder):
    return list(iter(decoder.next_frame, None))


def decode(*pieces, max_payload_bytes=MAX_PAYLOAD_BYTES):
    decoder = FrameDecoder(max_payload_bytes)
    frames = []
    for piece in pieces:
        decoder.feed(piece)
        frames += drain(decoder)
    return frames, decoder.pending_bytes


def outcome(data):
    try:
        return decode(data)
    except ProtocolError as error:
        return type(error)


# Encoding.


def test_sizes():
    assert (HEADER_BYTES, OVERHEAD_BYTES, MAX_PAYLOAD_BYTES) == (8, 12, 65536)


@given(st.sampled_from(FrameType), st.binary(max_size=64), st.binary(min_size=1, max_size=20))
def test_a_sole_payload_is_that_of_one_whole_right_frame_and_of_nothing_else(type, payload, more):
    frame = encode_frame(type, payload)
    assert sole_payload(type, frame) == payload
    others = [frame[:end] for end in range(len(frame))]
    others += [frame + more, more + frame, frame + frame]
    others += [frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :] for at in range(len(frame))]
    assert {sole_payload(type, other) for other in others} == {None}
    assert {sole_payload(other, frame) for other in FrameType if other is not type} == {None}


@pytest.mark.parametrize("type", FrameType)
def test_a_frame_is_encoded_as_the_protocol_says(type):
    assert encode_frame(type, PAYLOADS[type]) == raw(type.value, PAYLOADS[type])


def test_an_empty_heartbeat_in_full():
    body = bytes.fromhex("f57d 01 03 00000000")
    assert encode_frame(FrameType.HEARTBEAT, b"") == body + pack(">I", crc32c(body))


# Cutting.


@pytest.mark.parametrize("type", FrameType)
def test_every_split_point_of_every_kind(type):
    data = raw(type.value, PAYLOADS[type])
    frame = Frame(type, PAYLOADS[type])
    for at in range(len(data) + 1):
        decoder = FrameDecoder()
        decoder.feed(data[:at])
        early = drain(decoder)
        assert early == ([frame] if at == len(data) else [])
        assert decoder.pending_bytes == (0 if early else at)
        decoder.feed(data[at:])
        assert early + drain(decoder) == [frame]
        assert decoder.pending_bytes == 0


@given(frame_lists, st.data())
def test_a_stream_cut_anywhere_gives_the_same_frames(frames, data):
    stream = b"".join(raw(frame.type.value, frame.payload) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*pieces) == (frames, 0)


@given(frame_lists, st.data())
def test_taking_frames_late_changes_nothing(frames, data):
    stream = b"".join(raw(frame.type.value, frame.payload) for frame in frames)
    decoder = FrameDecoder()
    taken, at = [], 0
    while at < len(stream):
        to = data.draw(st.integers(at + 1, len(stream)))
        decoder.feed(stream[at:to])
        at = to
        if data.draw(st.booleans()):
            frame = decoder.next_frame()
            taken += [frame] if frame else []
    assert (taken + drain(decoder), decoder.pending_bytes) == (frames, 0)


@pytest.mark.parametrize("type", FrameType)
def test_payloads_are_bytes_however_they_came(type):
    data = raw(type.value, PAYLOADS[type])
    for pieces in ([data], [data[:3], data[3:]]):
        ((frame,), _) = decode(*pieces)
        assert frame == (type, PAYLOADS[type])
        assert (frame.type.__class__, frame.payload.__class__) == (FrameType, bytes)


class CountingBuffer(bytearray):
    """Counts the bytes that are copied out of it or moved within it."""

    moved = 0

    def __getitem__(self, key):
        piece = super().__getitem__(key)
        self.moved += len(piece)
        return piece

    def __delitem__(self, key):
        self.moved += len(self) - len(self[key])
        super().__delitem__(key)


def test_a_large_frame_fed_byte_by_byte_is_linear():
    payload = bytes(65536)
    data = raw(4, payload)
    decoder = FrameDecoder()
    decoder.feed(data[:1])
    decoder.feed(data[1:2])
    buffer = decoder._buffer = CountingBuffer(decoder._buffer)  # the one place that can copy
    for at in range(2, len(data)):
        decoder.feed(data[at : at + 1])
        frame = decoder.next_frame()
        assert (frame is None) == (at < len(data) - 1)
        if at < len(data) - 1:
            assert (buffer.moved, decoder._buffer is buffer) == (0, True)
    assert frame == (FrameType.DATA_BATCH, payload)
    assert buffer.moved == len(data) - 4 + len(payload)  # once for the sum, once for the frame
    assert decoder.pending_bytes == 0


def test_many_frames_in_one_segment_are_not_copied_for_each_other():
    count = 10_000
    decoder = FrameDecoder()
    decoder.feed(b"\xf5")
    decoder.feed((raw(3, b"") * count)[1:])
    buffer = decoder._buffer = CountingBuffer(decoder._buffer)
    assert drain(decoder) == [Frame(FrameType.HEARTBEAT, b"")] * count
    assert buffer.moved == 8 * count


def test_nothing_is_held_back_after_the_last_frame():
    decoder = FrameDecoder()
    decoder.feed(raw(4, bytes(1000))[:-1])
    decoder.feed(raw(4, bytes(1000))[-1:])
    assert len(drain(decoder)) == 1
    assert decoder._buffer == b""


# Refusing.


def expected_after_flip(bit, data):
    """What the one flipped bit of a frame must lead to, by the field that it is in."""
    byte, flipped = divmod(bit, 8)
    if byte < 2:
        return InvalidMessage
    if byte == 2:
        return UnsupportedVersion
    if byte == 3:
        known = data[3] ^ (1 << flipped) in range(1, 12)
        return ChecksumFailed if known else InvalidMessage
    if byte < 8:
        real = len(data) - OVERHEAD_BYTES
        length = real ^ (1 << (8 * (7 - byte) + flipped))
        if length > MAX_PAYLOAD_BYTES:
            return MessageTooLarge
        return ([], len(data)) if length > real else ChecksumFailed
    return ChecksumFailed


@pytest.mark.parametrize("type", FrameType)
def test_each_single_bit_flipped(type):
    data = raw(type.value, PAYLOADS[type])
    for bit in range(8 * len(data)):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        assert outcome(bytes(wrong)) == expected_after_flip(bit, data), bit


def test_a_flipped_bit_of_the_length_gives_every_kind_of_answer():
    data = raw(4, bytes(300))
    answers = [expected_after_flip(bit, data) for bit in range(32, 64)]
    assert answers.count(MessageTooLarge) == 16  # 2^16 + 300 and more; the low 16 bits fit
    assert answers.count(ChecksumFailed) == bin(300).count("1")
    assert answers.count(([], len(data))) == 16 - bin(300).count("1")


@pytest.mark.parametrize("length", [0, 1, 65535, MAX_PAYLOAD_BYTES])
def test_a_length_up_to_the_limit_waits_for_its_payload(length):
    assert decode(header(length)) == ([], 8)


@pytest.mark.parametrize("length", [MAX_PAYLOAD_BYTES + 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_length_over_the_limit_is_refused_from_the_header_alone(length):
    with pytest.raises(MessageTooLarge, match=f"a payload of {length} bytes is over the limit of"):
        decode(header(length))


def test_a_header_is_judged_only_when_it_is_whole():
    decoder = FrameDecoder()
    decoder.feed(header(2**32 - 1)[:7])
    assert decoder.next_frame() is None
    decoder.feed(b"\xff")
    with pytest.raises(MessageTooLarge):
        decoder.next_frame()


@pytest.mark.parametrize("limit", [0, 1, 100, 2**20])
def test_the_limit_can_be_set(limit):
    at_limit = raw(4, bytes(limit))
    assert decode(at_limit, max_payload_bytes=limit)[0] == [
        Frame(FrameType.DATA_BATCH, bytes(limit))
    ]
    with pytest.raises(MessageTooLarge):
        decode(header(limit + 1), max_payload_bytes=limit)


def test_the_largest_frame():
    payload = bytes(MAX_PAYLOAD_BYTES)
    assert decode(raw(4, payload)) == ([Frame(FrameType.DATA_BATCH, payload)], 0)


@pytest.mark.parametrize("type", [0, *range(12, 256)])
def test_every_unknown_type(type):
    with pytest.raises(InvalidMessage, match=f"^unknown frame type 0x{type:02X}$"):
        decode(raw(type, b""))


@pytest.mark.parametrize("version", [0, *range(2, 256)])
def test_every_other_version(version):
    with pytest.raises(UnsupportedVersion, match=f"^version 1 is spoken here, not {version}$"):
        decode(raw(3, b"", version=version))


@pytest.mark.parametrize("magic", [0, 0xF57C, 0x7DF5, 0xFFFF])
def test_another_magic(magic):
    with pytest.raises(InvalidMessage, match=f"^a frame begins with F57D, not {magic:04X}$"):
        decode(raw(3, b"", magic=magic))


def test_the_first_wrong_field_names_the_error():
    everything_wrong = pack(">HBBI", 0, 9, 99, 2**32 - 1)
    assert outcome(everything_wrong) is InvalidMessage
    assert outcome(pack(">HBBI", 0xF57D, 9, 99, 2**32 - 1)) is UnsupportedVersion
    assert outcome(pack(">HBBI", 0xF57D, 1, 99, 2**32 - 1)) is InvalidMessage
    assert outcome(pack(">HBBI", 0xF57D, 1, 1, 2**32 - 1)) is MessageTooLarge


def test_frames_before_a_wrong_one_are_given_and_none_after_it():
    decoder = FrameDecoder()
    decoder.feed(raw(3, b"") + raw(3, b"")[:-1] + b"\x00" + raw(3, b""))
    assert decoder.next_frame() == Frame(FrameType.HEARTBEAT, b"")
    for _ in range(3):
        with pytest.raises(ChecksumFailed):
            decoder.next_frame()


def test_only_the_checksum_of_the_very_bytes_is_right():
    body = header(3, type=4) + b"abc"
    little_endian = body + pack("<I", crc32c(body))
    payload_only = body + pack(">I", crc32c(b"abc"))
    assert outcome(little_endian) is outcome(payload_only) is ChecksumFailed


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_only_our_errors(data):
    result = outcome(data)
    assert isinstance(result, tuple) or issubclass(result, ProtocolError)


@given(
    st.binary(max_size=40),
    st.sampled_from(FrameType),
    st.integers(0, 2**32 - 1) | st.integers(0, 60),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_a_right_looking_header_before_arbitrary_bytes(tail, type, length, cuts):
    data = header(length, type.value) + tail
    pieces = [data[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True)]
    if length > MAX_PAYLOAD_BYTES:
        with pytest.raises(MessageTooLarge):
            decode(*pieces)
    elif len(data) < length + OVERHEAD_BYTES:
        assert decode(*pieces) == ([], len(data))
    elif pack(">I", crc32c(data[: 8 + length])) != data[8 + length : 12 + length]:
        with pytest.raises(ChecksumFailed):
            decode(*pieces)
