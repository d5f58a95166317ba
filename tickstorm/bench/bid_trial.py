"""One bid in each auction before all others: where the server is, and above what bids may lead."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from tickstorm.auction.rule import Bid, Outcome
from tickstorm.auction.wire import (
    FROM_SERVER,
    Decoder,
    FrameType,
    Result,
    bid_frame,
    read_error,
    read_result,
)
from tickstorm.bench.bidders import FIRST_AMOUNT
from tickstorm.bench.jobs import Bidding
from tickstorm.bench.results import error_name
from tickstorm.bench.trial import Trial, visiting
from tickstorm.client.address import TCPAddress, TLSAddress
from tickstorm.errors import ConfigError, TickstormError

AT_A_TIME = 100
"""Bids that are sent before their RESULTs are read: fewer than any server leaves unread."""
_OPEN = {Outcome.ACCEPTED, Outcome.TOO_LOW, Outcome.EQUAL}
_READ_BYTES = 65536


class NotConfirmed(TickstormError):
    """The server ended the connection where RESULTs should have come."""


def try_bids(
    address: TCPAddress | TLSAddress, hello: bytes, bidding: Bidding, source: str
) -> tuple[Trial, int]:
    """Bid once in each auction, from `source` unless it is empty.

    Returns:
        Where the server is, and the least amount in cents that may lead in any of the auctions.

    Raises:
        OSError: the server cannot be reached.
        ConfigError: an auction takes no bids; or as `visiting`.
        NotConfirmed: the server refuses, or is none.
        InvalidMessage: it is no server of auctions.
    """
    with visiting(address, source) as (connection, trial):
        connection.sendall(hello)
        return trial, max(_minimums(connection, bidding))


def _minimums(connection: socket.socket, bidding: Bidding) -> Iterator[int]:
    decoder, user = Decoder(FROM_SERVER), bidding.users[0]
    for first in range(0, len(bidding.auctions), AT_A_TIME):
        ids = bidding.auctions[first : first + AT_A_TIME]
        connection.sendall(b"".join(bid_frame(id, user, FIRST_AMOUNT) for id in ids))
        for _ in ids:
            bid, answer = _result(connection, decoder)
            if answer.outcome not in _OPEN:
                raise ConfigError(_complaint(bid, answer.outcome))
            yield answer.standing.minimum


def _result(connection: socket.socket, decoder: Decoder) -> Result:
    while True:
        frame = decoder.next_frame()
        if frame is None:
            data = connection.recv(_READ_BYTES)
            if not data:
                raise NotConfirmed("the server closed the connection before the RESULT of a bid")
            decoder.feed(data)
        elif frame.type is FrameType.RESULT:
            return read_result(frame.value)
        elif frame.type is FrameType.ERROR:
            raise NotConfirmed(_refusal(frame.value))


def _refusal(value: bytes) -> str:
    code, text = read_error(value)
    return f"{error_name(code)}: {text}"


def _complaint(bid: Bid, outcome: Outcome) -> str:
    line = f"a bid in auction {bid.auction_id} for user {bid.user_id} was {outcome.name}"
    return f"{line}: --http creates it" if outcome is Outcome.UNKNOWN_AUCTION else line
