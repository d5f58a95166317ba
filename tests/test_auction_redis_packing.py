"""What goes between a store and the script: each packed value read as it was meant."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.life import Auction, Entry
from tickstorm.auction.money import MAX_CENTS
from tickstorm.auction.redis_packing import (
    Keys,
    Reply,
    channel_of,
    keys_of,
    pack_bids,
    pack_terms,
    read_answers,
    read_record,
    read_reply,
    read_update,
)
from tickstorm.auction.rule import Answer, Bid, Outcome, Standing, Terms

TERMS = Terms(1000, 9000, 500, 50, 10_000, 30)
STATE = struct.pack(">11Q", 1234, *TERMS, 600, 7, 2, 9050)
AUCTION = Auction(12, TERMS, Standing(600, 7, 2, 650, 9050))


def answer(outcome, cents, standing, retry_after_ms=0):
    return struct.pack(">BQQIQQQ", outcome, cents, *standing, retry_after_ms)


def test_the_keys_of_an_auction_are_in_one_slot():
    assert keys_of(12) == Keys(
        b"auction:{12}", b"auction:{12}:ids:0", b"auction:{12}:ids:1", b"auction:{12}:record"
    )


def test_each_database_has_a_channel():
    assert (channel_of(0), channel_of(3)) == (b"bid_updates", b"bid_updates:3")


def test_bids_are_packed():
    bids = [Bid(12, 7, 500, 1), Bid(12, 2**32 - 1, MAX_CENTS, 2**64 - 1)]
    assert pack_bids(bids) == (
        b"\0\0\0\0\0\0\x01\xf4\0\0\0\x07\0\0\0\0\0\0\0\x01"
        b"\0\x20\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
    )
    assert pack_bids([]) == b""


def test_terms_are_packed():
    assert pack_terms(TERMS) == [b"1000", b"9000", b"500", b"50", b"10000", b"30"]


def test_a_reply_without_an_auction():
    reply = read_reply(12, struct.pack(">Q", 1234))
    assert reply == Reply(1234, None)
    assert read_answers(reply, [Bid(12, 7, 500), Bid(12, 7, 600)]) == [
        Answer(Outcome.UNKNOWN_AUCTION, 500),
        Answer(Outcome.UNKNOWN_AUCTION, 600),
    ]


def test_a_reply_with_one():
    assert read_reply(12, STATE) == Reply(1234, AUCTION, b"")
    fresh = struct.pack(">11Q", 1234, *TERMS, 0, 0, 0, 9000)
    assert read_reply(12, fresh).auction == Auction(12, TERMS, Standing(0, 0, 0, 500, 9000))


def test_a_reply_with_answers():
    packed = [
        answer(5, 700, (0, 0, 0, 9000), 77),
        answer(1, 550, (550, 9, 1, 9000)),
        answer(2, 560, (550, 9, 1, 9000)),
        answer(1, 600, (600, 7, 2, 9050)),
    ]
    assert read_answers(read_reply(12, STATE + b"".join(packed)), []) == [
        Answer(Outcome.NOT_OPEN, 700, Standing(0, 0, 0, 500, 9000), 77),
        Answer(Outcome.ACCEPTED, 550, Standing(550, 9, 1, 600, 9000)),
        Answer(Outcome.TOO_LOW, 560, Standing(550, 9, 1, 600, 9000)),
        Answer(Outcome.ACCEPTED, 600, Standing(600, 7, 2, 650, 9050)),
    ]


def test_what_would_lead_is_exact_where_doubles_are_not():
    terms = TERMS._replace(increment=1)
    state = struct.pack(">11Q", 1, *terms, MAX_CENTS, 7, 1, 9000)
    assert read_reply(12, state).auction.standing.minimum == 2**53 + 1


def test_an_update():
    assert read_update(b"\0\0\0\x0c" + STATE) == AUCTION


@given(st.binary(max_size=200))
def test_anything_else_is_no_update(message):
    if len(message) == 92:
        return
    with pytest.raises(struct.error):
        read_update(message)


def test_a_record():
    entries = [
        (
            b"2-0",
            [b"at_ms", b"5", b"1", b"7 500 0000000000000000", b"2", b"8 600 ffffffffffffffff"],
        ),
        (b"3-0", [b"at_ms", b"6", b"3", b"7 700 0000000000000010"]),
        (b"3-1", [b"at_ms", b"9", b"final", b"sold 7 700"]),
    ]
    assert read_record(entries) == [
        Entry(1, 7, 500, 0, 5),
        Entry(2, 8, 600, 2**64 - 1, 5),
        Entry(3, 7, 700, 16, 6),
    ]
    assert read_record([]) == []
