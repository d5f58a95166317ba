"""Bidders and watchers over real connections, all in this reactor, and what they were told."""

from collections import Counter, defaultdict, deque
from struct import Struct
from typing import NamedTuple

from auction_servers import LOGIN, until
from redis_servers import HOST
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from tickstorm.auction.money import to_cents
from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import (
    FrameType,
    auth_frame,
    bid_frame,
    read_error,
    read_result,
    read_update,
    watch_frame,
)
from tickstorm.clock import system_clock

CLOCK = system_clock(reactor)
RETRIED = {Outcome.RATE_LIMITED, Outcome.UNAVAILABLE, Outcome.UNDECIDED}
"""The bid is to be sent again."""
_RESULT = Struct(">2xIIdBdIQQ")  # as far as the bid_id
_WAIT_MS = Struct(">I")


class Caller(Protocol):
    """The far end of a connection, which has logged in. It keeps what it hears.

    Args:
        first: what is sent with the login.

    Attributes:
        results: the RESULTs of bids, whole frames.
        updates: of each auction all UPDATEs, in their order.
        finals: of each auction the RESULTs of its end, whole frames.
        errors: the codes.
        is_over: whether the connection has ended.
    """

    def __init__(self, *first):
        self.results = []
        self.updates, self.finals = defaultdict(list), defaultdict(list)
        self.errors = []
        self.is_over = False
        self._first = first
        self._rest = b""

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        self.send(auth_frame(LOGIN), *self._first)

    def send(self, *frames):
        self.transport.write(b"".join(frames))

    def watch(self, *ids):
        self.send(*map(watch_frame, ids))

    def dataReceived(self, data):
        data, at = self._rest + data, 0
        while len(data) - at >= 2 and len(data) - at >= (size := 2 + data[at + 1]):
            self.heard(data[at : at + size])
            at += size
        self._rest = data[at:]

    def heard(self, frame):
        if frame[0] == FrameType.RESULT:
            bid, answer = read_result(frame[2:])
            ended = answer.outcome >= Outcome.SOLD
            (self.finals[bid.auction_id] if ended else self.results).append(frame)
        elif frame[0] == FrameType.UPDATE:
            update = read_update(frame[2:])
            self.updates[update.auction_id].append(update)
        elif frame[0] == FrameType.ERROR:
            self.errors.append(read_error(frame[2:]).code)

    def connectionLost(self, _):
        self.is_over = True

    @property
    def outcomes(self):
        return [answer(frame).outcome for frame in self.results]

    def leader(self, id):
        """The price, bidder and sequence that it heard of last."""
        update = self.updates[id][-1]
        return update.cents, update.user_id, update.sequence


def answer(frame):
    """The answer in a RESULT."""
    return read_result(frame[2:]).answer


async def call(server, *first):
    """Connect."""
    return await connectProtocol(TCP4ClientEndpoint(reactor, HOST, server.port), Caller(*first))


async def watching(server, *ids):
    """Connect, and watch."""
    caller = await call(server, *map(watch_frame, ids))
    said = lambda: all(caller.updates[id] or caller.finals[id] for id in ids)  # noqa: E731
    await until(said, "all that is watched is told of")
    return caller


class Offer(NamedTuple):
    """A bid that is to be sent; its bid_id is of no other user or auction."""

    bid_id: int
    auction_id: int
    cents: int
    frame: bytes


def offer(bid_id, auction_id, user_id, amount):
    """A bid of an amount that may be none."""
    frame = bid_frame(auction_id, user_id, amount, bid_id)
    return Offer(bid_id, auction_id, to_cents(amount), frame)


class Bidder(Protocol):
    """Sends bids, some at a time, over one connection after the other, until each is decided.

    Args:
        race: is told what is heard, and says where to connect.
        offers: the bids.
        window: how many may have no RESULT.
        rest: seconds between one word of the server and the next bids.

    Attributes:
        is_open: whether it is connected.
        is_done: whether all its bids are decided.
    """

    def __init__(self, race, offers, window, rest):
        self._race = race
        self._offers = iter(offers)
        self._window = window
        self._rest = rest
        self._again = deque()
        self._sent = deque()
        self._put_off = 0
        self._data = b""
        self._resting = None
        self.is_open = self.is_done = False

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        self.is_open, self._data = True, b""
        self.transport.write(auth_frame(LOGIN))
        self._bid()

    def dataReceived(self, data):
        data, at = self._data + data, 0
        while len(data) - at >= 2 and len(data) - at >= (size := 2 + data[at + 1]):
            if data[at] == FrameType.RESULT:
                self._heard(data[at : at + size])
            at += size
        self._data = data[at:]
        self._bid_soon()

    def connectionLost(self, _):
        self.is_open = False
        # Whether those were decided is not known: they are sent again, and before all others.
        self._race.unheard += len(self._sent)
        self._again.extendleft(offer for offer, _ in reversed(self._sent))
        self._sent.clear()
        if not self.is_done and self._race.going:
            reactor.callLater(0.02, self._race.connect, self)

    def cut(self):
        if self.is_open:
            self.transport.abortConnection()

    def _heard(self, frame):
        outcome, bid_id = _RESULT.unpack_from(frame)[3::4]
        offer, sent_at = self._sent.popleft()
        if offer.bid_id != bid_id:
            self._race.faults.append(f"{bid_id} was answered before {offer.bid_id}")
        self._race.heard(offer, outcome, frame, CLOCK.monotonic() - sent_at)
        if outcome in RETRIED:
            self._put_off += 1
            wait_ms = _WAIT_MS.unpack_from(frame, len(frame) - 4)[0]
            reactor.callLater(max(wait_ms, 1) / 1000, self._retry, offer)

    def _retry(self, offer):
        self._put_off -= 1
        self._again.append(offer)
        self._bid_soon()

    def _bid_soon(self):
        if not self._rest:
            self._bid()
        elif self._resting is None:
            self._resting = reactor.callLater(self._rest, self._rested)

    def _rested(self):
        self._resting = None
        self._bid()

    def _bid(self):
        if not self.is_open:
            return
        now, frames = CLOCK.monotonic(), []
        while len(self._sent) + self._put_off < self._window:
            offer = self._again.popleft() if self._again else next(self._offers, None)
            if offer is None:
                self.is_done = not self._sent and not self._put_off
                break
            self._sent.append((offer, now))
            frames.append(offer.frame)
        self._race.sent += len(frames)
        self.transport.write(b"".join(frames))


