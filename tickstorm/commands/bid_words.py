"""What became of a bid or an auction, in plain words, a line each. Pure."""

from collections.abc import Callable, Mapping

from tickstorm.auction.rule import Outcome
from tickstorm.client.auction.results import Leader, Result

LEADS, DOES_NOT_LEAD, NOT_DECIDED = 0, 1, 2
"""Exit codes."""


def result_code(result: Result) -> int:
    """Return the exit code that a result comes to."""
    if _leads(result):
        return LEADS
    return NOT_DECIDED if result.outcome in _NOT_DECIDED or result.in_doubt else DOES_NOT_LEAD


def result_line(result: Result) -> str:
    """Return what became of a bid."""
    if _leads(result):
        again = "" if result.outcome is Outcome.ACCEPTED else " already"
        return f"you lead with {result.price}{again}"
    line = _LINES[result.outcome](result)
    if result.in_doubt:
        return f"{line}; whether bid {result.bid_id} counts is not known"
    return line


def end_line(leader: Leader, user_id: int) -> str:
    """Return how an auction has ended, as one of its users is told."""
    if leader.outcome is Outcome.SOLD:
        return f"closed: sold to {whose(leader.bidder, user_id)} for {leader.price}"
    return "closed: not sold"


def whose(bidder: int | None, user_id: int) -> str:
    """Return who somebody is, as one of the users is told."""
    return "you" if bidder == user_id else f"user {bidder}"


def _leads(result: Result) -> bool:
    return result.leads and result.outcome is not Outcome.CLOSED


def _too_low(result: Result) -> str:
    return f"too low: {_least(result)}"


def _equal(result: Result) -> str:
    return f"{result.amount} is bid already: {_least(result)}"


def _least(result: Result) -> str:
    return "more is needed" if result.minimum is None else f"at least {result.minimum}"


def _later(what: str) -> Callable[[Result], str]:
    def line(result: Result) -> str:
        seconds = result.retry_after_ms / 1000
        return f"{what}: try again {f'in {seconds:.1f} s' if seconds else 'later'}"

    return line


_NOT_DECIDED = frozenset({Outcome.RATE_LIMITED, Outcome.UNAVAILABLE, Outcome.UNDECIDED})
_LINES: Mapping[Outcome, Callable[[Result], str]] = {
    Outcome.ACCEPTED: lambda result: f"{result.amount} led",
    Outcome.TOO_LOW: _too_low,
    Outcome.EQUAL: _equal,
    Outcome.CLOSED: lambda _: "closed",
    Outcome.NOT_OPEN: lambda _: "not open yet",
    Outcome.UNKNOWN_AUCTION: lambda result: f"there is no auction {result.auction_id}",
    Outcome.MALFORMED: lambda result: f"the server does not take {result.amount}",
    Outcome.NOT_PERMITTED: lambda result: f"this login may not bid for user {result.user_id}",
    Outcome.RATE_LIMITED: _later("too fast, and without effect"),
    Outcome.UNAVAILABLE: _later("not possible now, and without effect"),
    Outcome.UNDECIDED: _later("the answer was lost"),
    Outcome.SOLD: lambda _: "closed",
    Outcome.UNSOLD: lambda _: "closed",
}
