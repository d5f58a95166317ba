"""The intake: rights, rates, and each request once however often it is asked for."""

import tracemalloc

import pytest

from tickstorm.errors import InvalidPublication, MayNotPublish, OutOfTurn, PublishingTooFast
from tickstorm.hub import Hub, HubLimits
from tickstorm.publishing import (
    REMEMBERED_PUBLISHERS,
    REMEMBERED_REQUESTS,
    Accepted,
    Intake,
    Publication,
    Publisher,
    PublishRight,
    read_right,
    rights_by_user,
)
from tickstorm.rates import Rate
from tickstorm.symbols import SymbolSet
from tickstorm.ticks import Tick

ALICE = Publisher("alice", "desk-1")
USER_OF_64 = "u" * 64
FEW_HUNDRED = [Tick("A", 1.0)] * 300


class Desk:
    """An intake whose hub notes what is published."""

    def __init__(self, rights=None, rate=None, limits=HubLimits()):
        rights = {"alice": SymbolSet("*")} if rights is None else rights
        self.hub = Hub("epoch-1", lambda: 10**18, limits)
        self.published = []
        options = {} if rate is None else {"rate": rate}
        self.intake = Intake(self._publish, rights, **options)

    def _publish(self, ticks):
        count = self.hub.publish(ticks)
        self.published.extend(tick.symbol for tick in ticks)
        return count

    def take(self, *symbols, publisher=ALICE, request_id=0, now=0.0, price=1.0, after=0):
        ticks = [Tick(symbol, price) for symbol in symbols]
        return self.intake.take(Publication(publisher, request_id, ticks, after), now)


# Who may publish what.


def test_what_is_published_is_counted():
    desk = Desk()
    assert desk.take("A", "B", "A") == Accepted(3)
    assert desk.published == ["A", "B", "A"]


@pytest.mark.parametrize(
    ("publisher", "message"),
    [
        (Publisher("bob", ""), "this user may not publish"),
        (ALICE, "tick 1: this user may not publish USDJPY"),
    ],
)
def test_nothing_is_published_without_the_right(publisher, message):
    desk = Desk({"alice": SymbolSet(["EUR*"])})
    with pytest.raises(MayNotPublish, match=f"^{message}$"):
        desk.take("EURUSD", "USDJPY", publisher=publisher)
    assert desk.published == []


@pytest.mark.parametrize(
    ("text", "user", "patterns"),
    [("alice:*", "alice", ["*"]), ("bob:EUR*,GBPUSD", "bob", ["EUR*", "GBPUSD"])],
)
def test_rights_as_text(text, user, patterns):
    right = read_right(text)
    assert (right, str(right)) == (PublishRight(user, SymbolSet(patterns)), text)


@pytest.mark.parametrize("text", ["", ":", "alice", "alice:", ":*", "alice:eur", "alice:A,,B"])
def test_text_that_is_no_right(text):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - a kind says what is allowed
        read_right(text)
    assert raised.type is ValueError


def test_the_rights_of_one_user_are_one():
    rights = map(read_right, ["alice:A", "bob:B", "alice:C*"])
    assert rights_by_user(rights) == {"alice": SymbolSet(["A", "C*"]), "bob": SymbolSet(["B"])}


# What is refused has no effect.


def test_a_bad_tick_keeps_the_whole_request_out():
    desk = Desk()
    with pytest.raises(InvalidPublication, match=r"^tick 0: price 0.0 is not"):
        desk.take("A", "B", price=0.0)
    assert (desk.published, desk.hub.ticks_published) == ([], 0)


def test_a_symbol_too_many_is_refused():
    desk = Desk(limits=HubLimits(max_symbols=2))
    with pytest.raises(InvalidPublication, match=r"^tick 2: C is one more than 2 symbols$"):
        desk.take("A", "B", "C")
    assert desk.published == []


def test_a_request_that_was_refused_may_be_made_again_under_its_number():
    desk = Desk()
    with pytest.raises(InvalidPublication):
        desk.take("A", request_id=7, price=0.0)
    assert desk.take("A", request_id=7) == Accepted(1)


# How fast.


def test_the_rate_is_that_of_all_connections_of_a_user():
    desk = Desk({"alice": SymbolSet("*"), "bob": SymbolSet("*")}, Rate(10, 4))
    assert desk.take("A", "B", "C") == Accepted(3)
    with pytest.raises(PublishingTooFast, match=r"^more than 10 ticks a second$") as raised:
        desk.take("A", "B", publisher=Publisher("alice", "desk-2"))
    assert raised.value.retry_after_ms == 100
    assert desk.take("A", "B", publisher=Publisher("bob", "desk-2")) == Accepted(2)
    assert desk.take("A", "B", now=0.1) == Accepted(2)
    assert len(desk.published) == 7


def test_other_rights_and_another_rate_forget_no_request():
    desk = Desk(rate=Rate(10, 4))
    desk.take("A", "B", "C", request_id=7)
    desk.intake.change({"alice": SymbolSet(["A"])}, Rate(10, 4))
    with pytest.raises(PublishingTooFast):
        desk.take("A", "A")
    with pytest.raises(MayNotPublish):
        desk.take("B")
    desk.intake.change({"alice": SymbolSet("*")}, Rate(20, 20))
    assert desk.take(*["B"] * 20) == Accepted(20)
    assert desk.take("A", "B", "C", request_id=7) == Accepted(3, repeated=True)


