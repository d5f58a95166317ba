"""The relay: which workers are on which stream, and one emission for all of them."""

from conversation import names, read
from relaying import Parent, Worker, wants

from tickstorm.messages import Mode
from tickstorm.workers.link import Join, Leave, LinkDecoder


def asked(parent, worker, subscription, slot=0):
    """What the parent answers to a join."""
    return parent.relay.join(parent.fanout, Join(1, subscription, slot), worker.placements)


def left_behind(parent):
    relay = parent.relay
    return len(relay._numbers) + len(relay._numbered) + sum(map(len, parent.hub.streams.values()))


def test_a_worker_is_a_stream_s_subscriber():
    parent = Parent()
    worker = Worker(parent)
    answer = asked(parent, worker, wants(Mode.SECOND))
    (stream,) = parent.hub.streams[Mode.SECOND]
    assert list(stream.subscribers) == [worker.way]
    assert (answer.request, answer.next_sequence, answer.snapshot) == (1, stream.next_sequence, ())


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
    assert [stream.key.slot for stream in parent.hub.streams[Mode.SECOND]] == [1]


def test_an_emission_is_encoded_once_for_all_workers():
    parent = Parent()
    workers = [Worker(parent) for _ in range(5)]
    for worker in workers:
        asked(parent, worker, wants())
    parent.publish(1.5)
    sent = [worker.way.frames.pop() for worker in workers]
    assert len({id(frame) for frame in sent}) == 1
    assert [len(worker.way.frames) for worker in workers] == [0] * 5


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
    assert names(read(b"".join(answer.snapshot))) == [[1.0]]


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
