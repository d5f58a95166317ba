"""The queue in front of the consumer, on both kinds of futures."""

import asyncio
from traceback import extract_tb

import pytest
from twisted.internet.defer import CancelledError, Deferred
from txaio import aio, tx

from tickstorm.client.batch import Batch
from tickstorm.client.inbox import Inbox
from tickstorm.errors import TickstormError


def batch(sequence):
    return Batch((), 0, sequence)


@pytest.fixture
def inbox():
    return Inbox(tx.with_config(), 4, lambda: None)


@pytest.fixture
def take(inbox):
    return lambda: Deferred.fromCoroutine(inbox.take())


def result(deferred):
    results = []
    deferred.addBoth(results.append)
    return results[0]


def test_batches_come_out_in_order(inbox, take):
    inbox.put(batch(1))
    inbox.put(batch(2))
    assert [result(take()), result(take())] == [batch(1), batch(2)]


def test_the_consumer_is_woken(inbox, take):
    waiting = take()
    inbox.put(batch(1))
    assert result(waiting) == batch(1)


def test_it_is_full_at_its_bound_and_tells_once_when_it_is_down_to_half():
    room = []
    inbox = Inbox(tx.with_config(), 4, lambda: room.append(len(inbox)))
    for sequence in range(4):
        assert not inbox.full
        inbox.put(batch(sequence))
    assert inbox.full
    for _ in range(4):
        Deferred.fromCoroutine(inbox.take())
    assert room == [2]


def test_the_end_comes_behind_the_batches_and_stays(inbox, take):
    inbox.put(batch(1))
    inbox.end(TickstormError("first"))
    inbox.end(TickstormError("second"))
    assert result(take()) == batch(1)
    assert [str(result(take()).value) for _ in range(2)] == ["first"] * 2


def test_an_end_that_is_raised_often_keeps_the_traceback_that_it_had(inbox):
    def broken():
        raise LookupError("mine")

    with pytest.raises(LookupError) as raised:
        broken()
    inbox.end(raised.value)
    tracebacks = []
    for _ in range(3):
        with pytest.raises(LookupError) as raised:
            inbox.take().send(None)
        tracebacks.append([entry.name for entry in extract_tb(raised.value.__traceback__)])
    assert tracebacks[0][-1] == "broken"
    assert tracebacks == tracebacks[:1] * 3


def test_the_end_wakes_the_consumer(inbox, take):
    waiting = take()
    inbox.end(StopAsyncIteration())
    assert result(waiting).check(StopAsyncIteration)


def test_what_is_cleared_does_not_come(inbox, take):
    inbox.put(batch(1))
    inbox.clear()
    inbox.put(batch(2))
    assert result(take()) == batch(2)


def test_one_consumer_at_a_time(inbox, take):
    waiting = take()
    assert result(take()).check(RuntimeError)
    inbox.put(batch(1))
    assert result(waiting) == batch(1)


def test_a_consumer_that_gives_up_makes_way(inbox, take):
    waiting = take()
    waiting.cancel()
    assert result(waiting).check(CancelledError)
    inbox.put(batch(1))
    assert result(take()) == batch(1)


@pytest.mark.parametrize("cancel_first", [True, False])
def test_an_asyncio_task_that_is_cancelled_before_its_turn_loses_nothing(cancel_first):
    async def test():
        inbox = Inbox(aio.with_config(loop=asyncio.get_running_loop()), 4, lambda: None)
        waiting = asyncio.create_task(inbox.take())
        await asyncio.sleep(0)
        if cancel_first:
            waiting.cancel()
        inbox.put(batch(1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await inbox.take()

    assert asyncio.run(test()) == batch(1)


def test_what_is_cleared_while_a_take_makes_room_does_not_come():
    room = []
    inbox = Inbox(tx.with_config(), 2, lambda: room.append(inbox.clear()))
    inbox.put(batch(1))
    inbox.put(batch(2))
    waiting = Deferred.fromCoroutine(inbox.take())
    assert (waiting.called, room) == (False, [None])
    inbox.put(batch(3))
    assert result(waiting) == batch(3)
