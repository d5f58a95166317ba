import pytest
from certificates import authority
from OpenSSL.SSL import TLS1_2_VERSION, TLS1_3_VERSION
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from zope.interface.verify import verifyObject

from tickstorm.endpoint_plugin import TLSEndpointParser
from tickstorm.endpoints import server_endpoint
from tickstorm.errors import ConfigError
from tickstorm.tls import TLSServerEndpoint, TLSSettings

KEYWORDS = "interface, backlog, cert, key, clientCA, clientAuth, min"


@pytest.fixture(name="files")
def make_files(tmp_path, monkeypatch):
    """The PEM files of a server, its authority and a stranger, in the current directory."""
    monkeypatch.chdir(tmp_path)
    ca = authority()
    ca.save(tmp_path, "ca")
    server = ca.issue("server")
    server.save(tmp_path, "server")
    ca.issue("other").save(tmp_path, "other")
    (tmp_path / "locked.key").write_bytes(server.key_pem(b"sesame"))
    (tmp_path / "broken.crt").write_bytes(server.pem().replace(b"A", b"!", 3))
    (tmp_path / "folder").mkdir()
    return tmp_path


def listened(description):
    """What the reactor was asked to listen on for TCP: port, backlog and interface."""
    reactor = MemoryReactorClock()
    server_endpoint(reactor, description).listen(Factory())
    ((port, _, backlog, interface),) = reactor.tcpServers
    return port, backlog, interface


def complaint(description):
    with pytest.raises(ConfigError) as caught:
        server_endpoint(MemoryReactorClock(), description)
    return str(caught.value).removeprefix(f"{description!r}: ")


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("tcp:8080", (8080, 4096, "")),
        ("tcp:8080:interface=127.0.0.1", (8080, 4096, "127.0.0.1")),
        ("tcp:8080:127.0.0.1", (8080, 4096, "127.0.0.1")),
        ("tcp:8080:127.0.0.1:7", (8080, 7, "127.0.0.1")),
        ("tcp:port=8080:backlog=7", (8080, 7, "")),
        (r"tcp:8080:interface=\:\:1", (8080, 4096, "::1")),
        ("tcp6:8080", (8080, 4096, "::")),
        ("tcp6:8080:7", (8080, 7, "::")),
        (r"tcp6:8080:interface=\:\:1", (8080, 4096, "::1")),
        ("haproxy:tcp:8080", (8080, 4096, "")),
        (r"haproxy:tcp:8080:interface=\:\:1:backlog=7", (8080, 7, "::1")),
        ("tls:8080:cert=server.crt:key=server.key", (8080, 4096, "")),
        ("tls:0:cert=server.crt:key=server.key:backlog=7", (0, 7, "")),
        (r"tls:65535:cert=server.crt:key=server.key:interface=\:\:1", (65535, 4096, "::1")),
        ("haproxy:tls:8080:cert=server.crt:key=server.key", (8080, 4096, "")),
        ("tls:a-directory:8443", (8443, 4096, "::")),  # which is Twisted's
    ],
)
@pytest.mark.usefixtures("files")
def test_a_description_says_where_to_listen(description, expected):
    assert listened(description) == expected


@pytest.mark.parametrize(
    ("description", "expected"),
    [("unix:/run/x", 4096), ("unix:/run/x:660", 4096), ("unix:/run/x:660:7", 7)],
)
def test_a_unix_socket_has_a_long_backlog_too(description, expected):
    reactor = MemoryReactorClock()
    server_endpoint(reactor, description).listen(Factory())
    ((_, _, backlog, *_),) = reactor.unixServers
    assert backlog == expected


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("", TLSSettings("server.crt", "server.key")),
        (":min=1.3", TLSSettings("server.crt", "server.key", minimum=TLS1_3_VERSION)),
        (":min=1.2", TLSSettings("server.crt", "server.key", minimum=TLS1_2_VERSION)),
        (":clientCA=ca.crt", TLSSettings("server.crt", "server.key", "ca.crt", True)),
        (
            ":clientAuth=require:clientCA=ca.crt",
            TLSSettings("server.crt", "server.key", "ca.crt", True),
        ),
        (
            ":clientAuth=optional:clientCA=ca.crt",
            TLSSettings("server.crt", "server.key", "ca.crt", False),
        ),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_description_says_how_tls_is_spoken(rest, expected):
    endpoint = server_endpoint(
        MemoryReactorClock(), f"tls:8080:cert=server.crt:key=server.key{rest}"
    )
    assert isinstance(endpoint, TLSServerEndpoint)
    assert endpoint.settings == expected


