"""The parts of a server that are made from its settings, wherever they run."""

from collections.abc import Iterator

from tickstorm.admission import AdmissionLimits
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator
from tickstorm.factory import TickstormFactory
from tickstorm.feed import Feed
from tickstorm.hub import Hub, HubLimits
from tickstorm.outlet import Outlet
from tickstorm.overload import BacklogLimits
from tickstorm.publishing import Intake, rights_by_user
from tickstorm.rates import Rate
from tickstorm.session import SessionLimits
from tickstorm.settings import Settings
from tickstorm.transports import SocketOptions


def make_hub(settings: Settings, epoch: str, clock: Clock, slots: int) -> Hub[Outlet]:
    """Return a hub with what the settings say of it."""
    limits = HubLimits(settings.max_symbols, settings.max_message_bytes)
    return Hub(epoch, clock.wall_ns, limits, slots)


def make_intake(settings: Settings, hub: Hub[Outlet]) -> Intake:
    """Return the way of publishers to a hub, with what the settings say of it."""
    rate = Rate(settings.publish_rate, settings.publish_rate)
    return Intake(hub.publish, rights_by_user(settings.publishers), rate)


def make_factory(
    settings: Settings,
    feed: Feed,
    authenticator: IAuthenticator,
    clock: Clock,
    ids: Iterator[int] | None = None,
) -> TickstormFactory:
    """Return a factory with everything in the settings that concerns connections."""
    return TickstormFactory(
        feed,
        authenticator,
        clock,
        ids=ids,
        session_limits=SessionLimits(
            settings.auth_timeout,
            settings.heartbeat_interval,
            settings.heartbeat_timeout,
            settings.max_message_bytes,
        ),
        backlog_limits=BacklogLimits(
            settings.max_write_queue,
            settings.max_write_queue_bytes,
            settings.write_deadline,
            settings.soft_write_queue_bytes,
            settings.lossy_write_deadline,
        ),
        max_backlog_bytes=settings.max_backlog_bytes,
        admission_limits=AdmissionLimits(
            max_connections=settings.max_connections,
            max_connections_per_address=settings.max_connections_per_address,
            allow=settings.allow,
            block=settings.block,
            max_login_failures=settings.max_login_failures,
            login_failure_window=settings.login_failure_window,
        ),
        socket_options=SocketOptions(
            settings.tcp_keepalive,
            settings.tcp_read_buffer_bytes,
            settings.tcp_write_buffer_bytes,
            settings.tcp_unsent_bytes,
        ),
        publish_rights=rights_by_user(settings.publishers),
        verbose=settings.log_level == "debug",
    )
