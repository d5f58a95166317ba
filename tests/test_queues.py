"""Queues by policy: what is dropped or conflated is told right before what comes."""

from collections import Counter

import pytest
from lagging import FAT, batch, told
from test_broadcast import calls_of

from tickstorm.conflation import NewestTicks
from tickstorm.errors import SlowConsumer
from tickstorm.queues import Bound, EveryFrame, NewestBatches, NewestOfEach
from tickstorm.records import read_trailer

LAST = 2**32 - 1
SNAPSHOT = batch(4, ("A", 0.5), ("B", 0.5), is_snapshot=True)


def newest_batches(frames=3, bytes=10**6):
    losses = Counter()
    return NewestBatches(Bound(frames, bytes), losses), losses


def newest_of_each(frames=3, bytes=10**6):
    losses, newest = Counter(), NewestTicks()
    return NewestOfEach(Bound(frames, bytes), lambda: newest, losses), losses


def push(queue, *frames):
    for frame in frames:
        queue.push(frame)


def numbered(first, last):
    return [batch(number, ("A", float(number))) for number in range(first, last + 1)]


def all_of(queue):
    """What comes out, one frame or more at a time."""
    pieces = []
    while queue:
        pieces.append(queue.take(1))
    return told(b"".join(pieces))


# What all of them keep.

KINDS = [
    lambda: EveryFrame(Bound(3, 10**6)),
    lambda: newest_batches()[0],
    lambda: newest_of_each()[0],
]


@pytest.mark.parametrize("make", KINDS)
def test_within_the_bound_everything_comes_as_it_is(make):
    queue = make()
    frames = numbered(5, 7)
    push(queue, *frames)
    size = len(frames[0])
    assert (len(queue), queue.queued_bytes, queue.fill) == (3, 3 * size, 1.0)
    assert queue.unsent() == (5, 7)
    assert queue.take(2 * size + 1) == frames[0] + frames[1]
    assert (len(queue), queue.queued_bytes, queue.unsent()) == (1, size, (7, 7))
    assert queue.take(0) == frames[2]
    assert (len(queue), queue.queued_bytes, queue.unsent()) == (0, 0, None)
    assert queue.take(100) == b""


@pytest.mark.parametrize("make", KINDS)
def test_what_is_cleared_is_forgotten(make):
    queue = make()
    push(queue, *numbered(5, 6))
    queue.clear()
    assert (len(queue), queue.queued_bytes, queue.unsent(), queue.fill) == (0, 0, None, 0.0)
    assert queue.take(100) == b""
    push(queue, *numbered(20, 21))
    assert all_of(queue) == [(20, {"A": 20.0}), (21, {"A": 21.0})]


@pytest.mark.parametrize("make", KINDS)
def test_the_bytes_fill_it_too(make):
    queue = make()
    queue._bound = Bound(1000, 4 * len(SNAPSHOT))
    push(queue, *numbered(5, 6))
    assert queue.fill == pytest.approx(2 * len(numbered(5, 5)[0]) / (4 * len(SNAPSHOT)))


def test_every_frame_is_any_frame():
    queue = EveryFrame(Bound(9, 1000))
    push(queue, b"one", SNAPSHOT, b"two", *numbered(7, 8), b"three")
    assert queue.unsent() == (7, 8)
    assert queue.take(3) == b"one"
    assert queue.take(10**6) == SNAPSHOT + b"two" + b"".join(numbered(7, 8)) + b"three"


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (Bound(2, 100), "more than 2 frames are waiting"),
        (Bound(9, 6), "more than 6 bytes are waiting"),
    ],
)
def test_who_wants_every_frame_is_to_end_at_the_bound(bound, said):
    queue = EveryFrame(bound)
    push(queue, b"one", b"two")
    with pytest.raises(SlowConsumer, match=f"^{said}$"):
        queue.push(b"3")
    assert queue.queued_bytes == 7


# DROP_OLDEST.


def test_beyond_the_frames_the_oldest_go():
    queue, losses = newest_batches()
    push(queue, batch(5, ("A", 1.0), ("B", 1.0)), batch(6), *numbered(7, 10))
    assert (len(queue), queue.unsent(), queue.fill, losses) == (3, (5, 10), 1.0, {})
    assert all_of(queue) == [
        (5, 7, 3, "dropped"),
        (8, {"A": 8.0}),
        (9, {"A": 9.0}),
        (10, {"A": 10.0}),
    ]
    assert losses == {"dropped": 3}


def test_beyond_the_bytes_the_oldest_go_too():
    size = len(numbered(5, 5)[0])
    queue, _ = newest_batches(100, 2 * size)
    push(queue, *numbered(5, 8))
    assert queue.queued_bytes == 2 * size
    assert all_of(queue) == [(5, 6, 2, "dropped"), (7, {"A": 7.0}), (8, {"A": 8.0})]


def test_the_newest_batch_stays_however_large_it_is():
    queue, _ = newest_batches(3, 1000)
    large = batch(8, ("A", 1.0, FAT))
    push(queue, *numbered(5, 7), large)
    assert queue.queued_bytes == len(large)
    assert all_of(queue) == [(5, 7, 3, "dropped"), (8, {"A": 1.0})]


def test_each_run_of_losses_is_told_before_what_follows_it():
    queue, _ = newest_batches(2)
    push(queue, *numbered(5, 8))
    assert told(queue.take(1)) == [(5, 6, 2, "dropped"), (7, {"A": 7.0})]
    push(queue, *numbered(9, 11))
    assert all_of(queue) == [(8, 9, 2, "dropped"), (10, {"A": 10.0}), (11, {"A": 11.0})]


