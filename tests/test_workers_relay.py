"""The relay: which workers are on which stream, and one emission for all of them."""

from itertools import chain

import pytest
from conversation import names, read
from relaying import Parent, Worker, wants
from test_broadcast import calls_of

from tickstorm.errors import InternalError
from tickstorm.frames import encode_frame
from tickstorm.records import batch_frame
from tickstorm.subscriptions import Mode
from tickstorm.ticks import Tick
from tickstorm.workers.link import PART_BYTES, Join, Leave, LinkDecoder, Unplaced, emission


def asked(parent, worker, subscription, slot=0):
    """What the parent answers to a join, in one part."""
    parent.relay.join(parent.fanout, Join(1, subscription, slot), worker.placements)
    (answer,) = LinkDecoder().receive(worker.way.frames.pop())
    return answer


def left_behind(parent):
    relay = parent.relay
    return len(relay._numbers) + len(relay._numbered) + sum(map(len, parent.hub.streams.values()))


def test_a_worker_is_a_stream_s_subscriber():
    parent = Parent()
    worker = Worker(parent)
    answer = asked(parent, worker, wants(Mode.SECOND))
    (stream,) = parent.hub.streams[1000]
    assert list(stream.subscribers) == [worker.way]
    assert (answer.request, answer.next_sequence, answer.frames) == (
        1,
        stream.next_sequence,
        [],
    )


def test_equal_subscriptions_have_one_number_and_others_another():
    parent = Parent(slots=2)
    one, other = Worker(parent), Worker(parent)
    numbers = [
        asked(parent, worker, subscription, slot).number
        for worker, subscription, slot in (
            (one, wants(Mode.SECOND, "A", "B"), 0),
            (one, wants(Mode.SECOND, "B", "A"), 0),
            (other, wants(Mode.SECOND, "A", "B"), 0),
            (one, wants(Mode.SECOND, "A", "B"), 1),
            (one, wants(Mode.MINUTE, "A", "B"), 0),
            (one, wants(Mode.TICK, "A", "B"), 0),
            (one, wants(Mode.SECOND), 0),
        )
    ]
    assert numbers == [1, 1, 1, 2, 3, 4, 5]


def test_the_slot_is_that_which_the_worker_asks_for():
    parent = Parent(slots=2)
    worker = Worker(parent)
    asked(parent, worker, wants(Mode.SECOND), 1)
    assert [stream.key.slot for stream in parent.hub.streams[1000]] == [1]


def test_an_emission_is_encoded_once_for_all_workers():
    parent = Parent()
    workers = [Worker(parent) for _ in range(5)]
    for worker in workers:
        asked(parent, worker, wants())
    parent.publish(1.5)
    sent = [worker.way.frames.pop() for worker in workers]
    assert len({id(frame) for frame in sent}) == 1
    assert [len(worker.way.frames) for worker in workers] == [0] * 5


def test_a_period_is_encoded_once_a_stream_however_many_workers_and_clients_there_are():
    parent = Parent()
    workers = [Worker(parent) for _ in range(4)]
    wanted = [wants(Mode.SECOND), wants(Mode.SECOND, "EURUSD"), wants(Mode.MINUTE)]
    groups = [
        [worker.join(subscription)[0] for _ in range(10)]
        for worker in workers
        for subscription in wanted
    ]
    for worker in workers:
        worker.pump()
    parent.publish(1.0)
    with calls_of(batch_frame, emission) as calls:
        parent.reactor.advance(1)
    assert calls == {batch_frame: 2, emission: 2}  # the minute is not over
    with calls_of(batch_frame, emission, encode_frame) as calls:
        for worker in workers:
            worker.pump()
    assert calls == {}
    for group in groups:
        frames = [frame for subscriber in group for frame in subscriber.frames]
        assert len(frames) == (0 if group[0].subscription.mode is Mode.MINUTE else 10)
        assert len({id(frame) for frame in frames}) <= 1  # nor is it copied for each


def test_it_says_when_it_began_and_what_comes_next():
    parent = Parent()
    worker = Worker(parent)
    answer = asked(parent, worker, wants())
    parent.reactor.rightNow += 5
    parent.publish(*[1.5] * 1001)  # two frames
    (emission,) = LinkDecoder().receive(worker.way.frames.pop())
    assert (emission.number, emission.began) == (answer.number, parent.reactor.seconds())
    assert emission.next_sequence == answer.next_sequence + 2
    assert names(read(b"".join(emission.frames))) == [[1.5] * 1000, [1.5]]


def test_a_worker_gets_what_it_is_on_and_nothing_else():
    parent = Parent()
    one, other, idle = (Worker(parent) for _ in range(3))
    asked(parent, one, wants(Mode.TICK, "A"))
    asked(parent, other, wants(Mode.TICK, "B"))
    parent.publish(1.0, symbol="A")
    assert [len(worker.way.frames) for worker in (one, other, idle)] == [1, 0, 0]


def test_what_was_collected_before_a_join_is_on_its_way_before_the_answer():
    parent = Parent(batch_window=0.005)
    one = Worker(parent)
    one.join(wants())
    one.pump()
    parent.publish(1.0)
    one.join(wants(snapshot=True))
    one.speak()
    emission, answer = (next(LinkDecoder().receive(frame)) for frame in one.way.frames)
    assert names(read(b"".join(emission.frames))) == [[1.0]]
    assert names(read(b"".join(answer.frames))) == [[1.0]]


