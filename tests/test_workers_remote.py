"""A worker's feed against the parent's: its clients get what they would get in one process."""

import pytest
from conversation import epoch_of, names, read
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from relaying import Parent, Subscriber, Worker, streams_in, wants
from test_broadcast import calls_of
from twisted.internet.defer import CancelledError

from tickstorm.credentials import Peer, User
from tickstorm.errors import InternalError, InvalidAuth, MayNotPublish
from tickstorm.fanout import FanOut
from tickstorm.frames import MAX_PAYLOAD_BYTES
from tickstorm.hub import Backfill, Hub
from tickstorm.messages import Login
from tickstorm.publishing import Accepted, Publication, Publisher
from tickstorm.records import tick_record
from tickstorm.subscriptions import Mode
from tickstorm.ticks import Tick
from tickstorm.workers.link import (
    Emission,
    Join,
    Leave,
    LoginAnswered,
    LoginAsked,
    LoginDropped,
    Placed,
    PublishAnswered,
    PublishAsked,
)
from tickstorm.workers.remote import RemoteAuthenticator, RemoteFeed

MODES = (Mode.TICK, Mode.SECOND)


def got(subscriber):
    """A subscriber's batches, as prices."""
    return names(read(b"".join(subscriber.frames)))


def sequences(frames):
    return [batch.batch_sequence for batch in read(b"".join(frames))]


def at_rest(parent, *workers):
    """Whether both sides agree, and know of nobody who is not there."""
    for worker in workers:
        assert len(worker.feed._joins) == 0
        assert parent.streams_of(worker) == streams_in(worker.feed)
        placed = {number: each.placed for number, each in worker.feed._placements.items()}
        assert placed == dict(worker.placements.placed)
        assert set(worker.feed._numbers.values()) == set(placed)
        assert all(stream.subscribers for each in worker.feed.streams.values() for stream in each)
    return True


def nothing_left(parent, *workers):
    assert at_rest(parent, *workers)
    return not any(map(len, parent.hub.streams.values()))


# Joins.


@pytest.mark.parametrize("mode", MODES)
def test_the_first_asks_the_parent_and_has_its_place_when_it_answers(mode):
    parent = Parent()
    worker = Worker(parent)
    subscriber, joining = worker.join(wants(mode))
    assert (subscriber.joined, joining.called) == (None, False)
    assert worker.speak() == Join(1, wants(mode), 0)
    answer = worker.hear()
    assert isinstance(answer, Placed)
    first = Backfill(answer.next_sequence)
    assert subscriber.joined == (wants(mode), subscriber.joined.stream, first)
    assert subscriber.next_sequence == answer.next_sequence == 1 + (mode is Mode.SECOND)
    assert at_rest(parent, worker)


def test_the_next_has_its_place_at_once():
    parent = Parent()
    worker = Worker(parent)
    first, _ = worker.join(wants())
    worker.pump()
    parent.publish(1.0)
    worker.pump()
    second, joining = worker.join(wants())
    assert (joining, list(worker.said)) == (None, [])
    assert second.joined.stream is first.joined.stream
    assert second.next_sequence == first.next_sequence + 1
    parent.publish(2.0)
    worker.pump()
    assert (got(first), got(second)) == ([[1.0], [2.0]], [[2.0]])


def test_whoever_asks_for_a_snapshot_waits_for_the_parent_s():
    parent = Parent()
    worker = Worker(parent)
    first, _ = worker.join(wants())
    worker.pump()
    second, joining = worker.join(wants(snapshot=True))
    assert not joining.called
    parent.publish(1.0)
    worker.pump()
    assert names(read(b"".join(second.joined.backfill.past))) == [[1.0]]
    assert (got(first), got(second)) == ([[1.0]], [])


