"""What the metadata of an ACK says: the terms that a server lets somebody in on. Pure.

A server of plain version 1 says nothing there. What is said and is wrong is an error.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tickstorm.client.events import Admitted, Subscribed
from tickstorm.errors import InvalidMessage

HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT = 15.0, 20.0
"""Seconds: what a server of plain version 1 keeps without saying so."""
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 10, 24 * 3600 * 1000
"""What is believed of a server that names its intervals."""


class PublicationAnswered(NamedTuple):
    """What the ACK of a PUBLISH says: of which, and whether it had been carried out before."""

    request_id: int
    repeated: bool


def subscribed(metadata: Mapping[str, str]) -> Subscribed:
    """Read what the ACK of a SUBSCRIBE says of the stream.

    Raises:
        InvalidMessage: a number in it is none, or out of its range, or `recovered` is neither
            "true" nor "false".
    """
    next_sequence = _integer(metadata, "next_sequence", 0, 2**32 - 1)
    return Subscribed(
        metadata.get("epoch", ""),
        next_sequence,
        *_heartbeats(metadata),
        _truth(metadata, "recovered"),
        _symbols(metadata),
    )


def admitted(metadata: Mapping[str, str]) -> Admitted:
    """Read what the ACK of an AUTH says to who may publish.

    Raises:
        InvalidMessage: a number in it is none, or out of its range.
    """
    return Admitted(metadata.get("epoch", ""), *_heartbeats(metadata))


def publication_answered(metadata: Mapping[str, str]) -> PublicationAnswered:
    """Read what the ACK of a PUBLISH says.

    Raises:
        InvalidMessage: the number of the request is not there, or none.
    """
    request_id = _integer(metadata, "request_id", 0, 2**64 - 1)
    if request_id is None:
        raise InvalidMessage("an ACK of PUBLISH does not say of which")
    return PublicationAnswered(request_id, metadata.get("repeated") == "true")


def _heartbeats(metadata: Mapping[str, str]) -> tuple[float, float]:
    interval_ms = _integer(metadata, "heartbeat_interval_ms", MIN_INTERVAL_MS, MAX_INTERVAL_MS)
    timeout_ms = _integer(metadata, "heartbeat_timeout_ms", MIN_INTERVAL_MS, MAX_INTERVAL_MS)
    return (
        HEARTBEAT_INTERVAL if interval_ms is None else interval_ms / 1000,
        HEARTBEAT_TIMEOUT if timeout_ms is None else timeout_ms / 1000,
    )


def _symbols(metadata: Mapping[str, str]) -> frozenset[str] | None:
    """Join the entries that a long set is spread over: symbols, symbols_2, symbols_3 and so on."""
    if "symbols" not in metadata:
        return None
    entries = [metadata["symbols"]]
    while (further := metadata.get(f"symbols_{len(entries) + 1}")) is not None:
        entries.append(further)
    return frozenset(symbol for entry in entries for symbol in entry.split(",") if symbol)


def _truth(metadata: Mapping[str, str], key: str) -> bool | None:
    text = metadata.get(key)
    if text is None:
        return None
    if text not in ("true", "false"):
        raise InvalidMessage(f"{key} is {text[:32]!r}, neither true nor false")
    return text == "true"


def _integer(metadata: Mapping[str, str], key: str, lowest: int, highest: int) -> int | None:
    text = metadata.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise InvalidMessage(f"{key} is {text[:32]!r}, not {lowest} to {highest}")
    return int(text)
