"""What a worker and its parent say of auctions that are in the parent's memory: pure.

What there is much of is bytes: a bid takes 20 and an answer 21, and how an auction stood is told
once for all answers in a row that share it. The messages travel as those of `link`.
"""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple

from tickstorm.auction.life import Auction
from tickstorm.auction.rule import Answer, Bid, Outcome, Standing, Terms
from tickstorm.errors import TickstormError

_BIDS = Struct(">II")
_BID = Struct(">IQQ")
_ANSWERS = Struct(">II")
_STANDING = Struct(">QIQQQ")
_ANSWER = Struct(">BQIQ")
_AUCTION = Struct(">I6QQIQQQ")
_TERMS = slice(1, 7)
_OUTCOMES = {int(outcome): outcome for outcome in Outcome}


# A worker says:


class BidsAsked(NamedTuple):
    """It has bids to be decided; answered by BidsAnswered.

    Attributes:
        batches: see `pack_batches`.
    """

    request: int
    batches: bytes


class AuctionAsked(NamedTuple):
    """It asks for something else of the auctions; answered by AuctionAnswered.

    Attributes:
        call: the name of a method of IAuctionStore.
        arguments: what that takes.
    """

    request: int
    call: str
    arguments: tuple[Any, ...]


# The parent says:


class BidsAnswered(NamedTuple):
    """Answers BidsAsked.

    Attributes:
        now_ms: the time on the store's clock.
        answers: see `pack_answers`.
    """

    request: int
    now_ms: int
    answers: bytes


class AuctionAnswered(NamedTuple):
    """Answers AuctionAsked: with what the call came to, or why it failed.

    Attributes:
        now_ms: the time on the store's clock.
    """

    request: int
    now_ms: int
    answer: Any | TickstormError


class Moved(NamedTuple):
    """Tells how auctions stand that have moved, each as it stands now.

    Attributes:
        now_ms: the time on the store's clock.
        auctions: see `pack_auctions`.
    """

    now_ms: int
    auctions: bytes


# Bytes.


class Batch(NamedTuple):
    """Bids for one auction, to be decided together.

    Attributes:
        auction_id: that of each bid.
        bids: at least one.
    """

    auction_id: int
    bids: Sequence[Bid]


def pack_batches(batches: Iterable[Batch]) -> bytes:
    """Return batches as bytes."""
    packed = []
    pack = _BID.pack
    for auction_id, bids in batches:
        packed.append(_BIDS.pack(auction_id, len(bids)))
        packed += [pack(user_id, cents, bid_id) for _, user_id, cents, bid_id in bids]
    return b"".join(packed)


def read_batches(packed: bytes) -> Iterator[Batch]:
    """Yield what `pack_batches` was given."""
    at = 0
    while at < len(packed):
        auction_id, count = _BIDS.unpack_from(packed, at)
        begin = at + _BIDS.size
        at = begin + count * _BID.size
        bids = _BID.iter_unpack(packed[begin:at])
        yield Batch(auction_id, [Bid(auction_id, *bid) for bid in bids])


def pack_answers(decided: Iterable[Sequence[Answer] | None]) -> bytes:
    """Return the answers to each of some batches as bytes; None stands for a batch without any."""
    return b"".join([_packed(answers or ()) for answers in decided])


def read_answers(packed: bytes) -> Iterator[Sequence[Answer] | None]:
    """Yield what `pack_answers` was given."""
    at = 0
    while at < len(packed):
        count, standings = _ANSWERS.unpack_from(packed, at)
        answers_at = at + _ANSWERS.size + standings * _STANDING.size
        told = _STANDING.iter_unpack(packed[at + _ANSWERS.size : answers_at])
        at = answers_at + count * _ANSWER.size
        answers = _ANSWER.iter_unpack(packed[answers_at:at])
        yield _answers(list(map(Standing._make, told)), answers) if count else None


def pack_auctions(auctions: Iterable[Auction]) -> bytes:
    """Return auctions as bytes."""
    pack = _AUCTION.pack
    return b"".join([pack(id, *terms, *standing) for id, terms, standing in auctions])


def read_auctions(packed: bytes) -> Iterator[Auction]:
    """Yield what `pack_auctions` was given."""
    for values in _AUCTION.iter_unpack(packed):
        yield Auction(values[0], Terms(*values[_TERMS]), Standing(*values[_TERMS.stop :]))


def _packed(answers: Sequence[Answer]) -> bytes:
    # Most bids of a batch change nothing, so that one standing is that of many answers in a row.
    standings: list[bytes] = []
    packed: list[bytes] = []
    pack, last = _ANSWER.pack, None
    for outcome, cents, standing, retry_after_ms in answers:
        if standing != last:
            last = standing
            standings.append(_STANDING.pack(*standing))
        packed.append(pack(outcome, cents, len(standings) - 1, retry_after_ms))
    head = _ANSWERS.pack(len(packed), len(standings))
    return b"".join([head, *standings, *packed])


def _answers(
    standings: Sequence[Standing], answers: Iterable[tuple[int, int, int, int]]
) -> list[Answer]:
    return [
        Answer(_OUTCOMES[outcome], cents, standings[standing], retry_after_ms)
        for outcome, cents, standing, retry_after_ms in answers
    ]