@pytest.mark.parametrize("snapshot", [False, True])
def test_those_who_want_the_same_wait_for_one_answer(snapshot):
    parent = Parent()
    parent.publish(1.0)
    worker = Worker(parent)
    joining = [worker.join(wants(snapshot=snapshot)) for _ in range(2)]
    worker.speak()
    parent.publish(2.0)
    joining += [worker.join(wants(snapshot=snapshot)) for _ in range(2)]
    assert list(worker.said) == []
    worker.pump()
    (stream,) = worker.feed.streams[0]
    assert [subscriber.joined.stream for subscriber, _ in joining] == [stream] * 4
    if snapshot:
        frames = [subscriber.joined.backfill.past for subscriber, _ in joining]
        assert [names(read(b"".join(each))) for each in frames] == [[[1.0]]] * 4
    assert [got(subscriber) for subscriber, _ in joining] == [[[2.0]]] * 4
    assert dict(worker.placements.placed) == {1: 1}
    assert at_rest(parent, worker)


def test_if_it_could_not_be_served_all_of_them_hear_so_and_who_comes_next_asks_anew():
    parent = Parent()
    worker = Worker(parent)
    found = []
    for _ in range(2):
        worker.join(wants(snapshot=True))[1].addErrback(lambda failure: found.append(failure.value))
    worker.speak_in_vain()
    worker.pump()
    assert [(type(error), error.message) for error in found] == [
        (InternalError, "the subscription could not be served")
    ] * 2
    assert nothing_left(parent, worker)
    subscriber, _ = worker.join(wants(snapshot=True))
    worker.pump()
    assert subscriber.joined is not None


def test_a_crowd_that_wants_everything_costs_the_parent_one_snapshot_a_worker():
    parent = Parent()
    parent.hub.publish([Tick(f"S{number}", 1.0) for number in range(50)])
    workers = [Worker(parent) for _ in range(3)]
    crowd = [worker.join(wants(Mode.SECOND, snapshot=True)) for worker in workers * 100]
    with calls_of(Hub.snapshot, tick_record) as calls:
        for worker in workers:
            worker.pump()
    assert calls == {Hub.snapshot: 3, tick_record: 50}
    assert all(len(subscriber.joined.backfill.past) == 1 for subscriber, _ in crowd)


def test_each_of_them_gets_its_own_subscription_back():
    parent = Parent()
    worker = Worker(parent)
    asked = [wants(snapshot=True)._replace(metadata={"desk": desk}) for desk in "ab"]
    joining = [worker.join(subscription) for subscription in asked]
    assert worker.speak() == Join(1, wants(snapshot=True), 0)
    worker.pump()
    assert [subscriber.joined.subscription for subscriber, _ in joining] == asked


def test_one_who_leaves_at_once_takes_no_other_s_place_along():
    parent = Parent()
    worker = Worker(parent)
    first, joining = worker.join(wants(snapshot=True))
    joining.addCallback(lambda _: worker.leave(first))
    second, _ = worker.join(wants(snapshot=True))
    worker.pump()
    parent.publish(1.0)
    worker.pump()
    assert (got(first), got(second)) == ([], [[1.0]])
    assert at_rest(parent, worker)
    worker.leave(second)
    worker.pump()
    assert nothing_left(parent, worker)


def test_one_that_is_given_up_while_another_gets_its_place_has_none():
    parent = Parent()
    worker = Worker(parent)
    _, first_joining = worker.join(wants())
    second, joining = worker.join(wants())
    first_joining.addCallback(lambda _: cancelled(joining))
    worker.pump()
    assert first_joining.result is True
    parent.publish(1.0)
    worker.pump()
    assert (second.joined, second.frames) == (None, [])
    assert at_rest(parent, worker)


def test_a_snapshot_in_several_parts_is_one():
    parent = Parent()
    metadata = {f"{number:064}": "x" * 256 for number in range(20)}
    parent.hub.publish([Tick(f"S{number}", 1.0, metadata=metadata) for number in range(400)])
    worker = Worker(parent)
    joins = [worker.join(wants(snapshot=True)) for _ in range(2)]
    worker.speak()
    assert [len(worker.way.frames), worker.hear().more, worker.hear().more] == [3, True, True]
    assert [subscriber.joined for subscriber, _ in joins] == [None, None]
    assert worker.hear().more is False
    for subscriber, _ in joins:
        batches = read(b"".join(subscriber.joined.backfill.past))
        assert [tick.symbol for batch in batches for tick in batch.ticks] == [
            f"S{number}" for number in range(400)
        ]
    assert dict(worker.placements.placed) == {1: 1}
    assert at_rest(parent, worker)


