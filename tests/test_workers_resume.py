"""With workers: who comes back to any of them goes on where it was at another."""

from collections import Counter
from functools import partial

import pytest
from conversation import epoch_of, names, read
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from listening import AMPLE
from relaying import Parent, Subscriber, Worker, wants
from test_broadcast import calls_of
from test_workers_remote import at_rest, nothing_left
from twisted.internet.defer import CancelledError

from tickstorm.backlogs import Backlogs
from tickstorm.errors import InternalError
from tickstorm.hub import Hub, HubLimits
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Mode, Overload, Position
from tickstorm.ticks import Tick
from tickstorm.workers.joins import BACKFILLS_UNDER_WAY, JOINS_AN_ANSWER
from tickstorm.workers.link import PART_BYTES, Join, Placed

KEEPS = HubLimits(history=AMPLE)


class Pool:
    """A parent that keeps what was sent, and its workers: each has every so manieth moment."""

    def __init__(self, workers=2, slots=1, batch_window=0.0):
        self.parent = Parent(slots, batch_window, KEEPS)
        step = workers if slots > 1 else 1
        self.workers = [
            Worker(self.parent, range(number % slots, slots, step)) for number in range(workers)
        ]

    def pump(self):
        for worker in self.workers:
            worker.pump()

    def advance(self, seconds):
        while seconds > 0:
            self.parent.reactor.advance(0.25)
            self.pump()
            seconds -= 0.25

    def lose(self, worker):
        """A worker is killed: its link is lost, and another takes its place."""
        self.parent.relay.leave_all(self.parent.fanout, worker.placements)
        self.workers[self.workers.index(worker)] = Worker(self.parent)


def resuming(subscription, epoch, after):
    return subscription._replace(resume=Position(epoch, after))


def got(subscriber):
    """All its batches as prices, those of the past first."""
    return names(read(b"".join((*subscriber.joined.backfill.past, *subscriber.frames))))


def sequences(frames):
    return [batch.batch_sequence for batch in read(b"".join(frames))]


def test_one_goes_on_at_another_worker_while_batches_are_on_their_way():
    pool = Pool()
    first, second = pool.workers
    gone, _ = first.join(wants())
    there, _ = second.join(wants())
    pool.pump()
    pool.parent.publish(1.0)
    pool.pump()
    first.leave(gone)
    for price in (2.0, 3.0):
        pool.parent.publish(price)
    back, joining = second.join(resuming(wants(), epoch_of(), 1))
    pool.parent.publish(4.0)
    second.speak()
    pool.parent.publish(5.0)
    assert not joining.called
    pool.pump()
    backfill = back.joined.backfill
    assert (backfill.recovered, backfill.next_sequence) == (True, 2)
    assert got(back) == [[2.0], [3.0], [4.0], [5.0]]
    assert got(there) == [[1.0], [2.0], [3.0], [4.0], [5.0]]
    assert back.joined.stream is there.joined.stream
    assert at_rest(pool.parent, *pool.workers)


def test_one_whose_worker_was_killed_goes_on_at_another():
    pool = Pool()
    first, second = pool.workers
    first.join(wants(Mode.TICK, "EUR*"))
    pool.pump()
    pool.parent.publish(1.0)
    pool.pump()
    pool.lose(first)
    pool.parent.publish(2.0)
    back, _ = second.join(resuming(wants(Mode.TICK, "EUR*"), epoch_of(Mode.TICK, "EUR*"), 1))
    pool.pump()
    pool.parent.publish(3.0)
    pool.pump()
    assert (back.joined.backfill.recovered, got(back)) == (True, [[2.0], [3.0]])
    second.leave(back)
    pool.pump()
    assert at_rest(pool.parent, *pool.workers)


def test_what_cannot_be_gone_on_from_is_told_and_a_snapshot_comes():
    pool = Pool()
    pool.parent.publish(1.0)
    back, _ = pool.workers[0].join(resuming(wants(), "epoch-0", 5))
    pool.pump()
    pool.parent.publish(2.0)
    pool.pump()
    assert (back.joined.backfill.recovered, got(back)) == (False, [[1.0], [2.0]])
    assert [batch.is_snapshot for batch in read(b"".join(back.joined.backfill.past))] == [True]


