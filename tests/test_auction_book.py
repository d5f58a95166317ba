"""The book: what it holds at most, what it forgets then, and a clock that is set back."""

import pytest

from tickstorm.auction.bid_ids import BidIdLimits
from tickstorm.auction.book import Book, BookLimits
from tickstorm.auction.life import MAX_AUCTION_ID, InvalidAuction, TooManyAuctions
from tickstorm.auction.rule import Bid, Outcome, Terms

TERMS = Terms(1000, 2000)


def ids(book):
    return [auction.id for auction in book.auctions(0, 100)]


def bid(book, id, now_ms, bid_id=0, cents=500):
    (answer,) = book.bid(id, [Bid(id, 7, cents, bid_id)], now_ms)
    return answer.outcome


def test_what_is_held_by_default():
    assert BookLimits() == BookLimits(auctions=10_000, entries=100, bid_ids=BidIdLimits())


def test_that_which_closed_first_makes_room():
    book = Book(BookLimits(auctions=3))
    for closes_ms in (2000, 1500, 3000):
        book.create(Terms(1000, closes_ms), 1100)
    with pytest.raises(TooManyAuctions, match=r"^there are 3 auctions, and none has closed$"):
        book.create(TERMS, 1499)
    assert ids(book) == [1, 2, 3]
    assert book.create(TERMS, 1500).id == 4
    assert ids(book) == [1, 3, 4]


def test_what_is_there_already_needs_no_room():
    book = Book(BookLimits(auctions=1))
    auction = book.create(TERMS, 0)
    assert book.create(TERMS, 5000, auction.id) == auction


def test_what_is_remembered_of_an_auction_that_was_given_up_is_not_for_its_successor():
    book = Book(BookLimits(auctions=1))
    book.create(TERMS, 0, 5)
    assert bid(book, 5, 1500, bid_id=1) is Outcome.ACCEPTED
    book.create(Terms(1000, 9000), 2000, 6)
    assert bid(book, 5, 2000, bid_id=1) is Outcome.UNKNOWN_AUCTION
    book.close(6, 2000)
    book.create(Terms(1000, 9000, start=501), 2100, 5)
    assert bid(book, 5, 2100, bid_id=1) is Outcome.TOO_LOW


def test_the_record_keeps_the_newest():
    book = Book(BookLimits(entries=3))
    book.create(TERMS, 0)
    for cents in range(1, 6):
        bid(book, 1, 1500, cents=cents)
    assert [entry.sequence for entry in book.record(1, 0, 10)] == [3, 4, 5]


def test_a_bid_that_was_forgotten_does_not_lead_again():
    book = Book(BookLimits(bid_ids=BidIdLimits(keep_ms=100)))
    book.create(TERMS, 0)
    assert bid(book, 1, 1000, bid_id=1) is Outcome.ACCEPTED
    assert bid(book, 1, 1099, bid_id=1) is Outcome.ACCEPTED
    assert bid(book, 1, 1300, bid_id=1) is Outcome.EQUAL
    assert book.read(1).standing.sequence == 1


def test_bids_that_are_forgotten_early_are_counted():
    book = Book(BookLimits(bid_ids=BidIdLimits(most=1)))
    book.create(TERMS, 0)
    for bid_id in (1, 2, 3):
        bid(book, 1, 1000, bid_id)
    assert book.forgotten_early == 1


def test_a_clock_that_is_set_back_opens_nothing_again():
    book = Book()
    book.create(TERMS, 0)
    assert bid(book, 1, 2000) is Outcome.CLOSED
    assert bid(book, 1, 1500) is Outcome.CLOSED
    assert book.time(1500) == 2000


def test_a_clock_that_is_set_back_ends_no_memory():
    book = Book(BookLimits(bid_ids=BidIdLimits(keep_ms=100)))
    book.create(TERMS, 0)
    assert bid(book, 1, 1900, bid_id=1) is Outcome.ACCEPTED
    assert bid(book, 1, 1000, bid_id=1) is Outcome.ACCEPTED


def test_ids_go_on_from_the_highest_and_end():
    book = Book()
    assert [book.create(TERMS, 0, id).id for id in (0, 50, 7, 0)] == [1, 50, 7, 51]
    book.create(TERMS, 0, MAX_AUCTION_ID)
    with pytest.raises(InvalidAuction, match=r"^no id is left above 99999999: give one"):
        book.create(TERMS, 0)
