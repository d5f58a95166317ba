"""What goes between a store and the script in Redis, as bytes. Pure.

Times are milliseconds since the Unix epoch on Redis's clock, amounts are cents; all is whole.
"""

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from tickstorm.auction.life import Auction, Entry
from tickstorm.auction.rule import NOWHERE, Answer, Bid, Outcome, Standing, Terms

UPDATES = b"bid_updates"
IDS = b"auction:ids"
"""The key of the sorted set of the ids of all auctions."""

_BID = Struct(">QIQ")
_TIME = Struct(">Q")
_STATE = Struct(">11Q")
_ANSWER = Struct(">BQQIQQQ")
_ID = Struct(">I")
_OUTCOMES = {int(outcome): outcome for outcome in Outcome}


class Keys(NamedTuple):
    """The keys of one auction, in the order that the script takes them. All are in one slot."""

    auction: bytes
    ids_even: bytes
    ids_odd: bytes
    record: bytes


class Reply(NamedTuple):
    """What the script gives back.

    Attributes:
        now_ms: the time that Redis has.
        auction: None if there is none.
        answers: the packed answers to bids.
    """

    now_ms: int
    auction: Auction | None
    answers: bytes = b""


def keys_of(auction_id: int) -> Keys:
    """Return the keys of an auction."""
    key = b"auction:{%d}" % auction_id
    return Keys(key, key + b":ids:0", key + b":ids:1", key + b":record")


def channel_of(database: int) -> bytes:
    """Return the channel on which every change of an auction is told; databases share channels."""
    return UPDATES + b":%d" % database if database else UPDATES


def pack_bids(bids: Sequence[Bid]) -> bytes:
    """Return bids for the script."""
    pack = _BID.pack
    return b"".join([pack(cents, user_id, bid_id) for _, user_id, cents, bid_id in bids])


def pack_terms(terms: Terms) -> list[bytes]:
    """Return the terms of an auction that is to be, for the script."""
    return [b"%d" % term for term in terms]


def read_reply(auction_id: int, packed: bytes) -> Reply:
    """Read what the script gave back for an auction."""
    if len(packed) == _TIME.size:
        return Reply(_TIME.unpack(packed)[0], None)
    now_ms, *state = _STATE.unpack_from(packed)
    return Reply(now_ms, _auction(auction_id, state), packed[_STATE.size :])


def read_answers(reply: Reply, bids: Sequence[Bid]) -> list[Answer]:
    """Return the answers to the bids that the script took, in their order."""
    if reply.auction is None:
        return [Answer(Outcome.UNKNOWN_AUCTION, bid.cents) for bid in bids]
    terms = reply.auction.terms
    answers = []
    standing = NOWHERE
    known: list[int] = []
    for outcome, cents, *where, retry_after_ms in _ANSWER.iter_unpack(reply.answers):
        if where != known:  # most bids of a batch change nothing, and share it
            known = where
            standing = _standing(terms, *where)
        answers.append(Answer(_OUTCOMES[outcome], cents, standing, retry_after_ms))
    return answers


def read_update(message: bytes) -> Auction:
    """Read what is told on the channel.

    Raises:
        struct.error: it is something else.
    """
    (auction_id,) = _ID.unpack_from(message)
    _, *state = _STATE.unpack(message[_ID.size :])
    return _auction(auction_id, state)


def read_record(entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Entry]:
    """Return the leading bids in entries of the record's stream, each an id and its fields.

    The last entry of an auction that was settled has none.
    """
    found = []
    for _, fields in entries:
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        at_ms = int(named.pop(b"at_ms"))
        found += [
            _entry(int(sequence), text, at_ms)
            for sequence, text in named.items()
            if sequence.isdigit()
        ]
    return found


def _entry(sequence: int, text: bytes, at_ms: int) -> Entry:
    user_id, cents, bid_id = text.split()
    return Entry(sequence, int(user_id), int(cents), int(bid_id, 16), at_ms)


def _auction(auction_id: int, state: Sequence[int]) -> Auction:
    terms = Terms(*state[:6])
    return Auction(auction_id, terms, _standing(terms, *state[6:]))


def _standing(terms: Terms, price: int, bidder: int, sequence: int, closes_ms: int) -> Standing:
    # Not from Redis: Lua's numbers could not tell it above 2^53.
    minimum = price + terms.increment if sequence else terms.start
    return Standing(price, bidder, sequence, minimum, closes_ms)
