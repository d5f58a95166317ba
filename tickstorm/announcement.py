"""What a server's log says as it begins to listen: where, and what others can reach."""

from collections.abc import Mapping, Sequence

from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from tickstorm.addresses import address_text
from tickstorm.descriptions import is_local
from tickstorm.settings import Settings


def announce_ports(log: Logger, listening: Mapping[str, Sequence[IListeningPort]]) -> None:
    """Say where a server listens, by whom for."""
    for whom, ports in listening.items():
        for port in ports:
            address = address_text(port.getHost())
            log.info("listening for {whom} on {address}", whom=whom, address=address)


def warn_of_open_pages(log: Logger, settings: Settings) -> None:
    """Warn of the operators' page, if others than this machine can reach it."""
    for description in settings.http_descriptions:
        if not is_local(description):
            log.warn(
                "the operators' page asks for no login, and {description} can be reached "
                "from other machines",
                description=description,
            )


def warn_of_open_auctions(log: Logger, settings: Settings) -> None:
    """Warn of bids without a login, if others than this machine can send them."""
    for description in settings.auction_descriptions:
        if not settings.auction_auth and not is_local(description):
            log.warn(
                "whoever can reach {description} may bid for anybody: auction_auth is off",
                description=description,
            )


def warn_of_open_files(log: Logger, asked: int, room: int) -> None:
    """Warn if there is room for fewer connections than are asked for."""
    if room < asked:
        log.warn(
            "max_connections is {asked}, but with the limit of open files there is room for "
            "{room}: raise that limit (ulimit -n, LimitNOFILE=), or have more workers",
            asked=asked,
            room=room,
        )
