"""Places: what an asyncio application may write, and what Twisted makes of the short forms."""

import pytest
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from tickstorm.client.address import (
    TCPAddress,
    TLSAddress,
    UnixAddress,
    endpoint_string,
    parse_address,
)
from tickstorm.client.on_twisted import as_endpoint
from tickstorm.errors import ConfigError


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("localhost:8080", TCPAddress("localhost", 8080)),
        (("localhost", 8080), TCPAddress("localhost", 8080)),
        ("192.0.2.1:80", TCPAddress("192.0.2.1", 80)),
        ("[2001:db8::1]:80", TCPAddress("2001:db8::1", 80)),
        (("2001:db8::1", 80), TCPAddress("2001:db8::1", 80)),
        ("tcp:localhost:8080", TCPAddress("localhost", 8080)),
        ("tcp:host=localhost:port=8080", TCPAddress("localhost", 8080)),
        ("tcp:port=8080:host=localhost", TCPAddress("localhost", 8080)),
        ("tcp:8080:host=localhost", TCPAddress("localhost", 8080)),
        (r"tcp:2001\:db8\:\:1:80", TCPAddress("2001:db8::1", 80)),
        ("tls:example.com:443", TLSAddress("example.com", 443)),
        (
            "tls:example.com:443:trustRoots=/etc/roots:certificate=me.pem:privateKey=me.key",
            TLSAddress("example.com", 443, "/etc/roots", "me.pem", "me.key"),
        ),
        ("unix:/run/ticks.sock", UnixAddress("/run/ticks.sock")),
        (r"unix:/run/a\:b", UnixAddress("/run/a:b")),
    ],
)
def test_a_place_is_read(place, address):
    assert parse_address(place) == address


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("localhost", "none of tcp:, tls: and unix:"),
        ("ssl:host:1", "none of tcp:, tls: and unix:"),
        ("tcp:8080", "has no port"),
        ("tcp:", "has no port"),
        ("unix", "has no path"),
        ("tcp:host:x", "port 'x' is not 1 to 65535"),
        ("tcp:host:0", "port '0' is not 1 to 65535"),
        (("host", 65536), "port '65536' is not 1 to 65535"),
        ("tcp:host:1:extra", "'extra' is one part too many"),
        ("tcp:host:1:port=2", "'1' is one part too many"),
        ("tcp:host:port=1:port=2", "'port' is not known, or is there twice"),
        ("tcp:host:1:timeout=3", "'timeout' is not known"),
        ("tcp:host:1:certificate=x", "'certificate' is not known"),
    ],
)
def test_what_is_no_place_says_why(place, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_address(place)


@pytest.mark.parametrize(
    ("place", "port"),
    [
        ("localhost:99999", "99999"),
        ("localhost:0", "0"),
        ("localhost:100000", "100000"),
        (f"localhost:1{'0' * 5000}", f"1{'0' * 5000}"),
        (("localhost", 65536), "65536"),
        (("localhost", -1), "-1"),
        ("[::1]:65536", "65536"),
        ("tcp:localhost:65536", "65536"),
        ("tcp:localhost:65536:timeout=3", "65536"),
        ("tcp:host=localhost:65536", "65536"),
        ("tcp:port=65536:localhost", "65536"),
        ("tls:localhost:port=65536", "65536"),
        ("ssl:localhost:65536:caCertsDir=d", "65536"),
    ],
)
def test_a_port_that_cannot_be_is_refused_by_whoever_reads_it(place, port):
    for read in (endpoint_string, parse_address):
        with pytest.raises(ConfigError, match=f"(port '{port}' is not 1 to 65535|none of tcp:)"):
            read(place)
    with pytest.raises(ConfigError, match=f"port '{port}' is not 1 to 65535"):
        as_endpoint(MemoryReactorClock(), place)


@pytest.mark.parametrize("place", ["tcp:8080:host=h", "tcp:port=1:h", "tcp:99999:80", "unix:99999"])
def test_only_a_port_is_taken_for_one(place):
    assert endpoint_string(place) == place


@pytest.mark.parametrize("place", ["tcp:h:1", "tls:h:1:trustRoots=d", "unix:/p", "haproxy:tcp:h:1"])
def test_an_endpoint_string_stays_as_it_is(place):
    assert endpoint_string(place) == place


@pytest.mark.parametrize("place", ["example.com:80", "[2001:db8::1]:80", ("2001:db8::1", 80)])
def test_twisted_understands_the_short_forms_alike(place):
    reactor = MemoryReactorClock()
    clientFromString(reactor, endpoint_string(place)).connect(Factory())
    ((host, port, *_),) = reactor.tcpClients
    assert TCPAddress(host, port) == parse_address(place)
