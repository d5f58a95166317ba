"""Streams: one numbering and one encoding for whoever listens."""

import pytest

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.records import tick_record
from tickstorm.sequences import SEQUENCE_MODULUS
from tickstorm.stream import Stream, StreamKey, StreamTable, Surroundings
from tickstorm.ticks import Tick

ALL = StreamKey(None)
A = StreamKey(frozenset({"A"}))
AB = StreamKey(frozenset({"A", "B"}))


def opened(frames):
    decoder = FrameDecoder()
    batches = []
    for frame in frames:
        decoder.feed(frame)
        type, payload = decoder.next_frame()
        assert type is FrameType.DATA_BATCH
        batches.append(pb.DataBatch.FromString(payload))
    return batches


def records(count, size=0):
    metadata = {"m": "x" * size} if size else {}
    return [tick_record(Tick("A", 1.0, n, 5, metadata=metadata)) for n in range(count)]


def sequences(frames):
    return [batch.batch_sequence for batch in opened(frames)]


def test_a_batch_in_whole():
    stream = Stream(ALL, 7, Surroundings(65536))
    (batch,) = opened(stream.batches(records(2), timestamp_ms=11, publish_time_ns=13))
    tick = {"symbol": "A", "price": 1.0, "mode": 3, "timestamp_ns": 5}
    assert batch == pb.DataBatch(
        ticks=[pb.Tick(**tick), pb.Tick(**tick, volume=1.0)],
        batch_timestamp_ms=11,
        batch_sequence=7,
        schema_version=1,
        publish_time_ns=13,
    )
    assert stream.next_sequence == 8


def test_sequences_rise_by_one_and_an_empty_batch_has_one_too():
    stream = Stream(ALL, 1, Surroundings(65536))
    sent = [sequences(stream.batches(records(count), 0, 0)) for count in (1, 0, 2500, 3)]
    assert sent == [[1], [2], [3, 4, 5], [6]]


def test_sequences_wrap():
    assert SEQUENCE_MODULUS == 2**32
    stream = Stream(ALL, 2**32 - 2, Surroundings(65536))
    assert sequences(stream.batches(records(2500), 0, 0)) == [2**32 - 2, 2**32 - 1, 0]
    assert stream.next_sequence == 1


@pytest.mark.parametrize(
    ("round", "sequence"), [(0, 5), (4, 5), (5, 5), (6, 6), (9, 9), (2**32, 0)]
)
def test_each_round_that_passed_without_a_stream_is_a_hole(round, sequence):
    stream = Stream(ALL, 5, Surroundings(65536))
    stream.next_round = 5
    stream.catch_up(round)
    assert (stream.next_sequence, stream.next_round) == (sequence, round + 1)


def test_no_frame_is_longer_than_the_limit():
    stream = Stream(ALL, 1, Surroundings(32_768))
    frames = stream.batches(records(900, size=200), 0, 0)
    assert all(len(frame) <= 32_768 + 12 for frame in frames)
    batches = opened(frames)
    assert [batch.batch_sequence for batch in batches] == list(range(1, len(frames) + 1))
    assert [tick.volume for batch in batches for tick in batch.ticks] == list(range(900))


@pytest.mark.parametrize(
    ("key", "symbols"),
    [(ALL, None), (A, ("A",)), (StreamKey(frozenset("QWERTZUIOP")), tuple("EIOPQRTUWZ"))],
)
def test_a_streams_symbols_are_in_order(key, symbols):
    assert Stream(key, 1, Surroundings(65536)).symbols == symbols


# The table.


def by_symbol(key):
    return key.symbols or (None,)


def new_table(marks=by_symbol):
    return StreamTable(Surroundings(65536), marks)


def test_a_stream_is_shared_by_its_key():
    table = new_table()
    stream = table.open(A, 5)
    assert table.open(A, 9) is stream
    assert table.open(StreamKey(frozenset({"A"}), slot=1), 9) is not stream
    assert (len(table), [s.key for s in table]) == (2, [A, A._replace(slot=1)])
    assert stream.next_sequence == 5


def test_two_orders_of_a_set_are_one_stream():
    table = new_table()
    assert table.open(AB, 1) is table.open(StreamKey(frozenset(["B", "A"])), 1)


def test_a_first_number_beyond_the_modulus_wraps():
    assert new_table().open(A, 2**32 + 3).next_sequence == 3


def test_which_keys_a_table_has():
    table = new_table()
    stream = table.open(A, 1)
    stream.join("first")
    assert [key in table for key in (A, ALL, AB, A._replace(slot=1))] == [True, False, False, False]
    table.leave(stream, "first")
    assert A not in table


@pytest.mark.parametrize(
    ("mark", "expected"), [("A", [A, AB]), ("B", [AB]), ("C", []), (None, [ALL])]
)
def test_streams_are_found_by_their_marks(mark, expected):
    table = new_table()
    for key in (A, ALL, AB):
        table.open(key, 1)
        table.open(key, 1)
    assert [stream.key for stream in table.marked(mark)] == expected


def test_what_marks_a_stream_is_for_its_cadence_to_say():
    table = new_table(lambda key: (key.slot, "odd" if key.slot % 2 else "even"))
    streams = [table.open(A._replace(slot=slot), 1) for slot in range(4)]
    for stream in streams:
        stream.join("first")
    assert [list(table.marked(slot)) for slot in (3, 4)] == [streams[3:], []]
    assert list(table.marked("even")) == streams[::2]
    assert list(table.marked("odd")) == streams[1::2]
    for stream in streams:
        table.leave(stream, "first")
    assert table._marked == {}


def test_a_mark_that_nobody_has_is_not_kept():
    table = new_table()
    assert (len(table.marked("A")), table._marked) == (0, {})


def test_a_stream_ends_with_its_last_subscriber():
    table = new_table()
    stream = table.open(AB, 1)
    stream.join("first")
    stream.join("second")
    table.leave(stream, "first")
    assert (list(stream.subscribers), list(table)) == (["second"], [stream])
    table.leave(stream, "second")
    assert (len(table), list(table.marked("A")), list(table.marked("B"))) == (0, [], [])
    assert table._marked == {}


def test_leaving_twice_or_without_having_come_changes_nothing():
    table = new_table()
    stream = table.open(A, 1)
    stream.join("first")
    table.leave(stream, "stranger")
    assert list(table) == [stream]
    table.leave(stream, "first")
    table.leave(stream, "first")
    assert list(table) == []


def test_leaving_a_stream_that_is_gone_does_not_end_the_one_that_took_its_place():
    table = new_table()
    gone = table.open(A, 1)
    gone.join("first")
    table.leave(gone, "first")
    present = table.open(A, 2)
    present.join("second")
    table.leave(gone, "first")
    assert (list(table), list(table.marked("A"))) == ([present], [present])


def test_what_a_subscriber_was_sent_is_what_its_stream_had_since_it_joined():
    stream = new_table().open(A, 1)
    stream.join("first")
    stream.bytes_sent += 100
    stream.join("second")
    stream.bytes_sent += 10
    stream.join("first")
    assert [stream.sent_to(name) for name in ("first", "second", "stranger")] == [110, 10, 0]


def test_one_set_leaves_the_streams_of_its_symbols_to_others():
    table = new_table()
    a, ab = table.open(A, 1), table.open(AB, 1)
    a.join("first")
    table.leave(a, "first")
    assert (list(table.marked("A")), list(table.marked("B"))) == ([ab], [ab])