def test_a_loss_over_the_wrap_of_the_numbers():
    queue, _ = newest_batches(1)
    push(queue, *(batch(number, ("A", 1.0)) for number in (LAST - 1, LAST, 0, 1)))
    assert queue.unsent() == (LAST - 1, 1)
    assert all_of(queue) == [(LAST - 1, 0, 3, "dropped"), (1, {"A": 1.0})]


# CONFLATE.


def test_beyond_the_bound_only_the_newest_of_each_symbol_comes():
    queue, losses = newest_of_each()
    push(
        queue,
        batch(5, ("A", 1.0), ("B", 1.0)),
        batch(6, ("A", 2.0), ("A", 3.0)),
        batch(7),
        batch(8, ("C", 1.0)),
        batch(9, ("A", 4.0)),
    )
    assert (len(queue), queue.unsent(), queue.fill, losses) == (1, (5, 9), 1.0, {})
    assert all_of(queue) == [(5, 8, 3, "conflated"), (9, {"B": 1.0, "C": 1.0, "A": 4.0})]
    assert losses == {"conflated": 3}


def test_the_times_are_those_of_the_newest_batch():
    queue, _ = newest_of_each(1)
    push(queue, batch(5, ("A", 1.0)), batch(6, ("B", 2.0)))
    frame = queue.take(1)
    expected = batch(6, ("A", 1.0), ("B", 2.0))
    assert frame[-40:-4] == expected[-40:-4]  # the trailer; the ticks have times of their own


def test_as_long_as_it_would_save_no_batch_nothing_is_replaced():
    queue, losses = newest_of_each(1)
    fat = [batch(n, *[(f"S{n}{at}", 1.0, FAT) for at in range(4)], ("A", n)) for n in range(5, 9)]
    push(queue, *fat[:3])
    assert (len(queue), queue.queued_bytes) == (3, sum(map(len, fat[:3])))
    assert b"".join(iter(lambda: queue.take(1), b"")) == b"".join(fat[:3])
    assert losses == {}


SEVERAL = [
    (5, 19, 30, "conflated"),
    (20, {"S5": 19.0, "S6": 20.0}),
    (21, 22, 3, "conflated"),
    (23, {"S0": 21.0, "S1": 22.0, "S2": 23.0}),
    (24, {"S3": 24.0, "S4": 24.0}),
]
"""What comes of batches 5 to 24 that `push_fat` made."""


def test_more_than_fits_into_a_batch_becomes_several_each_with_the_number_of_its_last():
    queue, losses = newest_of_each(1)
    push_fat(queue, 5, 24)
    assert len(queue) == 3
    assert all_of(queue) == SEVERAL
    assert losses == {"conflated": 33}


def test_what_is_conflated_stays_so_until_all_is_out():
    queue, _ = newest_of_each(2)
    push(queue, *numbered(5, 8))
    assert told(queue.take(1)) == [(5, 7, 3, "conflated"), (8, {"A": 8.0})]
    push(queue, *numbered(9, 10))
    assert (len(queue), queue.fill) == (1, 1.0)
    assert all_of(queue) == [(9, 9, 1, "conflated"), (10, {"A": 10.0})]


def push_fat(queue, first, last):
    """Batches of two fat ticks each, which are of seven symbols together: two batches of them."""
    for number in range(first, last + 1):
        push(queue, batch(number, *((f"S{at % 7}", number, FAT) for at in (number, number + 1))))


def test_what_began_to_come_is_not_conflated_once_more():
    queue, _ = newest_of_each(1)
    push_fat(queue, 5, 24)
    assert told(queue.take(1)) == SEVERAL[:2]
    push(queue, *(batch(number, ("S6", number)) for number in (25, 26, 27)))
    assert queue.unsent() == (21, 27)
    assert all_of(queue) == [*SEVERAL[2:], (25, 26, 2, "conflated"), (27, {"S6": 27.0})]


def test_a_single_batch_comes_as_it_is():
    queue, _ = newest_of_each(1)
    push(queue, *numbered(5, 6))
    queue.take(1)
    twice = batch(7, ("A", 1.0), ("A", 2.0))
    push(queue, twice)
    assert queue.take(1) == twice


def test_empty_batches_become_an_empty_one():
    queue, _ = newest_of_each(1)
    push(queue, batch(5), batch(6), batch(7))
    assert all_of(queue) == [(5, 6, 0, "conflated"), (7, {})]


def test_conflating_over_the_wrap_of_the_numbers():
    queue, _ = newest_of_each(1)
    push(queue, *(batch(number, ("A", 1.0)) for number in (LAST - 1, LAST, 0, 1)))
    assert queue.unsent() == (LAST - 1, 1)
    assert all_of(queue) == [(LAST - 1, 0, 3, "conflated"), (1, {"A": 1.0})]


def test_it_is_no_longer_than_it_says():
    queue, _ = newest_of_each(1)
    for number in range(5, 40):
        push(queue, batch(number, *[(f"S{at}", number, FAT) for at in range(number % 9)]))
    most, came = queue.queued_bytes, b""
    while queue:
        came += queue.take(1)
    assert 0.7 * most < len(came) <= most


# What they are made of.


@pytest.mark.parametrize(
    ("frames", "bytes", "used"), [(0, 0, 0.0), (2, 10, 0.5), (1, 80, 0.8), (5, 0, 1.25)]
)
def test_a_bound_is_used_as_much_as_the_nearer_of_both(frames, bytes, used):
    assert Bound(4, 100).used(frames, bytes) == used


def test_asking_for_the_numbers_again_takes_no_frame_apart_again():
    queue = EveryFrame(Bound(10, 10**6))
    queue.push(batch(7))
    with calls_of(read_trailer) as calls:
        assert [queue.unsent() for _ in range(100)] == [(7, 7)] * 100
    assert calls == {read_trailer: 1}