def test_a_worker_leaves_when_it_has_given_up_every_placed():
    parent = Parent()
    worker = Worker(parent)
    for _ in range(3):
        number = asked(parent, worker, wants()).number
    for count in (1, 1):
        parent.relay.leave(parent.fanout, Leave(number, count), worker.placements)
        assert parent.streams_of(worker)
    parent.relay.leave(parent.fanout, Leave(number, 1), worker.placements)
    assert (parent.streams_of(worker), left_behind(parent)) == (set(), 0)
    assert worker.placements.placed == {}


def test_or_all_of_them_at_once():
    parent = Parent()
    worker = Worker(parent)
    for _ in range(3):
        number = asked(parent, worker, wants()).number
    parent.relay.leave(parent.fanout, Leave(number, 3), worker.placements)
    assert left_behind(parent) == 0


def test_a_worker_that_leaves_takes_no_other_along():
    parent = Parent()
    one, other = Worker(parent), Worker(parent)
    number = asked(parent, one, wants()).number
    asked(parent, other, wants())
    parent.relay.leave(parent.fanout, Leave(number, 1), one.placements)
    parent.publish(1.0)
    assert [len(worker.way.frames) for worker in (one, other)] == [0, 1]


def test_a_worker_that_is_gone_is_on_no_stream():
    parent = Parent()
    one, other = Worker(parent), Worker(parent)
    for subscription in (wants(), wants(Mode.SECOND), wants(Mode.MINUTE, "A"), wants()):
        asked(parent, one, subscription)
    asked(parent, other, wants())
    parent.relay.leave_all(parent.fanout, one.placements)
    assert parent.streams_of(one) == set()
    assert (len(parent.streams_of(other)), left_behind(parent)) == (1, 3)
    parent.relay.leave_all(parent.fanout, other.placements)
    assert left_behind(parent) == 0


def test_a_worker_that_was_nowhere_may_be_gone_too():
    parent = Parent()
    parent.relay.leave_all(parent.fanout, Worker(parent).placements)
    assert left_behind(parent) == 0


def test_a_stream_that_comes_back_has_another_number():
    parent = Parent()
    worker = Worker(parent)
    first = asked(parent, worker, wants()).number
    parent.relay.leave(parent.fanout, Leave(first, 1), worker.placements)
    assert asked(parent, worker, wants()).number == first + 1


LONG = {f"{number:064}": "x" * 256 for number in range(20)}


def arrived(worker):
    """What is on its way to a worker, each with the bytes of its frames."""
    messages = [each for frame in worker.way.frames for each in LinkDecoder().receive(frame)]
    worker.way.frames.clear()
    return messages


def test_a_long_emission_is_sent_in_parts_that_are_numbered_on():
    parent = Parent()
    workers = [Worker(parent) for _ in range(2)]
    first, _ = (asked(parent, worker, wants()) for worker in workers)
    parent.hub.publish([Tick("A", 1.0 + number, metadata=LONG) for number in range(400)])
    assert len({id(frame) for worker in workers for frame in worker.way.frames}) == 3
    emissions = arrived(workers[0])
    assert all(sum(map(len, each.frames)) <= PART_BYTES for each in emissions)
    numbers = [[batch.batch_sequence for batch in read(b"".join(e.frames))] for e in emissions]
    expected = range(first.next_sequence, emissions[-1].next_sequence)
    assert list(chain.from_iterable(numbers)) == list(expected)
    assert [each[-1] + 1 for each in numbers] == [each.next_sequence for each in emissions]
    assert len({(each.number, each.began) for each in emissions}) == 1


@pytest.mark.parametrize("before_the_last", [1, 20, 30])
def test_numbers_go_on_beyond_the_last_one_of_all(before_the_last):
    parent = Parent()
    worker = Worker(parent)
    asked(parent, worker, wants())
    (stream,) = parent.hub.streams[0]
    stream.next_sequence = 2**32 - before_the_last
    parent.hub.publish([Tick("A", 1.0 + number, metadata=LONG) for number in range(400)])
    emissions = arrived(worker)
    lasts = [read(each.frames[-1])[0].batch_sequence for each in emissions]
    assert [each.next_sequence for each in emissions] == [(last + 1) % 2**32 for last in lasts]
    assert lasts[-1] < lasts[0] or before_the_last == 1


def test_a_long_snapshot_is_sent_in_parts_and_the_last_says_so():
    parent = Parent()
    worker = Worker(parent)
    parent.hub.publish([Tick(f"S{number}", 1.0, metadata=LONG) for number in range(400)])
    parent.relay.join(parent.fanout, Join(7, wants(snapshot=True), 0), worker.placements)
    answers = arrived(worker)
    assert [(each.request, each.number, each.more) for each in answers] == [
        (7, 1, True),
        (7, 1, True),
        (7, 1, False),
    ]
    assert all(sum(map(len, each.frames)) <= PART_BYTES for each in answers)
    batches = read(b"".join(frame for each in answers for frame in each.frames))
    assert len([tick for batch in batches for tick in batch.ticks]) == 400
    assert worker.placements.placed == {1: 1}


@pytest.mark.parametrize("on_it_already", [False, True])
def test_a_join_that_fails_is_answered_and_leaves_what_was_as_it_was(on_it_already):
    parent = Parent()
    worker = Worker(parent)
    if on_it_already:
        asked(parent, worker, wants())
    before = (parent.streams_of(worker), left_behind(parent), dict(worker.placements.placed))
    parent.hub.snapshot = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        parent.relay.join(parent.fanout, Join(7, wants(snapshot=True), 0), worker.placements)
    assert [(type(each), each.request, type(each.error)) for each in arrived(worker)] == [
        (Unplaced, 7, InternalError)
    ]
    after = (parent.streams_of(worker), left_behind(parent), dict(worker.placements.placed))
    assert after == before
    parent.publish(1.0)
    assert len(worker.way.frames) == on_it_already
