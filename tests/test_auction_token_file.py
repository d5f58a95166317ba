"""The key of tokens in its file, and all that may be wrong with that."""

import subprocess
import sys

import pytest
from signing import BY_KEY, PRIVATE_PEM, PUBLIC_PEM, SECRET, signed

from tickstorm.auction.token_file import open_tokens
from tickstorm.auction.tokens import Token
from tickstorm.declarations import Origin
from tickstorm.errors import ConfigError, InvalidAuth
from tickstorm.settings import Settings

CLAIMS = {"sub": "alice", "user_id": 42, "exp": 1000}


def settings(path, *, auction=("tcp:1",), **others):
    return Settings(auction=auction, auction_token_key=str(path), **others)


def wrong(path, **others):
    with pytest.raises(ConfigError) as caught:
        open_tokens(settings(path, **others))
    return str(caught.value)


def test_tokens_are_verified_with_the_key_in_the_file(tmp_path):
    (tmp_path / "key").write_bytes(SECRET + b"\n")
    tokens = open_tokens(settings(tmp_path / "key"))
    assert tokens.verify(signed(CLAIMS), 0) == Token("alice", frozenset({42}), 1005)


def test_whom_they_have_to_be_for_is_set(tmp_path):
    (tmp_path / "key").write_bytes(PUBLIC_PEM)
    tokens = open_tokens(settings(tmp_path / "key", auction_token_audience="here"))
    assert (tokens._key, tokens._audience) == (BY_KEY, "here")
    with pytest.raises(InvalidAuth):
        tokens.verify(signed(CLAIMS), 0)


def test_without_a_key_there_are_none(tmp_path):
    assert open_tokens(settings("")) is None
    assert open_tokens(settings(tmp_path / "no bidders, not read", auction=())) is None


def test_what_is_no_key_is_one_line_that_names_it(tmp_path):
    path = tmp_path / "key"
    assert wrong(path) == (
        f"auction_token_key: {str(path)!r} cannot be read: No such file or directory"
    )
    assert wrong(tmp_path) == (
        f"auction_token_key: {str(tmp_path)!r} cannot be read: Is a directory"
    )
    path.write_text("open sesame")
    origins = {"auction_token_key": Origin("auction_token_key", "server.toml")}
    assert wrong(path, origins=origins) == (
        f"auction_token_key in server.toml: {str(path)!r} has a secret of 11 bytes, "
        "and 32 are needed"
    )
    path.write_bytes(PRIVATE_PEM)
    assert wrong(path) == (
        f"auction_token_key: {str(path)!r} has a private key: keep that where tokens are made, "
        "and give the public"
    )


def ran(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_pyjwt_is_asked_for_when_it_is_needed():
    assert ran("import sys, tickstorm.service; print('jwt' in sys.modules)") == "False\n"
    assert ran(
        "import sys; sys.modules['jwt'] = None\n"
        "from tickstorm.auction.token_file import open_tokens\n"
        "from tickstorm.settings import Settings\n"
        "print(open_tokens(Settings(auction=('tcp:1',))))\n"
        "try: open_tokens(Settings(auction=('tcp:1',), auction_token_key='/dev/null'))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    ) == (
        "None\nConfigError auction_token_key: '/dev/null' needs PyJWT, "
        "which pip install 'tickstorm[tokens]' brings\n"
    )
