"""tally: the sum of what several processes counted."""

from dataclasses import asdict

from tickstorm.bench.tally import Tally, sum_of


def test_a_sum():
    one = Tally(
        connections=3,
        subscribed=2,
        refusals={"x": 1},
        closed=1,
        batches=5,
        latencies={1: 2, 9: 1},
        first_begun_ns=50,
        last_subscribed_ns=70,
        cpu_ns=10,
        wall_ns=100,
    )
    other = Tally(
        connections=4,
        subscribed=4,
        refusals={"x": 2, "y": 1},
        errors={"OVERLOADED": 1},
        batches=7,
        latencies={9: 3},
        first_begun_ns=40,
        last_subscribed_ns=60,
        cpu_ns=20,
        wall_ns=90,
    )
    total = sum_of([one, other])
    assert total == Tally(
        connections=7,
        subscribed=6,
        refusals={"x": 3, "y": 1},
        errors={"OVERLOADED": 1},
        closed=1,
        batches=12,
        latencies={1: 2, 9: 4},
        first_begun_ns=40,
        last_subscribed_ns=70,
        cpu_ns=30,
        wall_ns=100,
    )
    assert total.refused == 4
    assert total.busy == 0.3
    assert one.latencies == {1: 2, 9: 1}


def test_what_connections_of_other_processes_had_is_overdue():
    silent = Tally(newest=3, tails={3: 2, 4: 1})
    assert silent.overdue == 0
    total = sum_of([silent, Tally(newest=10, tails={10: 5, 3: 1}), Tally()])
    assert (total.newest, total.tails) == (10, {3: 3, 4: 1, 10: 5})
    assert total.overdue == 3 * 7 + 6
    assert Tally(tails={3: 2}).overdue == 0


def test_nothing_and_one():
    assert sum_of([]) == Tally()
    assert sum_of([Tally(subscribed=1)]) == Tally(subscribed=1)
    assert Tally().busy == 0.0


def test_who_never_began_has_no_part_in_when():
    assert asdict(sum_of([Tally(), Tally(first_begun_ns=7)]))["first_begun_ns"] == 7
