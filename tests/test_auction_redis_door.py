"""How a connection to Redis begins: who this is, which database, and that it is a master."""

from redis_fakes import FakeConnection, end_of
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tickstorm.auction.redis_door import Door
from tickstorm.auction.redis_replies import Address, Refused
from tickstorm.auction.redis_url import parse_redis_url

AT = Address("a", 1)


class Entry:
    """A door, and the one connection that it makes."""

    def __init__(self, url="redis://a"):
        self.connection = FakeConnection(Clock())
        self.heard = []
        self.door = Door(parse_redis_url(url), lambda address: address, self._connect)

    async def _connect(self, endpoint, heard):
        assert endpoint == AT
        self.heard.append(heard)
        return self.connection

    def enter(self, *heard):
        return end_of(Deferred.fromCoroutine(self.door.enter(AT, *heard)))

    def enter_master(self):
        return end_of(Deferred.fromCoroutine(self.door.enter_master(AT, b"return 1")))


def test_nothing_is_said_where_nothing_is_asked_for():
    entry = Entry()
    assert entry.enter(print) == [entry.connection]
    assert (entry.connection.commands, entry.heard) == ([], [print])


def test_a_password_alone_and_a_database():
    entry = Entry("redis://:secret@a/3")
    entered = entry.enter()
    for command in ((b"AUTH", b"secret"), (b"SELECT", b"3")):
        assert entry.connection.commands == [command]
        entry.connection.reply(b"OK")
    assert entered == [entry.connection]


def test_a_user_with_a_password():
    entry = Entry("redis://bids:secret@a")
    entry.enter()
    assert entry.connection.commands == [(b"AUTH", b"bids", b"secret")]


def test_a_wrong_password_ends_it():
    entry = Entry("redis://:wrong@a")
    entered = entry.enter()
    entry.connection.refuse("WRONGPASS no")
    assert (type(entered[0]), entry.connection.aborted) == (Refused, True)


def test_a_master_gets_the_script():
    entry = Entry()
    entered = entry.enter_master()
    entry.connection.reply([b"master", 0, []])
    assert entry.connection.commands == [(b"SCRIPT", b"LOAD", b"return 1")]
    entry.connection.reply(b"sha")
    assert entered == [entry.connection]


def test_a_replica_is_left():
    entry = Entry()
    entered = entry.enter_master()
    entry.connection.reply([b"slave", b"10.0.0.1", 6379, b"connected", 0])
    assert (type(entered[0]), entry.connection.aborted) == (Refused, True)
