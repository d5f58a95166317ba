"""The entrance: who is let in, who is told why not, and who is just to be closed."""

from ipaddress import ip_network

import pytest

from tickstorm.admission import AdmissionLimits, Door
from tickstorm.entrance import MAX_TURNED_AWAY, Entrance
from tickstorm.metrics import Metrics

INSIDE, BLOCKED = "10.0.0.1", "10.1.0.1"


class Caller:
    """A connection that comes."""

    def __init__(self):
        self.address = ""
        self.inside = False
        self.told = []

    def fail(self, error):
        self.told.append(error.code.name)

    @property
    def state(self):
        return self.address, self.inside, self.told


class House:
    """An entrance, its door, and the connections that are open."""

    def __init__(self, **limits):
        self.door = Door(AdmissionLimits(block=(ip_network("10.1.0.0/16"),), **limits))
        self.metrics = Metrics()
        self.open = []
        self.entrance = Entrance(self.door, self.metrics, self.open)

    def come(self, address):
        """One that comes, and whether that was not too many."""
        caller = Caller()
        self.open.append(caller)
        return caller, self.entrance.enter(caller, address)


def test_one_that_may_come_is_inside():
    house = House()
    caller, taken = house.come(INSIDE)
    assert (caller.state, taken) == ((INSIDE, True, []), True)
    assert (house.door.total, house.entrance.turned_away, house.metrics.rejections) == (1, 0, {})


def test_one_that_may_not_is_told_why():
    house = House()
    caller, taken = house.come(BLOCKED)
    assert (caller.state, taken) == ((BLOCKED, False, ["NOT_PERMITTED"]), True)
    assert (house.door.total, house.entrance.turned_away) == (0, 1)
    assert house.metrics.rejections == {"blocked": 1}


@pytest.mark.parametrize("inside", [0, 3])
def test_only_so_many_are_told_at_a_time(inside):
    house = House()
    for _ in range(inside):
        house.come(INSIDE)
    told = [house.come(BLOCKED) for _ in range(MAX_TURNED_AWAY)]
    assert [(len(caller.told), taken) for caller, taken in told] == [(1, True)] * MAX_TURNED_AWAY
    caller, taken = house.come(BLOCKED)
    assert (caller.state, taken) == ((BLOCKED, False, []), False)
    assert house.metrics.rejections == {"blocked": MAX_TURNED_AWAY + 1}
    del house.open[-2:]
    caller, taken = house.come(BLOCKED)
    assert (caller.told, taken) == (["NOT_PERMITTED"], True)


def test_one_that_leaves_makes_room_once():
    house = House(max_connections=2)
    first, second = (house.come(INSIDE)[0] for _ in range(2))
    house.entrance.leave(first)
    house.entrance.leave(first)
    assert (first.inside, second.inside, house.door.total) == (False, True, 1)


def test_one_that_was_turned_away_has_nothing_to_leave():
    house = House(max_connections=1)
    house.come(INSIDE)
    caller, _ = house.come(INSIDE)
    house.entrance.leave(caller)
    assert (caller.told, house.door.total) == (["OVERLOADED"], 1)


def test_one_may_leave_as_one_and_come_as_another():
    house = House(max_connections_per_address=1)
    caller, _ = house.come("")
    house.entrance.leave(caller)
    assert house.entrance.enter(caller, INSIDE)
    assert (caller.state, house.door.total) == ((INSIDE, True, []), 1)
    assert house.come(INSIDE)[0].told == ["RATE_LIMITED"]
