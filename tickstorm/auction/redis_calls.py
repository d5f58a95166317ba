"""Calls of the script, wherever its auction is; what certainly was not done is asked for once more.

A call may begin for no longer than its answer is waited for: what is told to be lost does not
happen much later.
"""

from collections.abc import Callable
from hashlib import sha1
from importlib.resources import files
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.redis_packing import UPDATES, Reply, keys_of, read_reply
from tickstorm.auction.redis_places import Node, Places
from tickstorm.auction.redis_replies import Meaning, Refused, read_time_ms
from tickstorm.auction.redis_time import RedisClock

SCRIPT = (files("tickstorm.auction") / "redis_script.lua").read_bytes()
RETRY_AFTER_MS = 100
"""After how long it makes sense to ask again what a server could not do just now."""
_SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

Command = Callable[[Node], tuple[bytes, ...]]
"""Makes a command for the server that is to be asked."""


class CallOptions(NamedTuple):
    """How the script is called.

    Attributes:
        patience_ms: until when a call may begin, and for how long it is waited for replicas.
        record: the most entries of a record, about; 0 for all.
        replicas: as many have to have what was done before it is told.
        channel: where changes are told.
    """

    patience_ms: int = 1000
    record: int = 0
    replicas: int = 0
    channel: bytes = UPDATES


class Calls:
    """Asks the servers.

    Args:
        places: where the auctions are.
        options: see there.
        clock: hears the time of whichever server answers.
    """

    _log = Logger()

    def __init__(self, places: Places, options: CallOptions, clock: RedisClock) -> None:
        self._places = places
        self._clock = clock
        self._options = options
        self._common = (b"%d" % options.record, options.channel)

    def run(self, auction_id: int, operation: bytes, *arguments: bytes) -> Deferred[Reply]:
        """Run the script for an auction.

        The Deferred may fail with StoreUnavailable or AnswerLost.
        """
        keys = keys_of(auction_id)
        id = b"%d" % auction_id

        def command(node: Node) -> tuple[bytes, ...]:
            not_after = b"%d" % (node.clock.now_ms() + self._options.patience_ms)
            begin = (b"EVALSHA", _SHA, b"4", *keys, operation, not_after, id)
            return begin + self._common + arguments

        def read(packed: bytes, node: Node) -> Reply | Deferred[Reply]:
            reply = read_reply(auction_id, packed)
            node.clock.heard(reply.now_ms)
            self._clock.heard(reply.now_ms)
            waits = self._options.replicas and operation != b"read"
            return self._replicated(reply, node) if waits else reply

        return self._ask(keys.auction, command, read)

    def ask(self, key: bytes, *command: bytes) -> Deferred[Any]:
        """Send a command about one key; the Deferred may fail likewise."""
        return self._ask(key, lambda _: command, lambda reply, _: reply)

    def _ask(self, key: bytes, command: Command, read: Callable[[Any, Node], Any]) -> Deferred[Any]:
        try:
            node = self._places.of(key)
        except StoreUnavailable as error:
            return fail(error)
        asked = node.link.ask(*command(node))
        return asked.addCallbacks(
            self._read,
            self._once_more,
            callbackArgs=(node, read),
            errbackArgs=(node, command, read),
        )

    def _read(self, reply: Any, node: Node, read: Callable[[Any, Node], Any]) -> Any:
        try:
            return read(reply, node)
        except Exception:
            return self._gave_up(Failure(), node)

    def _once_more(
        self, failure: Failure, node: Node, command: Command, read: Callable[[Any, Node], Any]
    ) -> Any:
        refused = failure.value
        if not isinstance(refused, Refused) or (other := self._other(refused, node)) is None:
            return self._gave_up(failure, node)
        words = command(other)
        if refused.meaning is Meaning.LOAD:
            words = (b"EVAL", SCRIPT, *words[2:])
        elif refused.meaning is Meaning.ASK:
            other.link.ask(b"ASKING").addErrback(lambda _: None)  # the next command's reply tells
        asked = other.link.ask(*words)
        return asked.addCallbacks(
            self._read, self._gave_up, callbackArgs=(other, read), errbackArgs=(other,)
        )

    def _other(self, refused: Refused, node: Node) -> Node | None:
        """Return whom to ask once more, if it can help."""
        if refused.meaning is Meaning.LOAD:
            return node
        if refused.meaning is Meaning.PAST:
            node.clock.heard(read_time_ms(refused))
            return node
        if refused.meaning in (Meaning.MOVED, Meaning.ASK):
            return self._places.redirected(refused, node)
        return None

    def _replicated(self, reply: Reply, node: Node) -> Deferred[Reply]:
        """Come back when so many replicas have what was done."""
        # Half of it: what else is asked on this connection meanwhile has to wait for this.
        wait_ms = b"%d" % (self._options.patience_ms // 2)
        waited = node.link.ask(b"WAIT", b"%d" % self._options.replicas, wait_ms)

        def counted(count: int) -> Reply:
            if count < self._options.replicas:
                raise AnswerLost(f"{count} replicas have it", RETRY_AFTER_MS)
            return reply

        return waited.addCallbacks(counted, _not_counted)

    def _gave_up(self, failure: Failure, node: Node) -> Failure:
        error = failure.value
        if isinstance(error, StoreUnavailable | AnswerLost):
            return failure
        if not isinstance(error, Refused):
            self._log.failure("a reply of Redis makes no sense", failure)
            node.link.drop("its reply makes no sense")
        elif error.meaning is not Meaning.UNKNOWN:
            raise StoreUnavailable(str(error), RETRY_AFTER_MS) from None
        else:
            self._log.error("Redis refused a step of an auction: {why}", why=str(error))
        raise AnswerLost(str(error), RETRY_AFTER_MS) from None


def _not_counted(failure: Failure) -> Any:
    # Whatever became of that question: what it was about is done here.
    raise AnswerLost(failure.getErrorMessage(), RETRY_AFTER_MS) from None