def test_batches_in_several_parts_are_one_run_of_numbers():
    parent = Parent()
    worker = Worker(parent)
    first, _ = worker.join(wants())
    worker.pump()
    metadata = {f"{number:064}": "x" * 256 for number in range(20)}
    parent.hub.publish([Tick("A", price + 1.0, metadata=metadata) for price in range(400)])
    assert len(worker.way.frames) == 3
    worker.hear()
    between, joining = worker.join(wants())
    assert joining is None
    worker.pump()
    after, _ = worker.join(wants())
    numbers = sequences(first.frames)
    assert numbers == list(range(1, len(numbers) + 1))
    assert [price for batch in got(first) for price in batch] == [n + 1.0 for n in range(400)]
    assert sequences(between.frames)[0] == between.next_sequence
    assert between.frames == first.frames[between.next_sequence - 1 :]
    assert after.next_sequence == len(numbers) + 1


def test_its_slots_are_taken_in_turn():
    parent = Parent(slots=10)
    worker = Worker(parent, slots=(1, 4, 7))
    for symbol in "ABCD":
        worker.join(wants(Mode.SECOND, symbol))
    worker.join(wants(Mode.TICK))
    worker.join(wants(Mode.MINUTE))
    assert [worker.speak().slot for _ in range(6)] == [1, 4, 7, 1, 0, 4]


def test_one_s_joining_that_fails_takes_nobody_along(failures):
    parent = Parent()
    worker = Worker(parent)
    _, joining = worker.join(wants())
    joining.addCallback(lambda _: 1 / 0)
    other, _ = worker.join(wants())
    worker.pump()
    parent.publish(1.0)
    worker.pump()
    assert got(other) == [[1.0]]
    joining.addErrback(lambda failure: failure.trap(ZeroDivisionError))
    assert failures == []


# What comes.


@pytest.mark.parametrize("mode", MODES)
def test_a_snapshot_and_what_comes_after_it_are_all_that_was_published(mode):
    parent = Parent(batch_window=0.005)
    worker = Worker(parent)
    early, _ = worker.join(wants(mode))
    worker.pump()
    for price in (1.0, 2.0):
        parent.publish(price)
        parent.publish(price + 0.5, symbol="GBPUSD")
    late, _ = worker.join(wants(mode, snapshot=True))
    parent.publish(3.0)
    worker.speak()
    parent.publish(4.0)
    parent.reactor.advance(1)
    worker.pump()
    parent.publish(5.0)
    parent.reactor.advance(1)
    worker.pump()
    (snapshot,) = read(b"".join(late.joined.backfill.past))
    assert sorted(tick.price for tick in snapshot.ticks) == [2.5, 3.0]
    assert snapshot.batch_sequence == late.next_sequence - 1
    assert sequences(late.frames)[0] == late.next_sequence
    if mode is Mode.TICK:
        assert (got(early), got(late)) == ([[1.0, 1.5, 2.0, 2.5, 3.0], [4.0], [5.0]], [[4.0], [5]])
    else:  # the period that it joined in, from its beginning
        assert got(late) == got(early) == [[4.0, 2.5], [5.0]]


