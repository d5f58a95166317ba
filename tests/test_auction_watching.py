"""Watching: who hears of what, and never of less than it has heard of."""

from tickstorm.auction.life import created
from tickstorm.auction.rule import Standing, Terms
from tickstorm.auction.watching import Moved, Watching

TERMS = Terms(0, 10_000)


def auction(sequence, id=1, closes_ms=10_000):
    """An auction of which so many bids have led."""
    standing = Standing(100 * sequence, 7, sequence, 100 * sequence + 1, closes_ms)
    return created(id, TERMS)._replace(standing=standing)


def watching(*watchers, at=0):
    """These watch auction 1, which stands at this sequence."""
    found = Watching()
    for watcher in watchers:
        assert found.expect(watcher, 1)
        assert found.begin(watcher, auction(at)) == auction(at)
    return found


def test_who_watches_hears_of_each_leader_once():
    found = watching("alice", "bob")
    assert found.note(auction(1))
    assert found.take_moved() == [Moved(auction(1), ["alice", "bob"])]
    assert found.take_moved() == []


def test_of_several_steps_only_the_last_is_told():
    found = watching("alice")
    for sequence in (1, 2, 3):
        found.note(auction(sequence))
    assert found.take_moved() == [Moved(auction(3), ["alice"])]


def test_a_lower_or_equal_sequence_is_no_news():
    found = watching("alice", at=5)
    found.note(auction(4))
    found.note(auction(5))
    assert found.take_moved() == []
    assert found.again("alice", 1) == auction(5)


def test_what_is_in_doubt_is_told_whatever_its_sequence():
    found = watching("alice", "bob", at=5)
    found.doubt()
    assert found.again("alice", 1) is None
    assert found.take_moved() == []
    found.note(auction(4))
    assert found.take_moved() == [Moved(auction(4), ["alice", "bob"])]
    found.note(auction(3))
    assert found.take_moved() == []
    found.note(auction(5))
    assert found.take_moved() == [Moved(auction(5), ["alice", "bob"])]


def test_who_asks_again_while_it_is_in_doubt_waits_for_the_answer():
    found = watching("alice", at=5)
    found.doubt()
    assert found.expect("alice", 1)
    assert found.begin("alice", auction(4)) == auction(4)
    found.note(auction(4))
    assert found.take_moved() == []
    assert found.leave("alice") == [1]


def test_a_close_that_moves_is_known_and_not_told():
    found = watching("alice", at=5)
    found.note(auction(5, closes_ms=500))
    assert found.take_moved() == []
    assert found.again("alice", 1) == auction(5, closes_ms=500)


def test_nobody_hears_of_what_nobody_watches():
    found = watching("alice")
    assert not found.note(auction(1, id=2))
    assert found.take_moved() == []
    assert list(found.auctions) == [1]


def test_who_waits_for_the_first_word_misses_nothing():
    found = Watching()
    assert found.expect("alice", 1)
    assert not found.expect("alice", 1)
    assert found.again("alice", 1) is None
    assert found.note(auction(6))
    assert found.take_moved() == []
    assert found.begin("alice", auction(5)) == auction(6)
    found.note(auction(6))
    assert found.take_moved() == []


def test_an_answer_for_who_has_gone_is_for_nobody():
    found = Watching()
    found.expect("alice", 1)
    found.leave("alice")
    assert found.begin("alice", auction(0)) is None
    assert (len(found), list(found.auctions)) == (0, [])


def test_who_does_not_read_hears_of_the_newest_of_each():
    found = watching("alice")
    found.expect("alice", 2)
    found.begin("alice", auction(0, id=2))
    for sequence in (1, 2):
        found.note(auction(sequence))
        found.put_off("alice", 1)
    found.note(auction(1, id=2))
    found.put_off("alice", 2)
    assert found.take_late("alice") == [auction(2), auction(1, id=2)]
    assert found.take_late("alice") == []
    assert found.conflated == 1


def test_an_end_lets_everybody_go():
    found = watching("alice", "bob")
    found.expect("carol", 1)
    found.put_off("alice", 1)
    assert found.end(1) == ["alice", "bob", "carol"]
    assert found.end(1) == []
    assert found.take_late("alice") == []
    assert (len(found), list(found.auctions)) == (0, [])


def test_who_stops_is_told_no_more():
    found = watching("alice", "bob")
    assert found.stop("alice", 1)
    assert not found.stop("alice", 1)
    assert not found.stop("carol", 1)
    found.note(auction(1))
    assert found.take_moved() == [Moved(auction(1), ["bob"])]
    assert len(found) == 1


def test_who_leaves_is_forgotten_everywhere():
    found = watching("alice")
    found.put_off("alice", 1)
    found.note(auction(1))
    assert found.leave("alice") == [1]
    assert found.leave("alice") == []
    assert found.take_moved() == []
    assert found.take_late("alice") == []
    assert (len(found), list(found.auctions)) == (0, [])


def test_what_was_heard_at_the_beginning_is_not_told_once_more():
    found = watching("alice")
    found.expect("bob", 1)
    found.note(auction(1))
    assert found.begin("bob", auction(1)) == auction(1)
    assert found.take_moved() == [Moved(auction(1), ["alice"])]


def test_nor_what_was_heard_by_asking_again():
    found = watching("alice", "bob")
    found.note(auction(1))
    assert found.again("alice", 1) == auction(1)
    assert found.take_moved() == [Moved(auction(1), ["bob"])]


def test_nor_what_was_put_off_and_heard_since():
    found = watching("alice")
    found.note(auction(1))
    found.take_moved()
    found.put_off("alice", 1)
    assert found.again("alice", 1) == auction(1)
    assert found.take_late("alice") == []


def test_who_reads_again_hears_of_the_newest_once():
    found = watching("alice")
    found.note(auction(1))
    found.take_moved()
    found.put_off("alice", 1)
    found.note(auction(2))
    assert found.take_late("alice") == [auction(2)]
    assert found.take_moved() == []
