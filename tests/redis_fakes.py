"""Redis without a server: connections whose replies a test gives, and a link to them."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tickstorm.auction.breaker import Breaker, BreakerLimits
from tickstorm.auction.redis_link import Beat, Link, LinkLimits, Way
from tickstorm.auction.redis_replies import ConnectionGone, Refused
from tickstorm.clock import simulated_clock

BEAT = (b"TIME",)
LIMITS = LinkLimits(reply=1.0, dial=2.0)


class FakeConnection:
    """Keeps what is asked, until the test replies.

    Attributes:
        asked: the commands that have no reply yet, each with the time.
        aborted: whether it was ended from this side.
    """

    def __init__(self, clock):
        self.lost = Deferred()
        self.asked = []
        self.aborted = False
        self._clock = clock
        self._waiting = []

    @property
    def oldest(self):
        return self.asked[0][1] if self.asked else None

    @property
    def commands(self):
        return [command for command, _ in self.asked]

    def ask(self, *command):
        self.asked.append((command, self._clock.seconds()))
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def reply(self, reply):
        self.asked.pop(0)
        self._waiting.pop(0).callback(reply)

    def refuse(self, text):
        self.asked.pop(0)
        self._waiting.pop(0).errback(Refused(text))

    def abort(self):
        self.aborted = True

    def lose(self):
        """Have it end, as after an abort or by the other side."""
        self.lost.callback(None)
        while self._waiting:
            self.asked.pop(0)
            self._waiting.pop(0).errback(ConnectionGone("lost"))


class Bench:
    """A link, and the connections that it dials.

    Attributes:
        dialed: Deferreds of the dials that are under way.
        beats: the replies to beats.
        rises: how often it has become open.
    """

    def __init__(self, random=lambda: 1.0):
        self.clock = Clock()
        self.dialed = []
        self.beats = []
        self.rises = 0
        self.breaker = Breaker(BreakerLimits(), random)
        self.link = Link(
            Way("Redis", self._dial, Beat(BEAT, self.beats.append)),
            self.breaker,
            simulated_clock(self.clock),
            LIMITS,
            self._rose,
        )

    async def _dial(self):
        self.dialed.append(Deferred())
        return await self.dialed[-1]

    def _rose(self):
        self.rises += 1

    def accept(self):
        """Let the dial that is under way succeed, and return the connection."""
        connection = FakeConnection(self.clock)
        self.dialed.pop().callback(connection)
        return connection

    def open(self):
        """Have the link open on a new connection on which nothing is asked; return it."""
        if not self.dialed:
            self.link.start()
        connection = self.accept()
        connection.reply("first")
        if connection.asked:
            connection.reply("beat")
        self.beats.clear()
        return connection


def end_of(deferred):
    """A list that gets what a Deferred comes to."""
    ends = []
    deferred.addBoth(lambda end: ends.append(getattr(end, "value", end)))
    return ends
