"""How far the clock of a server is ahead of the one here, by heartbeats and their PONGs. Pure.

The server looked at its clock at some moment between the two, so half of the round trip is the
doubt. Two clocks that may agree to within SAME_NS are taken for the same: putting right what is
right would only add the doubt to every latency.
"""

from collections.abc import Iterable
from typing import NamedTuple

SAME_NS = 50_000_000
_MS = 1_000_000


class Exchange(NamedTuple):
    """A heartbeat and its PONG.

    Attributes:
        sent_ns: when the one was sent, since the Unix epoch by the clock here.
        received_ns: when the other arrived, likewise.
        server_ms: what the server's clock said meanwhile, in whole milliseconds.
    """

    sent_ns: int
    received_ns: int
    server_ms: int


def clock_ahead_ns(exchanges: Iterable[Exchange]) -> int:
    """Return how far the server's clock is ahead; below 0 if it is behind, 0 if it may be the same.

    The exchange with the shortest round trip is believed.
    """
    told = [exchange for exchange in exchanges if exchange.server_ms]
    if not told:
        return 0
    best = min(told, key=_round_trip_ns)
    middle_ns = best.sent_ns + _round_trip_ns(best) // 2
    ahead_ns = best.server_ms * _MS + _MS // 2 - middle_ns
    doubt_ns = (_round_trip_ns(best) + _MS) // 2
    return ahead_ns if abs(ahead_ns) - doubt_ns > SAME_NS else 0


def _round_trip_ns(exchange: Exchange) -> int:
    return exchange.received_ns - exchange.sent_ns
