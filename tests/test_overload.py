"""A backlog's bounds, each at its edge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outlets import plain_backlog

from tickstorm.errors import SlowConsumer
from tickstorm.overload import BacklogLimits


def backlog(now=0.0, **limits):
    return plain_backlog(BacklogLimits(**limits), now)


def test_how_far_a_connection_may_fall_behind_by_default():
    assert BacklogLimits() == BacklogLimits(1000, 4_194_304, 5.0, 1_048_576, 60.0)


def test_as_many_frames_as_the_limit_and_no_more():
    queue = backlog(max_frames=3)
    for frame in (b"a", b"b", b"c"):
        queue.push(frame)
    with pytest.raises(SlowConsumer, match=r"^more than 3 frames are waiting$"):
        queue.push(b"d")
    assert (len(queue), queue.bytes) == (4, 4)


def test_as_many_bytes_as_the_limit_and_no_more():
    queue = backlog(max_bytes=10)
    for frame in (b"12345", b"67890"):
        queue.push(frame)
    with pytest.raises(SlowConsumer, match=r"^more than 10 bytes are waiting$"):
        queue.push(b"x")
    assert (len(queue), queue.bytes) == (3, 11)


def test_one_frame_larger_than_the_limit_is_too_much():
    queue = backlog(max_bytes=10)
    with pytest.raises(SlowConsumer):
        queue.push(bytes(11))


def test_what_was_taken_makes_room():
    queue = backlog(max_frames=2, max_bytes=4)
    for frame in (b"ab", b"cd"):
        queue.push(frame)
    assert queue.take(2, 0.0) == b"ab"
    queue.push(b"ef")
    assert (queue.take(99, 0.0), len(queue), queue.bytes) == (b"cdef", 0, 0)


@pytest.mark.parametrize(
    ("at_most", "taken"),
    [
        (0, b"aa"),
        (1, b"aa"),
        (2, b"aa"),
        (4, b"aa"),
        (5, b"aabbb"),
        (8, b"aabbb"),
        (9, b"aabbbcccc"),
    ],
)
def test_at_least_one_frame_is_taken_and_more_as_long_as_they_fit(at_most, taken):
    queue = backlog()
    for frame in (b"aa", b"bbb", b"cccc"):
        queue.push(frame)
    assert (queue.take(at_most, 0.0), queue.bytes) == (taken, 9 - len(taken))


def test_nothing_is_taken_from_an_empty_one():
    assert backlog().take(100, 0.0) == b""


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=30), st.integers(0, 50))
def test_frames_come_out_whole_and_in_order(frames, at_most):
    queue = backlog()
    for frame in frames:
        queue.push(frame)
    pieces = []
    while queue:
        pieces.append(queue.take(at_most, 0.0))
    assert b"".join(pieces) == b"".join(frames)
    ends = {sum(map(len, frames[:n])) for n in range(len(frames) + 1)}
    assert {sum(map(len, pieces[:n])) for n in range(len(pieces) + 1)} <= ends
    assert all(pieces)


def test_the_rest_of_a_frame_that_was_begun_goes_first_and_alone_whatever_the_bounds():
    queue = backlog(max_frames=1, max_bytes=4)
    queue.push(b"abcd")
    queue.push_rest(b"rest")
    assert (len(queue), queue.bytes) == (2, 8)
    assert (queue.take(99, 0.0), queue.bytes) == (b"rest", 4)
    assert (queue.take(99, 0.0), queue.bytes) == (b"abcd", 0)


def test_the_write_deadline_is_at_exactly_its_time():
    queue = backlog(now=100.0, write_deadline=5.0)
    queue.push(b"a")
    queue.check(104.999)
    with pytest.raises(SlowConsumer, match=r"^what was written 5 s ago is not yet read$"):
        queue.check(105.0)


def test_taking_moves_the_deadline_and_pushing_does_not():
    queue = backlog(now=0.0, write_deadline=5.0)
    queue.push(b"a")
    queue.push(b"b")
    queue.take(1, 4.0)
    queue.push(b"c")
    queue.check(8.999)
    with pytest.raises(SlowConsumer):
        queue.check(9.0)
