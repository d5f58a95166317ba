"""Whom a client of TLS trusts, and what it shows: for whatever does not speak it by Twisted."""

import ssl
from pathlib import Path

from tickstorm.client.address import TLSAddress
from tickstorm.errors import ConfigError


def tls_context(address: TLSAddress) -> ssl.SSLContext:
    """Return whom an address trusts, and what it shows.

    Raises:
        ConfigError: the certificates cannot be read.
    """
    try:
        return _load(address)
    except OSError as error:
        raise ConfigError(f"the certificates of {address} cannot be used: {error}") from error


def _load(address: TLSAddress) -> ssl.SSLContext:
    if not address.trust_roots:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        roots = Path(address.trust_roots)
        for file in sorted(roots.glob("*.pem")) if roots.is_dir() else (roots,):
            context.load_verify_locations(file)
    if address.certificate:
        context.load_cert_chain(address.certificate, address.private_key or None)
    return context
