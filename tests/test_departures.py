"""Who goes when: evenly over the window, and back a little later."""

from hypothesis import given
from hypothesis import strategies as st

from tickstorm.departures import LEAST_REST, MOST_REST, Departure, departures, window_of


def test_each_has_a_part_of_the_window_to_itself_and_a_rest_of_its_own():
    numbers = iter([0.0, 0.5, 0.5, 0.0, 0.25, 1.0])
    assert departures(3, 6.0, lambda: next(numbers)) == [
        Departure(0.0, 1.0),
        Departure(3.0, 0.5),
        Departure(4.5, 1.5),
    ]


def test_nobody_has_no_departures():
    assert departures(0, 6.0, lambda: 0.5) == []


def test_without_a_window_all_go_at_once():
    assert [each.at for each in departures(3, 0.0, lambda: 0.9)] == [0.0, 0.0, 0.0]


@given(st.integers(1, 50), st.floats(0, 3600), st.randoms(use_true_random=False))
def test_they_are_in_order_and_within_their_parts(count, window, random):
    found = departures(count, window, random.random)
    assert len(found) == count
    for index, each in enumerate(found):
        assert index * window / count <= each.at + 1e-9
        assert each.at <= (index + 1) * window / count + 1e-9
        assert LEAST_REST <= each.rest <= MOST_REST


def test_the_times_that_are_told():
    departure = Departure(2.25, 0.5004)
    assert (departure.notice_ms, departure.rest_ms) == (2750, 500)


def test_the_window_leaves_time_for_the_last():
    assert window_of(10.0) == 8.0
