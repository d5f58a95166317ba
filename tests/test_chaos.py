"""What becomes of the frames of a server that misbehaves: whole plans, on times made up here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.chaos import (
    DRIP_PAUSE,
    DRIP_PIECES,
    LONGEST_DELAY,
    MAX_HELD_BYTES,
    MAX_HELD_SECONDS,
    SHORTEST_DELAY,
    Chaos,
    ChaosOptions,
    Fault,
    Injected,
    Step,
)
from tickstorm.errors import ChecksumFailed
from tickstorm.frames import HEADER_BYTES, Frame, FrameDecoder, FrameType, encode_frame

NOW = 100.0
PONG = encode_frame(FrameType.PONG, pb.HeartbeatResponse(sequence=1).SerializeToString())


def batch(sequence, ticks=1, is_snapshot=False):
    one = pb.Tick(symbol="EURUSD", price=1.5)
    message = pb.DataBatch(ticks=[one] * ticks, batch_sequence=sequence, is_snapshot=is_snapshot)
    return encode_frame(FrameType.DATA_BATCH, message.SerializeToString())


def chaotic(*faults, seed=7, rate=1.0, connection=1):
    return Chaos(ChaosOptions(frozenset(faults), seed, rate), connection)


def planned(chaos, *frames, now=NOW):
    """The steps that frames come to, whenever they are due."""
    for frame in frames:
        chaos.write(frame, now)
    return chaos.take(now + 3600)


def frames_in(data):
    decoder = FrameDecoder()
    decoder.feed(data)
    return list(iter(decoder.next_frame, None))


# Each fault.


def test_a_dup_is_the_frame_twice():
    assert planned(chaotic(Fault.DUP), batch(5)) == [
        Step(NOW, batch(5) + batch(5), injected=Injected(Fault.DUP, 5))
    ]


def test_a_gap_is_nothing():
    chaos = chaotic(Fault.GAP)
    assert planned(chaos, batch(5), PONG) == [
        Step(NOW, b"", injected=Injected(Fault.GAP, 5)),
        Step(NOW, PONG),
    ]


def test_a_cut_ends_within_the_frame_and_nothing_follows():
    chaos = chaotic(Fault.CUT)
    (step,) = planned(chaos, batch(5) + PONG, batch(6))
    assert step == Step(NOW, step.data, ends=True, injected=Injected(Fault.CUT, 5))
    assert 0 < len(step.data) < len(batch(5))
    assert batch(5).startswith(step.data)
    chaos.close(NOW)
    assert chaos.take(NOW + 3600) == []


def test_cuts_fall_anywhere_within_a_frame():
    lengths = {
        len(planned(chaotic(Fault.CUT, connection=number), batch(1))[0].data)
        for number in range(1000)
    }
    assert lengths == set(range(1, len(batch(1))))


def test_a_bad_checksum_is_one_bit_behind_the_header():
    places = set()
    for number in range(1000):
        (step,) = planned(chaotic(Fault.BADCRC, connection=number), batch(5))
        assert step == Step(NOW, step.data, injected=Injected(Fault.BADCRC, 5))
        changed = [one ^ other for one, other in zip(step.data, batch(5), strict=True)]
        assert sum(map(int.bit_count, changed)) == 1
        places.add(next(at for at, bits in enumerate(changed) if bits))
        with pytest.raises(ChecksumFailed):
            frames_in(step.data)
    assert places == set(range(HEADER_BYTES, len(batch(5))))


@pytest.mark.parametrize("ticks", [1, 1000])
def test_a_drip_comes_in_pieces_the_header_byte_by_byte(ticks):
    steps = planned(chaotic(Fault.DRIP), batch(5, ticks))
    assert b"".join(step.data for step in steps) == batch(5, ticks)
    assert [len(step.data) for step in steps[:HEADER_BYTES]] == [1] * HEADER_BYTES
    assert all(step.data for step in steps)
    assert len(steps) == min(len(batch(5, ticks)), DRIP_PIECES)
    assert [step.at for step in steps] == [NOW + n * DRIP_PAUSE for n in range(len(steps))]
    assert [step.injected for step in steps] == [
        Injected(Fault.DRIP, 5),
        *[None] * (len(steps) - 1),
    ]


def test_what_is_behind_a_delay_comes_with_it():
    chaos = chaotic(Fault.DELAY)
    chaos.write(batch(5), NOW)
    due_at = chaos.due_at
    assert SHORTEST_DELAY <= due_at - NOW <= LONGEST_DELAY
    chaos.write(PONG, NOW + 0.1)
    assert chaos.take(due_at - 0.001) == []
    assert chaos.take(due_at) == [
        Step(due_at, batch(5), injected=Injected(Fault.DELAY, 5)),
        Step(due_at, PONG),
    ]
    chaos.write(PONG, due_at + 1)
    assert chaos.take(due_at + 1) == [Step(due_at + 1, PONG)]


def test_a_snapshot_is_neither_doubled_nor_left_out():
    snapshot = batch(5, is_snapshot=True)
    for fault in (Fault.DUP, Fault.GAP):
        assert planned(chaotic(fault), snapshot) == [Step(NOW, snapshot)]
    (step,) = planned(chaotic(Fault.CUT), snapshot)
    assert step.injected == Injected(Fault.CUT, 5)


# Which batches.


def faults_of(chaos, *frames):
    """The place and kind of each fault, by the number of the batch that has it."""
    steps = planned(chaos, *frames)
    return {step.injected.batch_sequence: step.injected.fault for step in steps if step.injected}


KEEPING = tuple(fault for fault in Fault if fault is not Fault.CUT)
"""The faults behind which a connection goes on."""


def test_the_faults_of_a_seed_and_a_connection():
    frames = [batch(number) for number in range(40)]
    first = faults_of(chaotic(*KEEPING, rate=0.2), *frames)
    assert first == {
        0: Fault.DUP,
        13: Fault.BADCRC,
        16: Fault.DRIP,
        17: Fault.DUP,
        18: Fault.BADCRC,
        19: Fault.BADCRC,
        22: Fault.BADCRC,
        32: Fault.DELAY,
    }
    assert faults_of(chaotic(*reversed(KEEPING), rate=0.2), *frames) == first
    assert faults_of(chaotic(*KEEPING, rate=0.2, connection=2), *frames) != first
    assert faults_of(chaotic(*KEEPING, rate=0.2, seed=8), *frames) != first


def test_nothing_else_moves_a_fault():
    frames = [batch(number) for number in range(40)]
    first = faults_of(chaotic(*KEEPING, rate=0.2), *frames)
    for others in (
        [frame + PONG for frame in frames],
        [b"".join(frames)],
        [bytes([byte]) for byte in b"".join(frames)],
        [batch(number, ticks=number) for number in range(40)],
    ):
        assert faults_of(chaotic(*KEEPING, rate=0.2), *others) == first


def test_the_rate():
    frames = [batch(number) for number in range(2000)]
    assert faults_of(chaotic(*KEEPING, rate=1e-9), *frames) == {}
    assert len(faults_of(chaotic(*KEEPING, rate=0.05), *frames)) == 89
    hit = faults_of(chaotic(*KEEPING), *frames)
    assert (len(hit), set(hit.values())) == (2000, set(KEEPING))


@given(st.lists(st.integers(1, 60)), st.lists(st.floats(0, 0.5), min_size=1), st.integers(0, 99))
def test_what_is_only_late_is_all_there_and_in_order(cuts, waits, seed):
    whole = b"".join([batch(1), PONG, batch(2, 30), batch(3), PONG, batch(4)])
    chaos = chaotic(Fault.DRIP, Fault.DELAY, seed=seed, rate=0.7)
    now, at, steps = NOW, 0, []
    for number, size in enumerate([*cuts, len(whole)]):
        now += waits[number % len(waits)]
        chaos.write(whole[at : at + size], now)
        steps += chaos.take(now)
        at += size
    assert chaos.due_at >= now
    steps += chaos.take(now + MAX_HELD_SECONDS)
    assert b"".join(step.data for step in steps) == whole
    assert [step.at for step in steps] == sorted(step.at for step in steps)


# The bounds, and the end.


@pytest.mark.parametrize("fault", [Fault.DRIP, Fault.DELAY])
def test_nothing_waits_longer_than_its_limit(fault):
    chaos = chaotic(fault)
    for number in range(100):
        chaos.write(batch(number), NOW + number / 100)
    chaos.take(NOW + 0.99 + MAX_HELD_SECONDS)
    assert (chaos.due_at, chaos.take(NOW + 3600)) == (float("inf"), [])


def test_beyond_its_bytes_the_oldest_goes_early():
    chaos, frame = chaotic(Fault.DELAY), batch(1, 1000)
    room = MAX_HELD_BYTES // len(frame)
    for _ in range(room):
        chaos.write(frame, NOW)
    assert chaos.take(NOW) == []
    for _ in range(2):
        chaos.write(frame, NOW)
    assert [step.data for step in chaos.take(NOW)] == [frame] * 2
    assert [step.data for step in chaos.take(NOW + MAX_HELD_SECONDS)] == [frame] * room


def test_the_end_waits_for_what_is_before_it():
    chaos = chaotic(Fault.DELAY)
    chaos.write(batch(5), NOW)
    due_at = chaos.due_at
    chaos.close(NOW)
    chaos.close(NOW)
    chaos.write(PONG, NOW)
    assert chaos.take(NOW + 3600) == [
        Step(due_at, batch(5), injected=Injected(Fault.DELAY, 5)),
        Step(due_at, b"", ends=True),
    ]


def test_without_anything_before_it_the_end_is_now():
    chaos = chaotic(Fault.DELAY)
    chaos.close(NOW)
    assert chaos.take(NOW) == [Step(NOW, b"", ends=True)]


def test_frames_that_are_hit_by_nothing_are_the_same():
    chaos = chaotic(*Fault, rate=1e-9)
    assert planned(chaos, batch(1), PONG) == [Step(NOW, batch(1)), Step(NOW, PONG)]
    assert frames_in(PONG) == [Frame(FrameType.PONG, PONG[HEADER_BYTES:-4])]
