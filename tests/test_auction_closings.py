"""Closings: each is told when its time has come, whatever becomes of the clock."""

from twisted.internet.task import Clock

from tickstorm.auction.closings import LONGEST_WAIT, Closings


class House:
    """Closings on simulated time, and those that were told, with the time in ms."""

    def __init__(self):
        self.scheduler = Clock()
        self.told = []
        self.offset_ms = 0
        self.again = {}
        self.closings = Closings(self.scheduler, self.now_ms, self.due)

    def now_ms(self):
        return round(self.scheduler.seconds() * 1000) + self.offset_ms

    def due(self, auction_id):
        self.told.append((auction_id, self.now_ms()))
        if auction_id in self.again:
            self.closings.expect(auction_id, self.again.pop(auction_id))

    @property
    def timers(self):
        return len(self.scheduler.getDelayedCalls())


def test_each_is_told_once_when_its_time_has_come():
    house = House()
    for auction_id, closes_ms in ((1, 3000), (2, 1000), (3, 1000)):
        house.closings.expect(auction_id, closes_ms)
    house.scheduler.pump([0.5] * 10)
    assert house.told == [(2, 1000), (3, 1000), (1, 3000)]
    assert (len(house.closings), house.timers) == (0, 0)


def test_a_later_time_takes_the_place_of_the_one_before():
    house = House()
    house.closings.expect(1, 1000)
    house.closings.expect(1, 2000)
    house.scheduler.pump([0.5] * 3)
    assert house.told == []
    house.scheduler.pump([0.5])
    assert house.told == [(1, 2000)]


def test_an_earlier_time_is_not_slept_through():
    house = House()
    house.closings.expect(1, 9000)
    house.closings.expect(1, 500)
    house.scheduler.pump([0.25] * 3)
    assert house.told == [(1, 500)]


def test_a_time_that_is_past_is_told_at_once():
    house = House()
    house.closings.expect(1, -5)
    house.scheduler.advance(0.001)
    assert house.told == [(1, 1)]


def test_who_is_told_may_wait_once_more():
    house = House()
    house.again[1] = 2000
    house.closings.expect(1, 1000)
    house.scheduler.pump([0.5] * 6)
    assert house.told == [(1, 1000), (1, 2000)]


def test_what_is_forgotten_is_not_told():
    house = House()
    house.closings.expect(1, 1000)
    house.closings.forget(1)
    house.closings.forget(2)
    assert house.timers == 0
    house.scheduler.pump([1.0] * 3)
    assert house.told == []


def test_a_clock_that_is_set_forward_is_looked_at():
    house = House()
    house.closings.expect(1, 3_600_000)
    house.offset_ms = 3_600_000
    house.scheduler.advance(LONGEST_WAIT)
    assert [auction_id for auction_id, _ in house.told] == [1]


def test_one_that_fails_does_not_keep_the_others(failures):
    house = House()
    tell = house.due

    def due(auction_id):
        if auction_id == 1:
            raise RuntimeError("broken")
        tell(auction_id)

    closings = Closings(house.scheduler, house.now_ms, due)
    closings.expect(1, 1000)
    closings.expect(2, 1000)
    closings.expect(3, 2000)
    house.scheduler.pump([1.0] * 2)
    assert house.told == [(2, 1000), (3, 2000)]
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()