def test_who_names_a_time_gets_what_the_parent_keeps_since_then():
    pool = Pool()
    first, second = pool.workers
    first.join(wants(Mode.SECOND))
    pool.pump()
    for price in (1.0, 2.0):
        pool.parent.publish(price)
        pool.advance(1)
    late, _ = second.join(
        wants(Mode.SECOND)._replace(start_time_ms=pool.parent.clock.wall_ms() - 500)
    )
    pool.pump()
    assert (late.joined.backfill.recovered, got(late)) == (True, [[2.0]])


# In spread.


@pytest.mark.parametrize("slot", range(4))
def test_in_spread_one_comes_back_to_its_moment_though_it_is_another_worker_s(slot):
    pool = Pool(slots=4)
    subscribers = [pool.workers[at % 2].join(wants(Mode.SECOND))[0] for at in range(4)]
    pool.pump()
    pool.parent.publish(1.0)
    pool.advance(2)
    (gone,) = [each for each in subscribers if each.joined.stream.key.slot == slot]
    other, epoch = pool.workers[1 - slot % 2], epoch_of(Mode.SECOND, slot=slot)
    seen = sequences(gone.frames)
    pool.workers[slot % 2].leave(gone)
    pool.advance(1)
    back, _ = other.join(resuming(wants(Mode.SECOND), epoch, seen[-1]))
    pool.pump()
    stream = back.joined.stream
    assert (stream.epoch, stream.key.slot) == (epoch, slot)
    pool.advance(1)
    frames = [*gone.frames, *back.joined.backfill.past, *back.frames]
    assert back.joined.backfill.recovered is True
    assert sequences(frames) == list(range(seen[0], seen[0] + len(frames)))
    assert [bar.price for batch in read(b"".join(frames)) for bar in batch.ticks] == [1.0]
    again, _ = other.join(resuming(wants(Mode.SECOND), epoch, sequences(frames)[-1]))
    pool.pump()
    assert again.joined.stream is stream
    for subscriber in (back, again):
        other.leave(subscriber)
    pool.pump()
    assert at_rest(pool.parent, *pool.workers)


def test_in_spread_those_of_a_server_that_is_gone_share_the_worker_s_moments():
    pool = Pool(slots=8)
    for worker in pool.workers:
        for slot in range(8):
            old = epoch_of(Mode.SECOND, slot=slot, run="epoch-0")
            for _ in range(3):
                worker.join(resuming(wants(Mode.SECOND), old, 5))
    assert [len(worker.said) for worker in pool.workers] == [1, 1]
    pool.pump()
    for number, worker in enumerate(pool.workers):
        at = {stream.key.slot: len(stream.subscribers) for stream in worker.feed.streams[1000]}
        assert at == dict.fromkeys(range(number, 8, 2), 6)


def test_of_ticks_there_is_but_one_moment():
    pool = Pool(slots=4)
    for _ in range(3):
        pool.workers[1].join(resuming(wants(), "epoch-0", 5))
    assert pool.workers[1].speak() == Join(1, resuming(wants(), "epoch-0", 5), 0)
    pool.pump()


# Many at once.


def test_those_who_were_at_the_same_place_share_an_answer():
    pool = Pool()
    first, second = pool.workers
    first.join(wants())
    pool.pump()
    for price in (1.0, 2.0, 3.0):
        pool.parent.publish(price)
    many = 2 * JOINS_AN_ANSWER
    crowd = [second.join(resuming(wants(), epoch_of(), 1))[0] for _ in range(many)]
    crowd += [second.join(resuming(wants(), epoch_of(), 2))[0] for _ in range(many)]
    with calls_of(Hub.backfill) as calls:
        pool.pump()
    assert calls == {Hub.backfill: 4}
    assert [got(each) for each in crowd] == [[[2.0], [3.0]]] * many + [[[3.0]]] * many
    frames = {id(frame) for each in crowd for frame in each.joined.backfill.past}
    assert len(frames) == 2 * 2 + 2 * 1
    for subscriber in crowd:
        second.leave(subscriber)
    pool.pump()
    assert at_rest(pool.parent, *pool.workers)


