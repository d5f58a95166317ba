"""demand: who is to bid when."""

from tickstorm.bench.demand import Paced, Unpaced
from tickstorm.bench.jobs import Begin

MS, S = 10**6, 10**9
WINDOW = Begin(1 * S, 2 * S)


def test_without_a_rate_each_connection_fills_its_room_until_the_end():
    unpaced = Unpaced()
    unpaced.join(5)
    unpaced.join(6)
    assert (list(unpaced.look(S)), list(unpaced.take(5, 3, S))) == ([], [])
    unpaced.start(WINDOW, S // 2)
    assert list(unpaced.look(S)) == [5, 6]
    assert list(unpaced.look(S)) == []
    assert list(unpaced.take(5, 3, S)) == [(S, 3)]
    assert list(unpaced.take(5, 0, S)) == []
    assert list(unpaced.take(5, 3, 2 * S)) == []
    assert (unpaced.next_ns, unpaced.behind, list(unpaced.leave(5)), list(unpaced.drop())) == (
        None,
        0,
        [],
        [],
    )


def paced(*connections, phase=0.0):
    made = Paced(100.0, phase)
    for connection in connections:
        made.join(connection)
    made.start(WINDOW, S)
    return made


def test_at_a_pace_one_connection_bids_after_the_other():
    made = paced(5, 6)
    assert made.next_ns == S
    assert list(made.look(S + 30 * MS)) == [5, 6, 5, 6]
    assert (made.next_ns, made.behind) == (S + 40 * MS, 4)
    assert list(made.take(5, 9, S + 31 * MS)) == [(S, 1), (S + 20 * MS, 1)]
    assert made.behind == 2


def test_what_has_no_room_waits_in_its_order():
    made = paced(5)
    assert list(made.look(S + 20 * MS)) == [5, 5, 5]
    assert list(made.take(5, 0, S + 20 * MS)) == []
    assert list(made.take(5, 2, S + 50 * MS)) == [(S, 1), (S + 10 * MS, 1)]
    assert list(made.leave(5)) == [S + 20 * MS]
    assert made.behind == 0


def test_nothing_is_due_from_the_end_on():
    made = paced(5)
    assert len(list(made.look(9 * S))) == 100
    assert made.next_ns is None
    # What was due before it may still be sent.
    assert list(made.take(5, 1, 9 * S)) == [(S, 1)]


def test_before_the_start_nothing_is_due():
    made = Paced(100.0, 0.0)
    made.join(5)
    assert (made.next_ns, list(made.look(S))) == (None, [])


def test_bids_of_nobody_are_never_sent():
    made = paced()
    assert list(made.look(S + 10 * MS)) == []
    assert list(made.drop()) == [S, S + 10 * MS]
    assert list(made.drop()) == []


def test_too_far_behind_they_are_never_sent():
    made = Paced(100.0, 0.0, most_behind=2)
    made.join(5)
    made.start(WINDOW, S)
    assert list(made.look(S + 30 * MS)) == [5, 5]
    assert list(made.drop()) == [S + 20 * MS, S + 30 * MS]


def test_processes_bid_between_each_other():
    assert paced(5, phase=0.25).next_ns == S + 2_500_000
