"""Ticks and bars on their way out: what they carry, the exact bytes, and how they are split."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import NOW_MS, double, field, opened, raw, varint

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bars import Bar
from tickstorm.frames import FrameType
from tickstorm.records import bar_record, batch_frame, split_records, tick_record
from tickstorm.subscriptions import Mode
from tickstorm.ticks import MAX_TICKS_PER_BATCH, Tick

QUOTE = Tick("AAPL", 2.5, 3.0, 1_700_000_000_123_456_789, 2.25, 2.75, 10, 2**63 - 1, {"venue": "x"})


def parsed(record):
    (tick,) = pb.DataBatch.FromString(record).ticks
    return tick


def test_a_tick_keeps_everything():
    assert parsed(tick_record(QUOTE)) == pb.Tick(
        symbol="AAPL",
        timestamp_ms=1_700_000_000_123,
        price=2.5,
        volume=3.0,
        bid=2.25,
        ask=2.75,
        bid_size=10,
        ask_size=2**63 - 1,
        mode=pb.SUBSCRIPTION_MODE_TICK,
        metadata={"venue": "x"},
        timestamp_ns=1_700_000_000_123_456_789,
    )


@pytest.mark.parametrize("mode", [Mode.SECOND, Mode.MINUTE])
def test_the_last_value_of_another_mode_has_milliseconds_alone(mode):
    tick = parsed(tick_record(QUOTE, mode))
    assert (tick.mode, tick.timestamp_ms, tick.timestamp_ns) == (mode, 1_700_000_000_123, 0)


def test_a_bar_is_its_last_tick_and_what_the_period_did():
    bar = Bar(Tick("AAPL", 2.0, 1.0, 1_000_000))
    bar.add(Tick("AAPL", 4.0, 2.0, 2_000_000))
    bar.add(Tick("AAPL", 1.0, 1.0, 3_000_000))
    bar.add(QUOTE)
    assert parsed(bar_record(bar, Mode.MINUTE)) == pb.Tick(
        symbol="AAPL",
        timestamp_ms=1_700_000_000_123,
        price=2.5,
        volume=7.0,
        bid=2.25,
        ask=2.75,
        bid_size=10,
        ask_size=2**63 - 1,
        mode=pb.SUBSCRIPTION_MODE_MINUTE,
        metadata={"venue": "x"},
        open=2.0,
        high=4.0,
        low=1.0,
        vwap=(2.0 + 8.0 + 1.0 + 7.5) / 7.0,
        trade_count=4,
    )


# What is sent, byte by byte.

SECOND_BAR = Bar(Tick("AAPL", 2.5, volume=4.0, timestamp_ns=7_000_000))
BAR_OF_AAPL = b"".join(
    [
        field(1, 2, b"AAPL"),
        field(2, 0, varint(7)),
        field(3, 1, double(2.5)),
        field(4, 1, double(4.0)),
        field(9, 0, varint(1)),
        *(field(number, 1, double(2.5)) for number in (11, 12, 13, 14)),
        field(15, 0, varint(1)),
    ]
)

BATCHES = {
    "a bar": (
        batch_frame(
            [bar_record(SECOND_BAR, Mode.SECOND)],
            timestamp_ms=NOW_MS,
            sequence=2**32 - 1,
            publish_time_ns=NOW_MS * 1_000_000 + 1,
        ),
        raw(
            4,
            field(1, 2, BAR_OF_AAPL)
            + field(2, 0, varint(NOW_MS))
            + field(3, 0, varint(2**32 - 1))
            + field(5, 0, varint(1))
            + field(6, 1, struct.pack("<Q", NOW_MS * 1_000_000 + 1)),
        ),
    ),
    "an empty one": (
        batch_frame([], timestamp_ms=1, sequence=2, publish_time_ns=3, is_snapshot=True),
        raw(4, bytes.fromhex("10 01 18 02 20 01 28 01 31 03 00 00 00 00 00 00 00")),
    ),
}


@pytest.mark.parametrize(("ours", "golden"), BATCHES.values(), ids=BATCHES)
def test_the_very_bytes_of_a_batch(ours, golden):
    assert ours == golden


# Splitting.

TRAILER = 34
"""The longest end of a batch: the tags and values of fields 2 to 6."""


def batch(records, **fields):
    numbers = {"timestamp_ms": NOW_MS, "sequence": 2**32 - 1, "publish_time_ns": 2**63} | fields
    return batch_frame(records, **numbers)


def test_records_joined_are_a_batch_of_them():
    ticks = [Tick(symbol, 1.0, timestamp_ns=5) for symbol in ("A", "B", "C")]
    type, sent = opened(batch(map(tick_record, ticks), is_snapshot=True), pb.DataBatch)
    assert type is FrameType.DATA_BATCH
    assert sent == pb.DataBatch(
        ticks=[parsed(tick_record(tick)) for tick in ticks],
        batch_timestamp_ms=NOW_MS,
        batch_sequence=2**32 - 1,
        is_snapshot=True,
        schema_version=1,
        publish_time_ns=2**63,
    )


@pytest.mark.parametrize(
    ("count", "runs"),
    [
        (0, [0]),
        (1, [1]),
        (999, [999]),
        (1000, [1000]),
        (1001, [1000, 1]),
        (2000, [1000, 1000]),
        (2001, [1000, 1000, 1]),
    ],
)
def test_a_batch_is_split_at_a_thousand_ticks(count, runs):
    assert MAX_TICKS_PER_BATCH == 1000
    assert [len(run) for run in split_records([b"x"] * count, 65536)] == runs


def test_a_batch_is_split_at_the_limit_of_the_payload():
    record = bytes(1000)
    runs = list(split_records([record] * 131, 65536))
    assert [len(run) for run in runs] == [65, 65, 1]


def test_a_run_may_fill_all_but_the_64_bytes_set_aside_for_the_end():
    assert [len(run) for run in split_records([bytes(109)] * 8, 64 + 4 * 109)] == [4, 4]
    assert [len(run) for run in split_records([bytes(109)] * 8, 63 + 4 * 109)] == [3, 3, 2]


def test_the_longest_end_of_a_batch_fits_behind_a_full_run():
    longest = {"timestamp_ms": 2**63 - 1, "is_snapshot": True}
    assert len(batch([], **longest)) - 12 <= TRAILER
    limit = 500
    full, _ = split_records([b"x"] * 600, limit)
    assert limit - 64 <= len(batch(full, **longest)) - 12 <= limit


@given(
    st.lists(st.integers(1, 300), max_size=50),
    st.integers(1, 25),
    st.integers(400, 20_000),
)
def test_the_split_batches_are_the_input_each_within_the_limits(sizes, times, limit):
    records = [bytes([n % 251]) * size for n, size in enumerate(sizes * times)]
    runs = list(split_records(records, limit))
    assert [record for run in runs for record in run] == records
    assert len(runs) >= 1
    assert all(len(run) <= 1000 for run in runs)
    assert all(len(batch(run)) - 12 <= limit for run in runs)
    assert all(runs) == bool(records)


def test_the_largest_tick_fits_into_the_smallest_batch():
    largest = Tick(
        "ABCDEFGHIJKLMNOP",
        999_999.5,
        1e9,
        2**63 - 1,
        999_999.5,
        999_999.5,
        2**63 - 1,
        2**63 - 1,
        {chr(0x10000 + n) * 64: chr(0x10000) * 256 for n in range(20)},
    )
    records = [tick_record(largest)] * 3
    assert [len(run) for run in split_records(records, 32_768)] == [1, 1, 1]
    assert len(batch(records[:1])) - 12 <= 32_768
