"""How fast bids may come: of each user, and from each address. Pure.

A user is whom a bid is for, on whatever connection: more connections are no way around the rate.
"""

from itertools import groupby
from math import ceil
from typing import NamedTuple

from tickstorm.auction.rule import Answer, Outcome
from tickstorm.auction.turns import Turn
from tickstorm.rates import Rate, TokenBuckets


class PaceLimits(NamedTuple):
    """How many bids a second; as many may come at once.

    Attributes:
        per_user: 0 for any number.
        per_address: likewise.
    """

    per_user: int = 1_000
    per_address: int = 50_000


class Pacing:
    """Answers the bids that come too fast.

    Args:
        limits: how fast that is.
    """

    def __init__(self, limits: PaceLimits) -> None:
        self._users = _buckets(limits.per_user)
        self._addresses = _buckets(limits.per_address)

    def judge(self, turn: Turn, address: str, now: float) -> None:
        """Answer those of a turn's undecided bids that are too many; the others are left as is.

        Args:
            turn: the bids.
            address: where they come from; "" for one that has no rate of its own.
            now: seconds of any monotonic clock.
        """
        if not turn.missing:
            return
        if self._users is not None:
            for user_id, run in groupby(turn.undecided(), lambda place: turn.bids[place].user_id):
                _judge(turn, list(run), self._users, user_id, now)
        if self._addresses is not None and address:
            _judge(turn, list(turn.undecided()), self._addresses, address, now)


def _buckets(per_second: int) -> TokenBuckets | None:
    return TokenBuckets(Rate(per_second, per_second)) if per_second else None


def _judge(
    turn: Turn, places: list[int], buckets: TokenBuckets, who: int | str, now: float
) -> None:
    # All at once as a rule: only where that is too much each is asked for by itself.
    if not buckets.take(who, len(places), now):
        return
    for place in places:
        wait = buckets.take(who, 1, now)
        if wait:
            cents = turn.bids[place].cents
            answer = Answer(Outcome.RATE_LIMITED, cents, retry_after_ms=ceil(wait * 1000))
            turn.answer(place, answer)
