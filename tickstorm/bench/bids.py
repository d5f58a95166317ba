"""The bids of one process, encoded beforehand. Pure.

They lie in a ring, and are sent in its order by whichever connection has room. Most of them are too
low or equal, as most are in an auction that many want; of each RAISE_EVERY one is above all that
this process has sent, so that some lead however long it lasts. Only these, and the ids of bids if
there are any, are written anew as they are taken.
"""

from random import Random
from struct import Struct

from tickstorm.auction.money import to_amount
from tickstorm.auction.wire import bid_frame
from tickstorm.bench.jobs import Bidding

RAISE_EVERY = 8
RING_BIDS = 4096 * RAISE_EVERY
IDS_OF_A_CONNECTION = 10**9
"""How many ids of bids each connection may use up before they are those of another process."""
_AMOUNT, _AMOUNT_AT = Struct(">d"), 10
_BID_ID, _BID_ID_AT = Struct(">Q"), 18
"""Where they are in a BID."""


class Bids:
    """Bids without end.

    Args:
        bidding: what to bid.
        first: the number of this process's first connection among all.
    """

    def __init__(self, bidding: Bidding, first: int) -> None:
        self._level = bidding.level
        self._next_id = bidding.first_bid_id and bidding.first_bid_id + first * IDS_OF_A_CONNECTION
        self._ring = _ring(bidding, Random(first))  # noqa: S311 - nothing is secret
        self._bytes = len(self._ring) // RING_BIDS
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next bids, as one piece of bytes; at most RING_BIDS of them."""
        end = self._at + count
        if end > RING_BIDS:
            return self.take(RING_BIDS - self._at) + self.take(end - RING_BIDS)
        taken = range(self._at, end)
        self._raise(taken)
        if self._next_id:
            self._number(taken)
        self._at = end % RING_BIDS
        return bytes(self._ring[taken.start * self._bytes : end * self._bytes])

    def _raise(self, taken: range) -> None:
        for place in range(-(-taken.start // RAISE_EVERY) * RAISE_EVERY, taken.stop, RAISE_EVERY):
            self._level += 1
            at = place * self._bytes + _AMOUNT_AT
            _AMOUNT.pack_into(self._ring, at, to_amount(self._level))

    def _number(self, taken: range) -> None:
        for place in taken:
            _BID_ID.pack_into(self._ring, place * self._bytes + _BID_ID_AT, self._next_id)
            self._next_id += 1


def _ring(bidding: Bidding, random: Random) -> bytearray:
    return bytearray(
        b"".join(
            bid_frame(
                random.choice(bidding.auctions),
                random.randint(*bidding.users),
                to_amount(random.randint(1, max(1, bidding.level))),
                bidding.first_bid_id,
            )
            for _ in range(RING_BIDS)
        )
    )
