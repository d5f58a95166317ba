"""confirmations: which bids have a RESULT, how long that took, and which have none."""

import pytest

from tickstorm.auction.rule import Outcome
from tickstorm.bench.confirmations import Confirmations, Sent
from tickstorm.bench.jobs import Begin
from tickstorm.bench.latencies import rounded
from tickstorm.bench.tally import Tally
from tickstorm.errors import InvalidMessage

MS, S = 10**6, 10**9
WINDOW = Begin(1 * S, 2 * S)
YES, LOW = bytes([Outcome.ACCEPTED]), bytes([Outcome.TOO_LOW])


def begun(paced=False):
    tally = Tally()
    confirmations = Confirmations(tally, paced=paced)
    confirmations.measure(WINDOW)
    confirmations.join(5)
    return tally, confirmations


def together(now_ns, count):
    return Sent(now_ns, now_ns, count)


def test_results_are_those_of_the_oldest_bids():
    tally, confirmations = begun()
    confirmations.sent(5, together(1000 * MS, 3))
    confirmations.sent(5, together(1010 * MS, 2))
    assert (confirmations.missing_of(5), confirmations.missing) == (5, True)
    confirmations.confirmed(5, YES, 1020 * MS)
    confirmations.confirmed(5, LOW * 3, 1030 * MS)
    assert confirmations.missing_of(5) == 1
    confirmations.confirmed(5, LOW, 1040 * MS)
    assert (confirmations.missing_of(5), confirmations.missing) == (0, False)
    confirmations.end(9 * S)
    assert tally == Tally(
        outcomes={Outcome.ACCEPTED: 1, Outcome.TOO_LOW: 4},
        latencies={rounded(20_000): 2, rounded(30_000): 3},
    )


def test_with_a_rate_they_are_also_timed_from_when_they_were_due():
    tally, confirmations = begun(paced=True)
    confirmations.sent(5, Sent(1100 * MS, 1150 * MS, 1))
    confirmations.confirmed(5, YES, 1151 * MS)
    assert tally.latencies == {1000: 1}
    assert tally.corrected == {rounded(51_000): 1}


def test_outcomes_are_those_that_came_in_the_time_and_latencies_those_that_were_due_in_it():
    tally, confirmations = begun()
    confirmations.sent(5, together(999 * MS, 1))  # before the time
    confirmations.confirmed(5, YES, 1000 * MS)
    confirmations.sent(5, together(1999 * MS, 1))
    confirmations.confirmed(5, LOW, 2000 * MS)  # after it
    confirmations.sent(5, together(2000 * MS, 1))
    confirmations.confirmed(5, LOW, 2001 * MS)
    assert tally == Tally(outcomes={Outcome.ACCEPTED: 1}, latencies={1000: 1})


def test_what_a_lost_connection_was_to_get_is_lost():
    tally, confirmations = begun()
    confirmations.sent(5, together(1000 * MS, 4))
    confirmations.confirmed(5, YES, 1001 * MS)
    confirmations.leave(5, 1010 * MS)
    assert (tally.unconfirmed, tally.latencies) == (3, {1000: 1, rounded(10_000): 3})
    assert (5 in confirmations, len(confirmations), confirmations.missing) == (False, 0, False)


def test_at_the_end_a_bid_has_a_second():
    tally, confirmations = begun()
    confirmations.sent(5, together(1500 * MS, 2))
    confirmations.sent(5, together(1501 * MS, 7))
    confirmations.end(2500 * MS)
    assert (tally.unconfirmed, tally.latencies) == (2, {rounded(1_000_000): 2})


def test_a_result_to_no_bid():
    _, confirmations = begun()
    confirmations.sent(5, together(S, 1))
    with pytest.raises(InvalidMessage, match="a RESULT came to no bid"):
        confirmations.confirmed(5, YES * 2, S)


def test_a_bid_that_was_due_and_never_sent():
    tally, confirmations = begun(paced=True)
    confirmations.unsent(1500 * MS, 1600 * MS)
    confirmations.unsent(900 * MS, 1600 * MS)  # due before the time
    assert (tally.unsent, tally.corrected, tally.latencies) == (2, {rounded(100_000): 1}, {})
