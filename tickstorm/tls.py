"""TLS on what another endpoint accepts: one context for a port, made of a few PEM files.

No key's contents are ever in an error.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL.crypto import X509, X509StoreFlags
from OpenSSL.SSL import (
    MODE_RELEASE_BUFFERS,
    OP_NO_COMPRESSION,
    OP_NO_RENEGOTIATION,
    OP_NO_TICKET,
    SESS_CACHE_OFF,
    TLS1_3_VERSION,
    TLS_METHOD,
    VERIFY_FAIL_IF_NO_PEER_CERT,
    VERIFY_NONE,
    VERIFY_PEER,
    Connection,
    Context,
    Error,
)
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorCore,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from tickstorm.errors import ConfigError

TLS_1_2_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secret and authenticated, as all of TLS 1.3's are."""


class TLSSettings(NamedTuple):
    """How a server speaks TLS. The files are PEM.

    Attributes:
        cert: the path of the server's certificate and, behind it, those between it and the root.
        key: the path of its private key, not encrypted.
        client_ca: the path of the certificates that a client's must be signed by, at any distance;
            None asks for no client certificate.
        client_required: whether a client without a certificate is refused. One that shows a wrong
            certificate always is.
        minimum: TLS1_2_VERSION or TLS1_3_VERSION.
    """

    cert: str
    key: str
    client_ca: str | None = None
    client_required: bool = True
    minimum: int = TLS1_3_VERSION


Read = Callable[[str], bytes]
"""Returns the contents of the file at a path; raises OSError or ValueError."""


def read_file(path: str) -> bytes:
    """Return the contents of the file at a path, as they are now."""
    return Path(path).read_bytes()


class KeptFiles:
    """Files as they were when they were first read, so that all judge and use the same bytes.

    Args:
        contents: those that were read already, by path.

    Attributes:
        contents: likewise, with those that were read since.
    """

    def __init__(self, contents: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self.contents = dict(contents)

    def read(self, path: str) -> bytes:
        """Return the contents of the file at a path."""
        if path not in self.contents:
            self.contents[path] = read_file(path)
        return self.contents[path]


def server_context(settings: TLSSettings, read: Read = read_file) -> Context:
    """Read the files, and return what the connections of a port share.

    Args:
        settings: which files, and the rules.
        read: reads them.

    Raises:
        ConfigError: a file cannot be read or used; the message begins with its keyword.
    """
    context = Context(TLS_METHOD)
    context.set_min_proto_version(settings.minimum)
    context.set_cipher_list(TLS_1_2_CIPHERS)
    context.set_options(OP_NO_COMPRESSION | OP_NO_RENEGOTIATION)
    # No resumption, by tickets or a cache: a resumed session lasts on a certificate that was judged
    # earlier, which may have expired or be of a CA that is no longer trusted, and every worker
    # would need the same ticket keys. With an EC key a full handshake costs under a millisecond.
    context.set_options(OP_NO_TICKET)
    context.set_session_cache_mode(SESS_CACHE_OFF)
    # Most connections are idle most of the time, and then have no need of buffers.
    context.set_mode(MODE_RELEASE_BUFFERS)
    _use_certificate(context, settings, read)
    _use_key(context, settings, read)
    _verify_clients(context, settings, read)
    return context


def certificate_expiry(path: str, read: Read = read_file) -> float:
    """Return when the first certificate in a PEM file stops being valid, in Unix seconds.

    Raises:
        ConfigError: there is none that can be read.
    """
    return _certificates("cert", path, read)[0].not_valid_after_utc.timestamp()


def _use_certificate(context: Context, settings: TLSSettings, read: Read) -> None:
    certificate, *chain = _certificates("cert", settings.cert, read)
    try:
        context.use_certificate(certificate)
        for issuer in chain:
            context.add_extra_chain_cert(issuer)
    except Error as error:
        raise ConfigError(f"cert: {settings.cert!r} is refused: {_reason(error)}") from None


def _use_key(context: Context, settings: TLSSettings, read: Read) -> None:
    pem = _contents("key", settings.key, read)
    try:
        key: Any = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(
            f"key: {settings.key!r} is not a private key in PEM without a passphrase"
        ) from None
    try:
        context.use_privatekey(key)
        context.check_privatekey()
    except (Error, TypeError):
        raise ConfigError(
            f"key: {settings.key!r} is not the key of cert {settings.cert!r}"
        ) from None


def _verify_clients(context: Context, settings: TLSSettings, read: Read) -> None:
    if settings.client_ca is None:
        context.set_verify(VERIFY_NONE)
        return
    store = context.get_cert_store()
    assert store is not None  # only a context without memory has none
    for authority in _certificates("clientCA", settings.client_ca, read):
        store.add_cert(X509.from_cryptography(authority))
        context.add_client_ca(authority)
    # An intermediate CA stands for those it signed, without trust in its whole root.
    store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    required = VERIFY_FAIL_IF_NO_PEER_CERT if settings.client_required else 0
    context.set_verify(VERIFY_PEER | required)


def _certificates(keyword: str, path: str, read: Read) -> list[Certificate]:
    pem = _contents(keyword, path, read)
    try:
        return load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigError(f"{keyword}: {path!r} is not a certificate in PEM") from None


def _contents(keyword: str, path: str, read: Read) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise ConfigError(f"{keyword}: cannot read {path!r}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{keyword}: cannot read {path!r}: {error}") from None


def _reason(error: Error) -> str:
    return "; ".join(reason for _, _, reason in error.args[0])


@implementer(IOpenSSLServerConnectionCreator)
class TLSConnections:
    """Begins the TLS of each connection that a port accepts.

    Attributes:
        context: of the connections to come; those that are open keep what they began with.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def serverConnectionForTLS(
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: ARG002, N803 - the interface's
    ) -> Connection:
        """Return one connection's TLS, which has not begun yet."""
        return Connection(self.context, None)


class WholeWritesTLSFactory(TLSMemoryBIOFactory):
    """Encrypts each write as it comes.

    Twisted's own collects small writes for a turn of the reactor, at the price of a timer for each;
    here each is a whole frame, which gains nothing by that.
    """

    protocol = TLSMemoryBIOProtocol


@implementer(IStreamServerEndpoint)
class TLSServerEndpoint:
    """Speaks TLS on what another endpoint accepts.

    Args:
        reactor: the one that accepts.
        accepting: the other endpoint.
        settings: the files, which are read now, and the rules.
        read: reads them.

    Attributes:
        settings: as given.
        connections: whose context another `server_context` of the settings may replace.

    Raises:
        ConfigError: a file cannot be read or used.
    """

    def __init__(
        self,
        reactor: IReactorCore,
        accepting: IStreamServerEndpoint,
        settings: TLSSettings,
        read: Read = read_file,
    ) -> None:
        self._reactor = reactor
        self._accepting = accepting
        self.settings = settings
        self.connections = TLSConnections(server_context(settings, read))

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803 - the interface's
        """Listen, and hand what the clients say to `protocolFactory`."""
        clock = IReactorTime(self._reactor)
        return self._accepting.listen(
            WholeWritesTLSFactory(self.connections, False, protocolFactory, clock)
        )


def replace_contexts(endpoints: Sequence[TLSServerEndpoint], read: Read = read_file) -> None:
    """Have endpoints use their files as they are now, for the connections to come.

    Raises:
        ConfigError: a file cannot be read or used; all stays as it was, of every endpoint.
    """
    contexts = [server_context(endpoint.settings, read) for endpoint in endpoints]
    for endpoint, context in zip(endpoints, contexts, strict=True):
        endpoint.connections.context = context
