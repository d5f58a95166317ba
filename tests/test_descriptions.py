"""Endpoint descriptions as text: taken apart as Twisted does, judged, and completed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import _parse

from tickstorm.descriptions import OwnTLS, is_local, parse_description, with_certificate


@pytest.mark.parametrize(
    "description",
    [
        "tcp:8080:interface=127.0.0.1",
        "tcp:8080:interface=127.8.9.1",
        "tcp:8080:interface=localhost",
        r"tcp6:8080:interface=\:\:1",
        r"tcp:interface=\:\:1:port=8080",
        "tls:8080:cert=c:interface=127.0.0.1",
        "tls:/folder:443:interface=127.0.0.1",
        "ssl:8080:interface=localhost:privateKey=k",
        "unix:/run/tickstorm.sock",
        "unix:address=/run/tickstorm.sock",
        "systemd:domain=UNIX:index=0",
        "systemd:UNIX:index=0",
        "haproxy:tcp:8080:interface=127.0.0.1",
        "haproxy:unix:/run/tickstorm.sock",
    ],
)
def test_local_endpoints(description):
    assert is_local(description)


@pytest.mark.parametrize(
    "description",
    [
        "tcp:8080",
        "tcp:8080:interface=",
        "tcp:8080:interface=0.0.0.0",
        "tcp:8080:interface=192.168.1.5",
        "tcp:8080:interface=127.0.0.1.example.com",
        "tcp:8080:interface=localhost.example.com",
        r"tcp:8080:interface\==127.0.0.1",
        "tcp6:8080",
        r"tcp6:8080:interface=\:\:",
        "tls:8080",
        "tls:/folder",
        "ssl:8080:privateKey=k",
        "systemd:domain=INET:index=0",
        "systemd:index=0",
        "haproxy:tcp:8080",
        "haproxy:",
        "haproxy:haproxy:tcp:8080",
        "onion:80:interface=127.0.0.1",
        "fd:fileno=3",
    ],
)
def test_endpoints_that_others_can_reach(description):
    assert not is_local(description)


@given(st.text("ab1:=\\"))
def test_a_description_is_taken_apart_as_twisted_does(rest):
    text = f"fd:{rest}"
    try:
        arguments, named = _parse(text)
    except RuntimeError:  # as Twisted answers a backslash with nothing behind it
        with pytest.raises(ValueError, match=r"^fd:"):
            parse_description(text)
    else:
        expected = ("fd", tuple(arguments[1:]) or ("",), named)
        assert parse_description(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "8080",
            "tcp",
            ":8080",
            "=:8080",
            "TCP:8080",
            "tcp:",
            "tcp:-1",
            "tls:99999",
            "tcp:1\\",
        ),
        *("tcp:x", "ssl:65536", "tcp:interface=127.0.0.1", "haproxy:tcp:x", "tcp:port=x", "tcp:٣"),
    ],
)
def test_what_is_no_description(text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        parse_description(text)


OURS = OwnTLS("/c.pem", "/k.pem", "/ca.pem", "optional", "1.3")


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        (
            "tls:1",
            "tls:1:cert=/c.pem:key=/k.pem:clientCA=/ca.pem:clientAuth=optional:min=1.3",
        ),
        ("tls:1:clientAuth=none", "tls:1:clientAuth=none:cert=/c.pem:key=/k.pem:min=1.3"),
        (
            "haproxy:tls:1:key=/own:min=1.2:clientCA=/other",
            "haproxy:tls:1:key=/own:min=1.2:clientCA=/other:cert=/c.pem:clientAuth=optional",
        ),
        ("tls:1:cert=/own.pem", "tls:1:cert=/own.pem"),
        ("tls:/folder:443", "tls:/folder:443"),
        ("tcp:1", "tcp:1"),
    ],
)
def test_a_tls_port_without_a_certificate_takes_what_it_does_not_say(text, completed):
    assert with_certificate(text, OURS) == completed
