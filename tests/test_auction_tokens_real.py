"""A real server that verifies tokens, over TLS, and reads another key while it runs."""

import signal
import ssl
import time

import jwt
import pytest
from certificates import authority
from signing import PUBLIC_PEM, SIGNING
from test_auction_real import Caller, free_ports, serving

from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import Refusal, auth_frame, bid_frame

pytestmark = pytest.mark.real

SECRET = "a-secret-of-thirty-two-bytes-or-more"
EXPIRED = Refusal(1, "the token has expired")
WRONG = Refusal(1, "the token, or its signature, is wrong")


def token(key, seconds):
    """An AUTH with a token for the user 7, which is good for so many seconds."""
    claims = {"sub": "ada", "user_id": 7, "exp": time.time() + seconds - 5}
    return auth_frame(jwt.encode(claims, key, "HS256" if isinstance(key, str) else "EdDSA"))


class Place:
    """A server with a port of TLS, and the folder of its files."""

    def __init__(self, folder):
        self.folder = folder
        (self.port,) = free_ports(1)
        self._authority = authority()
        cert, key = self._authority.issue("localhost").save(folder, "server")
        self.write_key(PUBLIC_PEM)
        (folder / "server.toml").write_text(f'auction_token_key = "{folder}/token.key"\n')
        endpoint = f"tls:{self.port}:interface=127.0.0.1:cert={cert}:key={key}"
        self.options = ("--config", f"{folder}/server.toml", "--auction", endpoint)

    def write_key(self, contents):
        (self.folder / "token.key").write_bytes(contents)

    def call(self):
        caller = Caller(self.port)
        context = ssl.create_default_context(cadata=self._authority.pem().decode())
        caller.socket = context.wrap_socket(caller.socket, server_hostname="localhost")
        return caller

    def answered(self, login):
        """What a login is answered first."""
        caller = self.call()
        caller.send(login)
        caller.hear(lambda: caller.others)
        caller.socket.close()
        return caller.others


def test_a_token_is_good_until_it_expires(tmp_path):
    place = Place(tmp_path)
    with serving(*place.options) as server:
        server.create(1)
        caller = place.call()
        caller.send(token(SIGNING, 2), bid_frame(1, 7, 5.0), bid_frame(1, 8, 6.0))
        caller.hear(lambda: False)  # up to the end
        outcomes = [answer.outcome for _, answer in caller.results]
        assert outcomes == [Outcome.ACCEPTED, Outcome.NOT_PERMITTED]
        assert caller.others == ["ada", EXPIRED]
        caller.socket.close()


def test_a_key_is_read_anew(tmp_path):
    place = Place(tmp_path)
    with serving(*place.options) as server:
        assert place.answered(token(SIGNING, 60)) == ["ada"]
        assert place.answered(token(SECRET, 60)) == [WRONG]
        place.write_key(b"open sesame")
        server.process.send_signal(signal.SIGHUP)
        until_said(server, "has a secret of 11 bytes, and 32 are needed")
        assert place.answered(token(SIGNING, 60)) == ["ada"]
        place.write_key(SECRET.encode())
        server.process.send_signal(signal.SIGHUP)
        until_said(server, "the key of tokens is read anew")
        assert place.answered(token(SECRET, 60)) == ["ada"]
        assert place.answered(token(SIGNING, 60)) == [WRONG]


def until_said(server, text):
    for line in server.process.stdout:
        if text in line:
            return
    pytest.fail(f"not said: {text}")