@pytest.mark.parametrize("slots", [1, 2])
def test_every_frame_is_that_of_one_process(slots):
    """The same is published to a hub that has its subscribers in its own process."""
    parent = Parent(slots, batch_window=0.005)
    hub = Hub("epoch-1", parent.clock.wall_ns, slots=slots)
    fanout = FanOut(hub, parent.clock, 0.005)
    fanout.start()
    workers = [Worker(parent, slots=(0,)), Worker(parent, slots=(slots - 1,))]
    remote, local = [], []

    def join(worker, subscription):
        subscriber, joining = worker.join(subscription)
        while joining is not None and not joining.called:
            worker.speak() if worker.said else worker.hear()
        worker.pump()
        mine = Subscriber(subscription)
        mine.place(fanout.join(subscription, mine, subscriber.joined.stream.key.slot))
        remote.append(subscriber)
        local.append(mine)

    asked = [
        wants(mode, *symbols, snapshot=snapshot)
        for mode in (Mode.SECOND, Mode.MINUTE, Mode.TICK)
        for symbols in ((), ("A",), ("A", "B"))
        for snapshot in (False, True)
    ]
    for number in range(3 * len(asked)):
        join(workers[number % 2], asked[number % len(asked)])
        for source in (parent.hub.publish, hub.publish):
            source([Tick("ABC"[number % 3], number + 1.0, 1.0)])
        for _ in range(7):
            parent.reactor.advance(1 / 20)
        for worker in workers:
            worker.pump()
    for number in range(20 * 70):  # more than a minute
        for source in (parent.hub.publish, hub.publish):
            source([Tick("ABC"[number % 3], 1000.0 + number, 1.0)])
        parent.reactor.advance(1 / 20)
        for worker in workers:
            worker.pump()
    assert [each.frames for each in remote] == [each.frames for each in local]
    assert [list(each.joined.backfill.past) for each in remote] == [
        list(each.joined.backfill.past) for each in local
    ]
    assert [each.next_sequence for each in remote] == [each.next_sequence for each in local]
    assert all(each.frames for each in remote)
    sent = sum(worker.feed.metrics.messages_sent for worker in workers)
    assert sent == fanout.metrics.messages_sent == sum(len(each.frames) for each in remote)


def test_a_stream_s_next_number_is_known_to_who_comes_later():
    parent = Parent()
    worker = Worker(parent)
    worker.join(wants())
    worker.pump()
    parent.publish(*[1.0] * 1001)  # two frames
    worker.pump()
    late, joining = worker.join(wants())
    assert (joining, late.next_sequence) == (None, 3)


def test_what_comes_of_a_stream_that_nobody_listens_to_is_dropped():
    parent = Parent()
    worker = Worker(parent)
    subscriber, _ = worker.join(wants())
    worker.pump()
    parent.publish(1.0)
    worker.leave(subscriber)
    worker.pump()
    assert (got(subscriber), worker.feed.metrics.messages_sent) == ([], 0)
    assert nothing_left(parent, worker)


def test_an_emission_of_an_unknown_number_changes_nothing():
    parent = Parent()
    worker = Worker(parent)
    worker.feed.emitted(Emission(99, 1, 0.0, [b"frame"]))
    assert nothing_left(parent, worker)


def test_the_latency_is_counted_from_the_parent_s_beginning():
    parent = Parent()
    worker = Worker(parent)
    worker.join(wants())
    worker.pump()
    parent.publish(1.0)
    parent.reactor.rightNow += 0.25
    worker.pump()
    latency = worker.feed.metrics.publish_latency_ms
    assert latency.total == 250.0


def test_start_stop_and_flush_change_nothing():
    parent = Parent()
    worker = Worker(parent)
    subscriber, _ = worker.join(wants())
    worker.pump()
    for change in (worker.feed.start, worker.feed.flush, worker.feed.stop):
        change()
    parent.publish(1.0)
    worker.pump()
    assert got(subscriber) == [[1.0]]


# Who leaves.


def test_with_the_last_the_worker_leaves_too():
    parent = Parent()
    worker = Worker(parent)
    first, _ = worker.join(wants())
    worker.pump()
    second, _ = worker.join(wants())
    worker.leave(first)
    assert list(worker.said) == []
    worker.leave(second)
    assert worker.speak() == Leave(1, 1)
    assert nothing_left(parent, worker)


def cancelled(joining):
    """Cancel a join; it fails with that, and nothing else."""
    found = []
    joining.addErrback(found.append)
    joining.cancel()
    (failure,) = found
    return failure.check(CancelledError) is not None


@pytest.mark.parametrize("heard_by_parent", [False, True])
def test_a_join_that_is_cancelled_leaves_nothing_behind(heard_by_parent):
    parent = Parent()
    worker = Worker(parent)
    subscriber, joining = worker.join(wants(snapshot=True))
    if heard_by_parent:
        worker.speak()
    assert cancelled(joining)
    worker.pump()
    assert nothing_left(parent, worker)
    parent.publish(1.0)
    worker.pump()
    assert (subscriber.joined, subscriber.frames) == (None, [])