def test_a_colon_and_a_backslash_may_stand_in_a_path(files):
    (files / "a:b\\c=d").write_bytes((files / "server.crt").read_bytes())
    endpoint = server_endpoint(MemoryReactorClock(), r"tls:1:cert=a\:b\\c=d:key=server.key")
    assert endpoint.settings.cert == r"a:b\c=d"


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("", "Unknown endpoint type: ''"),
        ("8080", "Unknown endpoint type: '8080'"),
        ("port=8080", "it does not say what kind of endpoint it is"),
        ("htp:8080", "Unknown endpoint type: 'htp'"),
        ("haproxy", "Unknown endpoint type: ''"),
        ("tcp", "port: '' is not 0 to 65535"),
        ("tcp:", "port: '' is not 0 to 65535"),
        ("tcp:http", "port: 'http' is not 0 to 65535"),
        ("tcp:65536", "port: '65536' is not 0 to 65535"),
        ("tcp:-1", "port: '-1' is not 0 to 65535"),
        ("haproxy:tcp:65536", "port: '65536' is not 0 to 65535"),
        ("tcp:8080:backlog=0", "backlog: '0' is not 1 to 2147483647"),
        ("tcp:8080:backlog=x", "backlog: 'x' is not 1 to 2147483647"),
        ("tcp:8080:cert=x", "got an unexpected keyword argument 'cert'"),
        ("tcp:8080:interface=a:interface=b", "interface: is there twice"),
        ("tcp:8080\\", "the backslash at its end stands before nothing"),
        ("unix", "missing 1 required positional argument: 'address'"),
        ("unix:/run/x:mode=9", "invalid literal for int() with base 8: '9'"),
        ("ssl:8080:/no/x.pem", "cannot open '/no/x.pem': No such file or directory"),
        ("systemd:domain=INET:index=5", "what it names is not there"),
    ],
)
def test_what_twisted_refuses_is_one_line(description, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaint(description) == expected


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("tls:1", "cert: is missing: the path of a PEM file"),
        ("tls:1:cert=server.crt", "key: is missing: the path of a PEM file"),
        ("tls:1x:cert=server.crt:key=server.key", "port: '1x' is not 0 to 65535"),
        ("tls:65536:cert=server.crt:key=server.key", "port: '65536' is not 0 to 65535"),
        ("tls:1:cert=server.crt:key=server.key:backlog=0", "backlog: '0' is not 1 to 2147483647"),
        (
            "tls:1:cert=server.crt:key=server.key:interface=::1",
            r"['', '1'] are without a name; a colon within a value is written \:",
        ),
        ("tls:1:certKey=server.crt", f"certKey: is unknown; there are {KEYWORDS}"),
        ("tls:1:cert=server.crt:cert=server.crt", "cert: is there twice"),
        ("tls:1:cert=server.crt:key=server.key:min=1.1", "min: '1.1' is not 1.2 or 1.3"),
        (
            "tls:1:cert=server.crt:key=server.key:clientCA=ca.crt:clientAuth=no",
            "clientAuth: 'no' is not require or optional",
        ),
        (
            "tls:1:cert=server.crt:key=server.key:clientAuth=require",
            "clientAuth: needs clientCA, the certificates that it is judged by",
        ),
        (
            "tls:1:cert=none.crt:key=server.key",
            "cert: cannot read 'none.crt': No such file or directory",
        ),
        ("tls:1:cert=folder:key=server.key", "cert: cannot read 'folder': Is a directory"),
        ("tls:1:cert=:key=server.key", "cert: cannot read '': Is a directory"),
        ("tls:1:cert=a\0b:key=server.key", r"cert: cannot read 'a\x00b': embedded null byte"),
        ("tls:1:cert=broken.crt:key=server.key", "cert: 'broken.crt' is not a certificate in PEM"),
        ("tls:1:cert=server.key:key=server.key", "cert: 'server.key' is not a certificate in PEM"),
        (
            "tls:1:cert=server.crt:key=none.key",
            "key: cannot read 'none.key': No such file or directory",
        ),
        (
            "tls:1:cert=server.crt:key=server.crt",
            "key: 'server.crt' is not a private key in PEM without a passphrase",
        ),
        (
            "tls:1:cert=server.crt:key=locked.key",
            "key: 'locked.key' is not a private key in PEM without a passphrase",
        ),
        (
            "tls:1:cert=server.crt:key=other.key",
            "key: 'other.key' is not the key of cert 'server.crt'",
        ),
        (
            "tls:1:cert=server.crt:key=server.key:clientCA=none.crt",
            "clientCA: cannot read 'none.crt': No such file or directory",
        ),
        (
            "tls:1:cert=server.crt:key=server.key:clientCA=ca.key",
            "clientCA: 'ca.key' is not a certificate in PEM",
        ),
        ("haproxy:tls:1", "cert: is missing: the path of a PEM file"),
    ],
)
@pytest.mark.usefixtures("files")
def test_what_we_refuse_is_one_line_that_names_the_part(description, expected):
    assert complaint(description) == expected


def test_a_key_given_in_place_of_its_path_is_not_repeated(files):
    key = (files / "server.key").read_text()
    assert complaint(f"tls:1:cert=server.crt:key={key}") == (
        "a description of what to listen on names files; it has one's contents"
    )


def test_other_applications_have_it_under_a_prefix_of_our_own(files):
    parser = TLSEndpointParser()
    assert verifyObject(IStreamServerEndpointStringParser, parser)
    assert IPlugin.providedBy(parser)
    assert parser.prefix == "tickstormtls"
    reactor = MemoryReactorClock()
    endpoint = parser.parseStreamServer(reactor, "8443", cert="server.crt", key="server.key")
    assert endpoint.settings == TLSSettings("server.crt", "server.key")
    endpoint.listen(Factory())
    assert reactor.tcpServers[0][0] == 8443


def test_other_applications_are_told_what_is_wrong():
    with pytest.raises(ConfigError, match=r"^the port is missing$"):
        TLSEndpointParser().parseStreamServer(MemoryReactorClock())
