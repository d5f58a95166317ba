"""What is heard of the auctions, and the followers that are told it."""

import struct

from auction_store_suite import Follower

from tickstorm.auction.life import Auction
from tickstorm.auction.redis_following import Following
from tickstorm.auction.rule import Standing, Terms

MESSAGE = struct.pack(">I11Q", 12, 1234, 1000, 9000, 500, 50, 0, 0, 600, 7, 2, 9050)
AUCTION = Auction(12, Terms(1000, 9000, 500, 50, 0, 0), Standing(600, 7, 2, 650, 9050))


class Failing(Follower):
    def moved(self, auction):
        raise RuntimeError("broken")

    resumed = moved


class Resuming(Follower):
    def resumed(self):
        self.told.append("resumed")


def test_all_are_told():
    following, followers = Following(), [Resuming(), Resuming()]
    for follower in followers:
        following.add(follower)
    following.heard(MESSAGE)
    following.resumed()
    assert [follower.told for follower in followers] == [[AUCTION, "resumed"]] * 2


def test_what_is_no_auction_is_passed_over():
    following, follower = Following(), Follower()
    following.add(follower)
    for message in (b"", b"hello", MESSAGE + b"x"):
        following.heard(message)
    assert follower.told == []


def test_one_that_fails_costs_the_others_nothing(failures):
    following, follower = Following(), Follower()
    following.add(Failing())
    following.add(follower)
    following.heard(MESSAGE)
    assert follower.told == [AUCTION]
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()
