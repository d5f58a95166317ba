"""The Twisted edge of chaos: stands between a connection and its transport, and moves bytes late.

It decides nothing: `Chaos` says what is written when. It is only there if a source asked for it, so
it costs nothing where none did.
"""

from math import inf
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.chaos import Chaos, ChaosOptions, Fault, Step
from tickstorm.clock import Clock
from tickstorm.factory import TickstormFactory
from tickstorm.interfaces import IChaoticSource, IKnowsPeer
from tickstorm.protocol import Connection


@implementer(IHandshakeListener, IKnowsPeer)
class ChaoticConnection(ProtocolWrapper):
    """The transport of one connection, which does to its frames what `Chaos` says.

    Args:
        factory: made it.
        connection: writes whole frames, and thinks that they arrive.
        chaos: what becomes of them.
        clock: the times.
    """

    _log = Logger()

    def __init__(
        self, factory: "ChaoticFactory", connection: Connection, chaos: Chaos, clock: Clock
    ) -> None:
        super().__init__(factory, connection)
        self._id = connection.id
        self._handshake_completed = connection.handshakeCompleted
        self._chaos = chaos
        self._clock = clock
        self._due: IDelayedCall | None = None

    # What the connection calls.

    def write(self, data: bytes) -> None:
        """Write frames, or what becomes of them."""
        self._chaos.write(data, self._clock.monotonic())
        self._go_on()

    def loseConnection(self) -> None:
        """Close, behind what is held back."""
        self.disconnecting = 1
        self._chaos.close(self._clock.monotonic())
        self._go_on()

    def unregisterProducer(self) -> None:
        """Let go of the connection as a producer, unless that was done as it was cut."""
        if not self.disconnecting:
            super().unregisterProducer()

    # What the transport calls.

    def handshakeCompleted(self) -> None:
        """Pass it on: TLS tells only whom it wraps."""
        self._handshake_completed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget what was held back."""
        self._cancel()
        super().connectionLost(reason)

    def _go_on(self) -> None:
        self._cancel()
        now = self._clock.monotonic()
        for step in self._chaos.take(now):
            self._do(step)
        wait = self._chaos.due_at - now
        if wait < inf:
            self._due = self._clock.scheduler.callLater(wait, self._wake)

    def _wake(self) -> None:
        self._due = None
        self._go_on()

    def _cancel(self) -> None:
        due, self._due = self._due, None
        if due is not None:
            due.cancel()

    def _do(self, step: Step) -> None:
        if step.injected is not None:
            self._log.info(
                "chaos: connection {connection}: {fault}, batch {batch_sequence}",
                connection=self._id,
                fault=step.injected.fault.value,
                batch_sequence=step.injected.batch_sequence,
            )
        if step.data:
            super().write(step.data)
        if step.ends:
            self._end()

    def _end(self) -> None:
        self.unregisterProducer()  # TLS does not close while there is one
        super().loseConnection()


class ChaoticFactory(WrappingFactory[ChaoticConnection]):
    """What subscribers' ports listen with while the server misbehaves.

    Args:
        factory: makes the connections.
        options: what may happen to them.
        clock: the times.
    """

    noisy = False
    _log = Logger()

    def __init__(self, factory: TickstormFactory, options: ChaosOptions, clock: Clock) -> None:
        super().__init__(factory)
        self._options = options
        self._clock = clock

    def startFactory(self) -> None:
        """Say so, loudly."""
        self._log.warn(
            "CHAOS: this server misbehaves on purpose, only a client under test should come here "
            "(chaos={faults}, seed={seed}, rate={rate:g})",
            faults=",".join(fault.value for fault in Fault if fault in self._options.faults),
            seed=self._options.seed,
            rate=self._options.rate,
        )

    def buildProtocol(self, addr: IAddress | None) -> ChaoticConnection:
        """Make the server's side of a new connection, with its faults."""
        connection: Any = self.wrappedFactory.buildProtocol(addr)
        return ChaoticConnection(self, connection, Chaos(self._options, connection.id), self._clock)


@implementer(IChaoticSource)
class ChaoticSource(MultiService):
    """A source whose server misbehaves.

    Args:
        source: publishes while this runs.
        options: what the subscribers' connections suffer.
        clock: the times.
    """

    def __init__(self, source: IService, options: ChaosOptions, clock: Clock) -> None:
        super().__init__()
        self.options = options
        self._clock = clock
        source.setServiceParent(self)

    def wrapFactory(self, factory: TickstormFactory) -> ChaoticFactory:
        """Return what makes the same connections, with faults."""
        return ChaoticFactory(factory, self.options, self._clock)
