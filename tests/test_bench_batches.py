"""batches: the same four numbers that protobuf reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bars import Bar
from tickstorm.bench.batches import BatchFacts, read_batch
from tickstorm.errors import InvalidMessage
from tickstorm.frames import FrameDecoder
from tickstorm.records import bar_record, batch_frame
from tickstorm.subscriptions import Mode
from tickstorm.ticks import Tick

METADATA = {"venue": "x" * 200}
NOW_NS = 1_700_000_000_123_456_789

messages = st.builds(
    pb.DataBatch,
    ticks=st.lists(
        st.builds(
            pb.Tick,
            symbol=st.text(max_size=200),
            timestamp_ms=st.integers(-(2**63), 2**63 - 1),
            price=st.floats(),
            metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
        ),
        max_size=20,
    ),
    batch_timestamp_ms=st.integers(0, 2**63 - 1),
    batch_sequence=st.integers(0, 2**32 - 1),
    is_snapshot=st.booleans(),
    schema_version=st.integers(0, 2**32 - 1),
    publish_time_ns=st.integers(0, 2**64 - 1),
)


def facts(message):
    return BatchFacts(
        len(message.ticks),
        message.batch_timestamp_ms,
        message.batch_sequence,
        message.publish_time_ns,
    )


def test_a_batch_of_the_server():
    bar = Bar(Tick("S1", 100.0, 10.0, NOW_NS, metadata=METADATA))
    frame = batch_frame(
        [bar_record(bar, Mode.SECOND)] * 3,
        timestamp_ms=NOW_NS // 10**6,
        sequence=70_000,
        publish_time_ns=NOW_NS,
    )
    decoder = FrameDecoder()
    decoder.feed(frame)
    payload = decoder.next_frame().payload
    assert read_batch(payload) == BatchFacts(3, NOW_NS // 10**6, 70_000, NOW_NS)


def test_nothing_is_all_zeros():
    assert read_batch(b"") == BatchFacts(0, 0, 0, 0)


@given(messages)
def test_any_batch(message):
    assert read_batch(message.SerializeToString()) == facts(message)


@given(messages, messages)
def test_pieces_may_stand_in_any_order(first, second):
    joined = first.SerializeToString() + second.SerializeToString()
    assert read_batch(joined) == facts(pb.DataBatch.FromString(joined))


def test_fields_of_a_later_version_are_passed_over():
    later = bytes([9 << 3 | 5]) + b"1234" + bytes([10 << 3 | 1]) + b"12345678"
    later += bytes([11 << 3 | 2, 3]) + b"abc" + bytes([12 << 3 | 0, 200, 1])
    assert read_batch(later + bytes([3 << 3, 5])) == BatchFacts(0, 0, 5, 0)


@given(st.binary(max_size=200))
def test_anything_else_gives_only_our_error(payload):
    try:
        read = read_batch(payload)
    except InvalidMessage:
        return
    assert read.ticks >= 0


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a",  # a tick without a length
        b"\x0a\x05abc",  # a tick that is cut off
        b"\x10" + b"\xff" * 11,  # a number without an end
        b"\x31\x00\x00",  # a publish time that is cut off
        b"\x0b",  # a group
    ],
)
def test_what_is_none(payload):
    with pytest.raises(InvalidMessage, match="the payload is no DataBatch"):
        read_batch(payload)