class Race:
    """Bidders at several servers, and what all of them were told.

    Args:
        servers: who is connected to.
        random: says to which.

    Attributes:
        going: whether who has lost its connection gets another.
        first: the first RESULT of each bid that was decided, by its bid_id.
        outcomes: how often each was heard.
        sent: how many bids were sent, repeats too.
        unheard: to how many of these the connection was lost before the RESULT.
        slowest: seconds of the longest wait for a RESULT.
        faults: what must not be.
    """

    def __init__(self, servers, random):
        self.first = {}
        self.outcomes = Counter()
        self.sent = self.unheard = 0
        self.slowest = 0.0
        self.faults = []
        self.going = True
        self._servers = servers
        self._random = random
        self._bidders = []
        self._highest = defaultdict(int)

    def start(self, shares, window=64, rest=0.0):
        """Have a bidder begin with each share of the bids."""
        for offers in shares:
            bidder = Bidder(self, offers, window, rest)
            self._bidders.append(bidder)
            self.connect(bidder)

    def connect(self, bidder):
        endpoint = TCP4ClientEndpoint(reactor, HOST, self._random.choice(self._servers).port)
        connecting = connectProtocol(endpoint, bidder)
        connecting.addErrback(lambda _: self.going and reactor.callLater(0.1, self.connect, bidder))

    def cut(self):
        """End somebody's connection, with whatever is under way on it."""
        self._random.choice(self._bidders).cut()

    def heard(self, offer, outcome, frame, seconds):
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, seconds)
        if outcome in RETRIED:
            return
        if self.first.setdefault(offer.bid_id, frame) != frame:
            self.faults.append(f"{offer.bid_id} was answered otherwise before")
        self._highest[offer.auction_id] = max(self._highest[offer.auction_id], offer.cents)

    @property
    def failed(self):
        return self.outcomes[Outcome.UNAVAILABLE] + self.outcomes[Outcome.UNDECIDED]

    async def accepted(self, more=100):
        """Come back when so many more were."""
        enough = self.outcomes[Outcome.ACCEPTED] + more
        await until(lambda: self.outcomes[Outcome.ACCEPTED] >= enough, "bids are accepted")

    async def fails(self, more=3):
        """Come back when so many more had no answer."""
        enough = self.failed + more
        await until(lambda: self.failed >= enough, "bids have no answer")

    async def done(self):
        """Come back when all bids are decided; nobody connects any more."""
        before = None
        while not all(bidder.is_done for bidder in self._bidders):
            assert self.sent != before, "nothing has happened for long"
            before = self.sent
            try:
                await until(lambda: all(bidder.is_done for bidder in self._bidders), "all is done")
            except AssertionError:
                continue
        self.going = False
        for bidder in self._bidders:
            bidder.cut()

    async def check(self, store, ids):
        """Each bid had one RESULT, the record is what was accepted, and the highest has won."""
        assert self.faults == []
        assert sum(self.outcomes.values()) == self.sent - self.unheard
        accepted = defaultdict(dict)
        for frame in self.first.values():
            if frame[18] == Outcome.ACCEPTED:
                bid, told = read_result(frame[2:])
                led = (bid.user_id, told.cents, bid.bid_id)
                accepted[bid.auction_id].setdefault(told.standing.sequence, led)
        count = 0
        for id in ids:
            entries = await store.record(id, 0, 10**9)
            assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
            assert {entry.sequence: entry[1:4] for entry in entries} == accepted[id]
            standing = (await store.read(id)).standing
            assert (standing.price, standing.sequence) == (self._highest[id], len(entries))
            count += len(entries)
        assert count == sum(frame[18] == Outcome.ACCEPTED for frame in self.first.values())
