"""Readings of bidders: what several processes say is one sum, and what is gone has happened."""

from test_reading import as_values, counted

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.reading import NOTHING, AuctionReading, together
from tickstorm.auction.rule import Outcome
from tickstorm.metrics import Histogram


def bids_counted(number):
    """Metrics in which everything is there, and is told apart by a number."""
    metrics = AuctionMetrics()
    metrics.outcomes[Outcome.ACCEPTED] = number
    metrics.decision_seconds.observe(0.001, number)
    metrics.batch_bids.observe(5, number)
    metrics.store_errors["AnswerLost"] = 2 * number
    metrics.updates["sent"] = 3 * number
    metrics.ticks_withheld = 4 * number
    return metrics


def bids_as_values(metrics):
    return {
        name: (value.counts, round(value.total, 9)) if isinstance(value, Histogram) else value
        for name, value in vars(metrics).items()
    }


def reading(number, state=BreakerState.CLOSED):
    return AuctionReading(
        connections=number,
        watchers=2 * number,
        in_flight=3 * number,
        paused=4 * number,
        metrics=bids_counted(number),
        edge=counted(number),
        state=state,
    )


def test_the_example_leaves_nothing_out():
    assert all(bids_as_values(bids_counted(1)).values())


def test_readings_add_up_and_the_worst_of_the_stores_counts():
    total = together([reading(1), reading(10, BreakerState.OPEN), reading(100)])
    assert total[:4] == (111, 222, 333, 444)
    assert bids_as_values(total.metrics) == bids_as_values(bids_counted(111))
    assert as_values(total.edge) == as_values(counted(111))
    assert total.state is BreakerState.OPEN


def test_adding_changes_nothing_that_was_added():
    first = reading(1)
    together([first, reading(2)])
    assert bids_as_values(first.metrics) == bids_as_values(bids_counted(1))
    assert bids_as_values(NOTHING.metrics) == bids_as_values(AuctionMetrics())


def test_none_at_all_is_nothing():
    assert together([])[:4] == NOTHING[:4]


def test_of_a_process_that_is_gone_stays_what_has_happened():
    gone = reading(5, BreakerState.OPEN).retired()
    assert (gone[:4], gone.state) == ((0, 0, 0, 0), BreakerState.CLOSED)
    assert bids_as_values(gone.metrics) == bids_as_values(bids_counted(5))


def test_a_store_that_is_away_is_complained_of():
    assert reading(1).complaints == ()
    for state in (BreakerState.PROBING, BreakerState.OPEN):
        assert reading(1, state).complaints == ("the store of the auctions is away",)