def test_only_so_much_of_the_past_is_on_its_way():
    pool = Pool()
    worker = pool.workers[0]
    for number in range(BACKFILLS_UNDER_WAY + 5):
        worker.join(resuming(wants(Mode.TICK, "A"), "epoch-0", number))
    assert len(worker.said) == BACKFILLS_UNDER_WAY
    pool.pump()
    assert len(worker.feed._joins) == 0
    for number in range(3):
        worker.join(resuming(wants(), "epoch-0", number))
    assert len(worker.said) == 1
    pool.pump()
    assert at_rest(pool.parent, *pool.workers)


def test_a_long_past_comes_in_parts_and_whole():
    pool = Pool()
    first, second = pool.workers
    there, _ = first.join(wants())
    pool.pump()
    note = {f"k{number}": "x" * 256 for number in range(20)}
    for _ in range(3 * PART_BYTES // 50_000):
        pool.parent.hub.publish([Tick("A", 1.0, metadata=note)] * 10)
    back, _ = second.join(resuming(wants(), epoch_of(), 0))
    second.speak()
    answers = [second.hear() for _ in range(len(second.way.frames))]
    assert [answer.more for answer in answers] == [True] * (len(answers) - 1) + [False]
    assert all(isinstance(answer, Placed) for answer in answers)
    assert len(answers) >= 3
    pool.pump()
    assert list(back.joined.backfill.past) == there.frames


def test_what_all_who_resume_at_the_same_place_wait_for_counts_once_in_their_worker():
    pool = Pool()
    first, second = pool.workers
    there, _ = first.join(wants())
    pool.pump()
    for price in range(1, 2001):
        pool.parent.publish(float(price))
    many = 2 * JOINS_AN_ANSWER
    crowd = [second.join(resuming(wants(), epoch_of(), 0))[0] for _ in range(many)]
    pool.pump()
    outlets = Backlogs(BacklogLimits(), losses=Counter())
    backlogs = [outlets.new(Overload.DISCONNECT, None, 0.0) for _ in crowd]
    for backlog, subscriber in zip(backlogs, crowd, strict=True):
        backlog.push_past(subscriber.joined.backfill.past)
    past = b"".join(there.frames)
    answers = many // JOINS_AN_ANSWER
    assert {backlog.bytes for backlog in backlogs} == {len(past)}
    assert outlets.budget.bytes == answers * len(past)
    for backlog in backlogs:
        assert b"".join(iter(partial(backlog.take, 16_384, 0.0), b"")) == past
    assert outlets.budget.bytes == 0


# What goes wrong.


def test_one_that_is_gone_before_the_answer_leaves_nothing():
    pool = Pool()
    worker = pool.workers[0]
    _, joining = worker.join(resuming(wants(), "epoch-0", 5))
    joining.addErrback(lambda failure: failure.trap(CancelledError))
    joining.cancel()
    pool.pump()
    assert at_rest(pool.parent, *pool.workers)
    assert dict(worker.placements.placed) == {}


def test_one_that_cannot_be_served_hears_so_and_may_try_again():
    pool = Pool()
    worker = pool.workers[0]
    refusals = []
    _, joining = worker.join(resuming(wants(), "epoch-0", 5))
    joining.addErrback(lambda failure: refusals.append(failure.value))
    worker.speak_in_vain()
    pool.pump()
    assert [type(error) for error in refusals] == [InternalError]
    back, _ = worker.join(resuming(wants(), "epoch-0", 5))
    pool.pump()
    assert back.joined.backfill.recovered is False


class AnyOrder(RuleBasedStateMachine):
    """Whoever is lost and comes back to any worker, whatever is on its way: it has every batch of
    its stream, from its first on, once."""

    def __init__(self):
        super().__init__()
        self.pool = Pool(workers=3, slots=2, batch_window=0.25)
        self.clients = []
        self.price = 0.0

    @precondition(lambda self: len(self.clients) < 8)
    @rule(
        at=st.integers(0, 2),
        subscription=st.sampled_from(
            [wants(), wants(Mode.TICK, "A*"), wants(Mode.SECOND), wants(Mode.SECOND, "A", "B*")]
        ),
    )
    def come(self, at, subscription):
        self.clients.append(Client(self.pool.workers[at], subscription))

    @precondition(lambda self: any(client.here for client in self.clients))
    @rule(data=st.data(), at=st.integers(0, 2))
    def be_lost_and_come_back(self, data, at):
        here = [client for client in self.clients if client.here]
        data.draw(st.sampled_from(here)).move(self.pool.workers[at])

    @rule(symbols=st.sampled_from(["A", "B", "AB", "C"]))
    def publish(self, symbols):
        for symbol in symbols:
            self.price += 1
            self.pool.parent.publish(self.price, symbol=symbol)

    @rule(at=st.integers(0, 2))
    def speak(self, at):
        if self.pool.workers[at].said:
            self.pool.workers[at].speak()

    @rule(at=st.integers(0, 2), count=st.integers(1, 4))
    def hear(self, at, count):
        for _ in range(min(count, len(self.pool.workers[at].way.frames))):
            self.pool.workers[at].hear()

    @rule()
    def pass_half_a_second(self):
        self.pool.parent.reactor.advance(0.5)

    @rule(at=st.integers(0, 2))
    def kill(self, at):
        worker = self.pool.workers[at]
        self.pool.lose(worker)
        for client in self.clients:
            if client.worker is worker:
                client.lose(self.pool.workers[at])

    def teardown(self):
        self.pool.advance(0.5)
        for client in self.clients:
            if not client.here:
                client.come()
        self.pool.pump()
        for client in self.clients:
            client.look()
            assert client.frames == self.sent(client)
            client.leave()
        self.pool.pump()
        assert at_rest(self.pool.parent, *self.pool.workers)
        self.pool.parent.reactor.advance(700)
        assert nothing_left(self.pool.parent, *self.pool.workers)

    def sent(self, client):
        """What its stream has sent since it first came, whoever listened."""
        (stream,) = [
            stream
            for stream in self.pool.parent.hub.streams[client.key.period_ms]
            if stream.key == client.key
        ]
        replay = stream.ring.after(client.first - 1, stream.next_sequence)
        return list(replay.kept)


class Client:
    """One who goes on wherever it was."""

    def __init__(self, worker, subscription):
        self.worker = worker
        self.subscription = subscription
        self.position = None
        self.first = None
        self.key = None
        self.earlier = []
        self.come()

    def come(self):
        resume = self.subscription._replace(resume=self.position)
        self.subscriber, joining = self.worker.join(resume)
        if joining is not None:
            joining.addErrback(lambda failure: failure.trap(CancelledError))
        self.joining = joining

    @property
    def here(self):
        return self.subscriber.joined is not None

    @property
    def frames(self):
        joined = self.subscriber.joined
        return [*self.earlier, *(joined.backfill.past if joined else ()), *self.subscriber.frames]

    def look(self):
        joined = self.subscriber.joined
        if joined is None:
            return
        if self.first is None:
            self.first, self.key = joined.backfill.next_sequence, joined.stream.key
        assert joined.backfill.recovered in (None, True)
        assert joined.stream.key == self.key
        last = [self.first - 1, *sequences(self.frames)][-1]
        self.position = Position(joined.stream.epoch, last)

    def forget(self):
        self.look()
        self.earlier = self.frames
        self.subscriber = Subscriber(self.subscription)

    def move(self, worker):
        self.leave()
        self.worker = worker
        self.come()

    def leave(self):
        subscriber = self.subscriber
        self.forget()
        self.worker.leave(subscriber)

    def lose(self, worker):
        if self.joining is not None:
            self.joining.cancel()
        self.forget()
        self.worker = worker
        self.come()


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase
