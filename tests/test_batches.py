"""Frames that wait, taken apart: their records are those that were put in, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st
from lagging import FAT, batch

from tickstorm.batches import MAX_SHARED_BATCHES, Batch, shared_batch
from tickstorm.frames import FrameType, encode_frame
from tickstorm.messages import Gap, ack_frame, gap_frame
from tickstorm.records import BatchTrailer, batch_frame, tick_record
from tickstorm.subscriptions import Mode
from tickstorm.ticks import Tick

tick = st.builds(
    lambda symbol, price, metadata: Tick(symbol, price, metadata=metadata),
    st.from_regex(r"[A-Z0-9._-]{1,16}", fullmatch=True),
    st.floats(0.0001, 1e6),
    st.sampled_from([{}, {"a": "b"}, {"k": "v" * 200}, FAT]),
)
trailer = st.builds(
    BatchTrailer,
    st.integers(0, 2**50),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**62),
    st.booleans(),
)


@given(st.lists(tick, max_size=8), st.sampled_from(Mode), trailer)
def test_what_was_put_in(ticks, mode, trailer):
    records = [tick_record(tick, mode) for tick in ticks]
    waiting = Batch(batch_frame(records, **trailer._asdict()))
    symbols = [tick.symbol.encode() for tick in ticks]
    assert waiting.records() == list(zip(symbols, records, strict=True))
    assert waiting.trailer == trailer
    assert (waiting.ticks, waiting.sequence) == (len(ticks), trailer.sequence)
    assert waiting.records_bytes == sum(map(len, records))
    assert len(waiting) == len(waiting.frame)
    assert waiting.is_numbered is not trailer.is_snapshot


def test_other_frames_are_not_numbered():
    frames = (
        b"",
        b"<7>....",
        ack_frame(FrameType.AUTH, "welcome", 1),
        gap_frame(Gap(1, 2, 3, "dropped")),
        encode_frame(FrameType.GOAWAY, b""),
    )
    assert [Batch(frame).is_numbered for frame in frames] == [False] * len(frames)


def test_whoever_gets_the_same_frame_has_one_batch():
    frames = [batch(number, ("A", 1.0)) for number in range(1, MAX_SHARED_BATCHES + 1)]
    first = [shared_batch(frame) for frame in frames]
    assert all(shared_batch(frame) is found for frame, found in zip(frames, first, strict=True))
