"""Addresses that something listens on, as text that a client can be given."""

from typing import Any


def address_text(address: Any) -> str:
    """Return HOST:PORT, or unix:PATH, for an address of Twisted's."""
    if not hasattr(address, "port"):
        name = address.name
        return f"unix:{name.decode() if isinstance(name, bytes) else name}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"