# Once.


def test_a_request_that_is_made_again_is_answered_and_not_published_again():
    desk = Desk()
    assert desk.take("A", "B", request_id=5) == Accepted(2)
    assert desk.take("A", "B", request_id=5) == Accepted(2, repeated=True)
    assert desk.published == ["A", "B"]


def test_an_answer_is_free():
    desk = Desk(rate=Rate(1, 2))
    desk.take("A", "B", request_id=5)
    assert desk.take("A", "B", request_id=5) == Accepted(2, repeated=True)


def test_numbers_are_those_of_one_publisher():
    desk = Desk({"alice": SymbolSet("*"), "bob": SymbolSet("*")})
    for publisher in (ALICE, Publisher("alice", "desk-2"), Publisher("bob", "desk-1")):
        assert desk.take("A", publisher=publisher, request_id=5) == Accepted(1)
    assert desk.published == ["A"] * 3


def test_without_a_number_each_request_is_a_new_one():
    desk = Desk()
    assert [desk.take("A"), desk.take("A")] == [Accepted(1), Accepted(1)]
    assert desk.published == ["A", "A"]


def test_how_many_requests_are_remembered():
    desk = Desk()
    last = REMEMBERED_REQUESTS + 1
    for request_id in range(1, last + 1):
        desk.take(*["A"] * (request_id % 3 + 1), request_id=request_id)
    assert desk.take("A", request_id=2) == Accepted(3, repeated=True)
    assert desk.take("A", request_id=last) == Accepted(last % 3 + 1, repeated=True)
    with pytest.raises(InvalidPublication, match=r"^request 1 is so old that it is not known"):
        desk.take("A", request_id=1)
    before = len(desk.published)
    assert desk.take("A", request_id=last + 1) == Accepted(1)
    assert len(desk.published) == before + 1


def test_numbers_may_come_in_any_order():
    desk = Desk()
    counts = {2**64 - 1: 1, 7: 2, 9: 3, 8: 4}
    for request_id, count in counts.items():
        assert desk.take(*["A"] * count, request_id=request_id) == Accepted(count)
    for request_id, count in counts.items():
        assert desk.take("A", request_id=request_id) == Accepted(count, repeated=True)
    assert desk.take("A", request_id=6) == Accepted(1)


def test_what_is_remembered_of_all_publishers_is_less_than_10_megabytes():
    few = REMEMBERED_PUBLISHERS // 100
    intake = Intake(len, {USER_OF_64: SymbolSet("*")}, Rate(10**9, 10**9))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for client in range(few):
            publisher = Publisher(USER_OF_64, f"{client:02}" + "\N{GRINNING FACE}" * 62)
            for request_id in range(2**63, 2**63 + 2 * REMEMBERED_REQUESTS):
                intake.take(Publication(publisher, request_id, FEW_HUNDRED), 0.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) * 100 < 10_000_000


def test_the_publisher_that_was_quiet_longest_is_forgotten():
    desk = Desk()
    publishers = [Publisher("alice", f"desk-{n}") for n in range(REMEMBERED_PUBLISHERS + 1)]
    for publisher in publishers[:-1]:
        desk.take("A", publisher=publisher, request_id=1)
    desk.take("A", publisher=publishers[0], request_id=2)
    desk.take("A", publisher=publishers[-1], request_id=1)
    assert desk.take("A", publisher=publishers[0], request_id=1).repeated
    assert desk.take("A", publisher=publishers[2], request_id=1).repeated
    assert not desk.take("A", publisher=publishers[1], request_id=1).repeated


# In order.


def test_a_request_is_carried_out_behind_the_one_that_it_is_to_follow():
    desk = Desk()
    desk.take("A", request_id=5)
    assert desk.take("B", request_id=7, after=5) == Accepted(1)
    assert desk.take("C", request_id=8, after=7) == Accepted(1)
    assert desk.published == ["A", "B", "C"]


@pytest.mark.parametrize("after", [4, 6, 8])
def test_or_not_at_all(after):
    desk = Desk()
    for request_id in (4, 5):
        desk.take("A", request_id=request_id)
    with pytest.raises(OutOfTurn, match=f"^request {after}, which it is to follow, was not carr"):
        desk.take("B", request_id=7, after=after)
    assert desk.published == ["A", "A"]


def test_behind_a_first_request_that_was_refused_nothing_follows():
    desk = Desk(rate=Rate(10, 2))
    with pytest.raises(PublishingTooFast):
        desk.take("A", "B", "C", request_id=1)
    for request_id in (2, 3):
        with pytest.raises(OutOfTurn):
            desk.take("D", request_id=request_id, after=request_id - 1)
    assert desk.take("E", request_id=2) == Accepted(1)
    assert desk.published == ["E"]


def test_what_was_carried_out_is_answered_whatever_it_followed():
    desk = Desk()
    for request_id in (1, 2, 3):
        desk.take("A", request_id=request_id, after=request_id - 1)
    assert desk.take("A", request_id=2, after=1) == Accepted(1, repeated=True)
    assert desk.take("A", request_id=4, after=3) == Accepted(1)


def test_another_publisher_changes_nothing_in_the_order_of_one():
    desk = Desk()
    desk.take("A", request_id=1)
    desk.take("B", request_id=9, publisher=Publisher("alice", "desk-2"))
    assert desk.take("C", request_id=2, after=1) == Accepted(1)