@pytest.mark.parametrize(("snapshots", "heard_by_parent"), [(0, 0), (0, 1), (1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("which", [0, 1])
def test_one_of_two_joins_is_cancelled(snapshots, heard_by_parent, which):
    parent = Parent()
    worker = Worker(parent)
    joins = [worker.join(wants(snapshot=number < snapshots)) for number in range(2)]
    for _ in range(heard_by_parent):
        worker.speak()
    assert cancelled(joins[which][1])
    worker.pump()
    stays = joins[1 - which][0]
    parent.publish(1.0)
    worker.pump()
    assert got(stays) == [[1.0]]
    assert at_rest(parent, worker)
    worker.leave(stays)
    worker.pump()
    assert nothing_left(parent, worker)


@pytest.mark.parametrize("heard_by_parent", [0, 1, 2])
def test_the_last_leaves_while_another_waits_for_its_snapshot(heard_by_parent):
    parent = Parent()
    worker = Worker(parent)
    first, _ = worker.join(wants())
    worker.pump()
    second, _ = worker.join(wants(snapshot=True))
    worker.leave(first)
    for _ in range(heard_by_parent):
        worker.speak()
    parent.publish(1.0)
    worker.pump()
    parent.publish(2.0)
    worker.pump()
    snapshot, batches = names(read(b"".join(second.joined.backfill.past))), got(second)
    expected = ([[]], [[1.0], [2.0]]) if heard_by_parent else ([[1.0]], [[2.0]])
    assert (got(first), (snapshot, batches)) == ([], expected)
    assert at_rest(parent, worker)


def test_the_last_leaves_and_somebody_comes_before_the_parent_knows():
    parent = Parent()
    worker = Worker(parent)
    first, _ = worker.join(wants())
    worker.pump()
    worker.leave(first)
    second, joining = worker.join(wants())
    assert not joining.called
    parent.publish(1.0)
    worker.pump()
    parent.publish(2.0)
    worker.pump()
    assert (got(first), got(second)) == ([], [[2.0]])
    assert at_rest(parent, worker)


def test_everybody_leaves_during_a_broadcast():
    parent = Parent()
    worker = Worker(parent)
    joins = [worker.join(wants()) for _ in range(3)]
    worker.pump()

    def leave_all(frame):
        for subscriber, _ in joins:
            worker.leave(subscriber)

    for subscriber, _ in joins:
        subscriber.deliver = leave_all
        break
    parent.publish(1.0)
    worker.hear()
    worker.pump()
    assert nothing_left(parent, worker)


# Any order.


def answers_due(worker):
    """Those who wait for an answer, by what they wait for."""
    joins = worker.feed._joins
    return [*joins._asked.values(), *joins._unasked]


class AnyOrder(RuleBasedStateMachine):
    """Clients come and go at two workers while both sides hear of it late, each in its own time.

    Every price is published once, so that it says when it was published.
    """

    @initialize(slots=st.sampled_from([1, 2]), window=st.sampled_from([0.0, 0.005]))
    def begin(self, slots, window):
        self.parent = Parent(slots, window)
        self.workers = [Worker(self.parent, (0,)), Worker(self.parent, tuple(range(slots)))]
        self.published = []
        self.waiting = []
        self.listening = []
        self.gone = []
        self.told = {}

    # What may happen.

    @rule(
        at=st.integers(0, 1),
        mode=st.sampled_from([Mode.TICK, Mode.TICK, Mode.SECOND]),
        symbols=st.sampled_from([(), ("A",), ("A", "B")]),
        snapshot=st.booleans(),
    )
    def join(self, at, mode, symbols, snapshot):
        worker = self.workers[at]
        subscriber, joining = worker.join(wants(mode, *symbols, snapshot=snapshot))
        if joining is None:
            self.listening.append((worker, subscriber))
        else:
            self.waiting.append((worker, subscriber, joining))
            # Once the parent has heard of this, it is told what had been published by then.
            (subscriber.waiting,) = [
                each for each in answers_due(worker) if subscriber in each.joins
            ]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data):
        at = data.draw(st.integers(0, len(self.waiting) - 1))
        _, subscriber, joining = self.waiting.pop(at)
        assert cancelled(joining)
        self.gone.append(subscriber)

    @precondition(lambda self: self.listening)
    @rule(data=st.data())
    def leave(self, data):
        at = data.draw(st.integers(0, len(self.listening) - 1))
        worker, subscriber = self.listening.pop(at)
        worker.leave(subscriber)
        self.gone.append(subscriber)
        subscriber.left_with = len(subscriber.frames)

    @rule(symbol=st.sampled_from("ABC"))
    def publish(self, symbol):
        price = float(len(self.published) + 1)
        self.published.append((symbol, price))
        self.parent.publish(price, symbol=symbol)

    @rule(steps=st.integers(1, 5))
    def pass_time(self, steps):
        for _ in range(steps):
            self.parent.reactor.advance(0.25)

    @precondition(lambda self: any(worker.said for worker in self.workers))
    @rule(data=st.data())
    def speak(self, data):
        worker = data.draw(st.sampled_from([each for each in self.workers if each.said]))
        message = worker.speak()
        self._note(worker, message)

    @precondition(lambda self: any(worker.way.frames for worker in self.workers))
    @rule(data=st.data())
    def hear(self, data):
        worker = data.draw(st.sampled_from([each for each in self.workers if each.way.frames]))
        worker.hear()
        self._settle()

    # What always holds.

    @invariant()
    def nobody_waits_whom_the_worker_has_forgotten(self):
        for worker in getattr(self, "workers", ()):
            waiting = [subscriber for at, subscriber, _ in self.waiting if at is worker]
            joins = [each for group in answers_due(worker) for each in group.joins]
            assert len(joins) == len(waiting)
            assert set(joins) == set(waiting)

    @invariant()
    def who_has_left_gets_nothing_more(self):
        for subscriber in getattr(self, "gone", ()):
            assert len(subscriber.frames) == getattr(subscriber, "left_with", 0)

    # What holds in the end.

    def teardown(self):
        if not hasattr(self, "workers"):
            return
        self._pump()
        self.parent.reactor.advance(0.005)  # the window
        self._pump()
        assert self.waiting == []
        assert at_rest(self.parent, *self.workers)
        for worker, subscriber in self.listening:
            self._check(worker, subscriber, stayed=True)
        for subscriber in self.gone:
            if subscriber.joined is not None:
                self._check(None, subscriber, stayed=False)
        for worker, subscriber in self.listening:
            worker.leave(subscriber)
        self._pump()
        assert nothing_left(self.parent, *self.workers)

    def _pump(self):
        for worker in self.workers:
            while worker.said or worker.way.frames:
                while worker.said:
                    self._note(worker, worker.speak())
                while worker.way.frames:
                    worker.hear()
                self._settle()

    def _note(self, worker, message):
        if isinstance(message, Join):
            self.told[worker.feed._joins._asked[message.request]] = len(self.published)

    def _settle(self):
        for each in list(self.waiting):
            worker, subscriber, joining = each
            if joining.called:
                self.waiting.remove(each)
                self.listening.append((worker, subscriber))
                subscriber.known = self.told[subscriber.waiting]

    def _check(self, worker, subscriber, stayed):
        stream = subscriber.joined.stream
        sent = self.parent.sent.get(stream.key, [])
        frames = subscriber.frames
        # No batch is lost or doubled: it has a run of what was sent, up to the last if it stayed.
        first = sent.index(frames[0]) if frames else len(sent)
        assert sent[first : first + len(frames)] == frames
        if stayed and frames:
            assert sent[first:] == frames
        if frames:
            assert sequences(frames)[0] == subscriber.next_sequence
        if hasattr(subscriber, "known"):
            self._check_completeness(subscriber, stayed)

    def _check_completeness(self, subscriber, stayed):
        """Whoever asked the parent gets exactly what is published from then on."""
        mode, symbols = subscriber.subscription.mode, subscriber.subscription.symbols
        wanted = [(s, price) for s, price in self.published if symbols is None or s in symbols]
        before = [each for each in self.published[: subscriber.known] if each in wanted]
        after = [price for each in wanted if each not in before for price in each[1:]]
        if subscriber.subscription.snapshot:
            (snapshot,) = read(b"".join(subscriber.joined.backfill.past))
            assert {tick.symbol: tick.price for tick in snapshot.ticks} == dict(before)
            assert snapshot.batch_sequence == subscriber.next_sequence - 1
        prices = [price for batch in got(subscriber) for price in batch]
        if mode is Mode.TICK:
            assert prices == after[: len(prices)]
            assert not stayed or prices == after


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase


# Logins.


class Asked:
    """An authenticator that asks, and what it has asked."""

    def __init__(self):
        self.said = []
        self.authenticator = RemoteAuthenticator(self.said.append)

    def ask(self, name="alice"):
        answers = []
        answer = self.authenticator.authenticate(Login(name, "secret"), Peer("10.0.0.1"))
        answer.addBoth(answers.append)
        return answer, answers


def test_a_login_is_asked_of_the_parent_and_answered_by_its_number():
    asked = Asked()
    (_, one), (_, other) = asked.ask("alice"), asked.ask("bob")
    assert asked.said == [
        LoginAsked(1, Login("alice", "secret"), Peer("10.0.0.1")),
        LoginAsked(2, Login("bob", "secret"), Peer("10.0.0.1")),
    ]
    asked.authenticator.answered(LoginAnswered(2, User("bob")))
    assert (one, other) == ([], [User("bob")])
    asked.authenticator.answered(LoginAnswered(1, InvalidAuth("no")))
    (failure,) = one
    assert (failure.type, failure.value.message) == (InvalidAuth, "no")


def test_an_answer_to_a_login_that_is_given_up_is_dropped():
    asked = Asked()
    answer, answers = asked.ask()
    answer.cancel()
    (failure,) = answers
    assert failure.check(CancelledError)
    asked.authenticator.answered(LoginAnswered(1, User("alice")))
    asked.authenticator.answered(LoginAnswered(99, User("alice")))
    assert (len(answers), asked.authenticator._waiting) == (1, {})
    assert asked.said[1:] == [LoginDropped(1)]


# Publications.


class Publishing:
    """A feed of which publications are asked, and what it says to the parent."""

    def __init__(self):
        self.said = []
        clock = Parent().clock
        self.feed = RemoteFeed(
            "epoch-1",
            (0,),
            slots_of_period=1,
            send=self.said.append,
            clock=clock,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
        )

    def ask(self, request_id):
        answers = []
        self.feed.publish(publication(request_id)).addBoth(answers.append)
        return answers


def publication(request_id):
    return Publication(Publisher("alice", "desk"), request_id, [Tick("A", 1.0)])


def test_a_publication_is_asked_of_the_parent_and_answered_by_its_number():
    publishing = Publishing()
    one, other = publishing.ask(7), publishing.ask(8)
    assert publishing.said == [PublishAsked(1, publication(7)), PublishAsked(2, publication(8))]
    publishing.feed.published(PublishAnswered(2, Accepted(1)))
    assert (one, other) == ([], [Accepted(1)])
    publishing.feed.published(PublishAnswered(1, MayNotPublish("no")))
    (failure,) = one
    assert (failure.type, failure.value.message) == (MayNotPublish, "no")
    assert publishing.feed._publishing == {}


@pytest.mark.parametrize("slots", [(None,), (0, 1)])
def test_a_stream_has_the_epoch_that_it_has_at_the_parent(slots):
    parent = Parent(len(slots))
    worker = Worker(parent, range(len(slots)))
    joined = [worker.join(wants(Mode.SECOND))[0] for _ in range(3)]
    worker.pump()
    assert {subscriber.joined.stream.epoch for subscriber in joined} == {
        epoch_of(Mode.SECOND, slot=slot) for slot in slots
    }
