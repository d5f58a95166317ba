"""The parts of a server that are made from its settings, wherever they run.

What a running server takes of other settings is put into the same parts, and nothing is lost by it:
connections stay, and so does what is counted and remembered.
"""

from collections.abc import Iterator

from tickstorm.admission import AdmissionLimits
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator, SharedCredentials
from tickstorm.factory import TickstormFactory
from tickstorm.feed import Feed
from tickstorm.history import HistoryLimits
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
    history = HistoryLimits(settings.history, settings.history_stream_bytes, settings.history_bytes)
    limits = HubLimits(
        settings.max_symbols, settings.max_message_bytes, settings.max_intervals, history
    )
    return Hub(epoch, clock.wall_ns, limits, slots)


def make_intake(settings: Settings, hub: Hub[Outlet]) -> Intake:
    """Return the way of publishers to a hub, with what the settings say of it."""
    return Intake(hub.publish, rights_by_user(settings.publishers), _publish_rate(settings))


def change_intake(intake: Intake, settings: Settings) -> None:
    """Have publishers be held to other settings."""
    intake.change(rights_by_user(settings.publishers), _publish_rate(settings))


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
        session_limits=_session_limits(settings),
        backlog_limits=backlog_limits(settings),
        max_backlog_bytes=settings.max_backlog_bytes,
        admission_limits=admission_limits(settings),
        socket_options=socket_options(settings),
        publish_rights=rights_by_user(settings.publishers),
        verbose=is_verbose(settings),
    )


def authenticator_for(settings: Settings, authenticator: IAuthenticator | None) -> IAuthenticator:
    """Return who decides who a login is: this authenticator, or the settings if it is None."""
    if authenticator is not None:
        return authenticator
    return SharedCredentials(settings.username, settings.password)


def change_factory(
    factory: TickstormFactory, settings: Settings, authenticator: IAuthenticator
) -> None:
    """Have connections be held to other settings, and logins be checked by this authenticator."""
    factory.logins.authenticator = authenticator
    factory.session_limits = _session_limits(settings)
    backlogs = factory.congestion.backlogs
    backlogs.limits = backlog_limits(settings)
    backlogs.budget.max_bytes = settings.max_backlog_bytes
    factory.socket_options = socket_options(settings)
    factory.publications.rights = rights_by_user(settings.publishers)
    factory.register.verbose = is_verbose(settings)
    limits = admission_limits(settings)
    factory.login_failures.change(limits)
    inside = (each.address for each in factory.connections.values() if each.inside)
    factory.door.change(limits, inside)


def _publish_rate(settings: Settings) -> Rate:
    return Rate(settings.publish_rate, settings.publish_rate)


def _session_limits(settings: Settings) -> SessionLimits:
    return SessionLimits(
        settings.auth_timeout,
        settings.heartbeat_interval,
        settings.heartbeat_timeout,
        settings.max_message_bytes,
    )


def backlog_limits(settings: Settings) -> BacklogLimits:
    """Return how far a connection may fall behind."""
    return BacklogLimits(
        settings.max_write_queue,
        settings.max_write_queue_bytes,
        settings.write_deadline,
        settings.soft_write_queue_bytes,
        settings.lossy_write_deadline,
    )


def admission_limits(settings: Settings) -> AdmissionLimits:
    """Return who may come in."""
    return AdmissionLimits(
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        allow=settings.allow,
        block=settings.block,
        max_login_failures=settings.max_login_failures,
        login_failure_window=settings.login_failure_window,
    )


def socket_options(settings: Settings) -> SocketOptions:
    """Return what is set on each accepted socket."""
    return SocketOptions(
        settings.tcp_keepalive,
        settings.tcp_read_buffer_bytes,
        settings.tcp_write_buffer_bytes,
        settings.tcp_unsent_bytes,
    )


def is_verbose(settings: Settings) -> bool:
    """Return whether each connection's beginning and end is logged."""
    return settings.log_level == "debug"
