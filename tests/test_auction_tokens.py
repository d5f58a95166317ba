"""Tokens: what is right in them, everything that can be wrong, and the keys."""

import hmac
import json
from base64 import urlsafe_b64encode
from math import inf, nan

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st
from signing import (
    BY_KEY,
    BY_SECRET,
    PRIVATE_PEM,
    PUBLIC_PEM,
    SECRET,
    SIGNING,
    public_pem,
    signed,
)

from tickstorm.auction.tokens import Key, Token, Tokens, read_key
from tickstorm.errors import InvalidAuth

NOW = 1_800_000_000.0
CLAIMS = {"sub": "alice", "user_id": 42, "exp": NOW + 60}
WRONG = "the token, or its signature, is wrong"
KINDS = pytest.mark.parametrize(
    ("signing", "key"), [(SECRET, BY_SECRET), (SIGNING, BY_KEY)], ids=["HS256", "EdDSA"]
)


def said(claims, audience=None, now=NOW):
    """What a token of these claims comes to: itself, or the reason why not."""
    return came_to(signed(claims), BY_SECRET, audience, now)


def came_to(text, key, audience=None, now=NOW):
    try:
        return Tokens(key, audience).verify(text, now)
    except InvalidAuth as error:
        return error.message


def but(**claims):
    return {**CLAIMS, **claims}


def without(*names):
    return {name: claim for name, claim in CLAIMS.items() if name not in names}


# What is right.


@KINDS
def test_a_token_is_a_name_a_permit_and_an_end(signing, key):
    token = Token("alice", frozenset({42}), NOW + 65)
    assert came_to(signed(CLAIMS, signing), key) == token


@pytest.mark.parametrize(
    ("users", "permit", "name"),
    [
        (1, {1}, "1"),
        (2**32 - 1, {2**32 - 1}, "4294967295"),
        ([42], {42}, "42"),
        ([43, 42], {42, 43}, "43,42"),
    ],
)
def test_who_has_no_name_is_called_by_its_users(users, permit, name):
    claims = {"user_id": users, "exp": NOW + 60}
    assert said(claims) == Token(name, frozenset(permit), NOW + 65)


@pytest.mark.parametrize("name", ["a", "é" * 127, "a b:c", "x" * 255])
def test_a_name(name):
    assert said(but(sub=name)).name == name


def test_what_else_is_claimed_is_not_looked_at():
    assert said(but(iss="somebody", admin=True, jti="1")).name == "alice"


# What is not.


@pytest.mark.parametrize(
    "name", ["", "x" * 256, "é" * 128, "a\nb", "a\0", "\ud800", 5, None, ["alice"], {}]
)
def test_what_is_no_name(name):
    assert said(but(sub=name)) == "the token's sub is not a name of 1 to 255 bytes"


@pytest.mark.parametrize(
    "users",
    [0, -1, 2**32, True, False, 42.0, "42", "", [], {}, [0], [42, 2**32], [42, True], [[42]]],
)
def test_who_is_no_user(users):
    assert said(but(user_id=users)) == (
        "the token's user_id is not one, or a list, of 1 to 4294967295"
    )


@pytest.mark.parametrize("name", ["exp", "user_id"])
def test_what_has_to_be_there(name):
    assert said(without(name)) == f"the token has no {name}"
    assert said(but(**{name: None})) == f"the token has no {name}"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("time", ["1800000060", True, nan, inf, -1, -inf, NOW * 1000, 10**400, []])
def test_what_is_no_time(name, time):
    assert said(but(**{name: time})) == (
        f"the token's {name} is not a number of seconds since 1970"
    )


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_time_that_is_there_is_one(name):
    assert said(but(**{name: None})) == f"the token's {name} is not a number of seconds since 1970"


@pytest.mark.parametrize(
    ("exp", "right"), [(NOW + 1, True), (NOW - 4.5, True), (NOW - 5, False), (0, False)]
)
def test_a_token_ends_five_seconds_behind_its_time(exp, right):
    ends = Token("alice", frozenset({42}), exp + 5)
    assert said(but(exp=exp)) == (ends if right else "the token has expired")


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize(("time", "right"), [(0, True), (NOW + 5, True), (NOW + 5.5, False)])
def test_a_token_begins_five_seconds_before_its_time(name, time, right):
    begun = Token("alice", frozenset({42}), NOW + 65)
    assert said(but(**{name: time})) == (begun if right else "the token is not valid yet")


def test_the_present_is_that_of_who_asks():
    assert said(CLAIMS, now=NOW + 64).name == "alice"
    assert said(CLAIMS, now=NOW + 65) == "the token has expired"
    assert said(but(nbf=NOW), now=NOW - 6) == "the token is not valid yet"


OTHER = "the token is for another audience"


@pytest.mark.parametrize(
    ("configured", "aud", "expected"),
    [
        ("here", "here", None),
        ("here", ["there", "here"], None),
        ("here", "there", OTHER),
        ("here", "her", OTHER),
        ("here", ["there"], OTHER),
        ("here", [5, "here"], OTHER),
        ("here", {"here": 1}, OTHER),
        ("here", [], "the token has no aud"),
        ("here", None, "the token has no aud"),
        (None, "here", OTHER),
    ],
)
def test_an_audience(configured, aud, expected):
    came = said(but(aud=aud), configured)
    assert came == expected if expected else came.name == "alice"


def test_an_audience_that_is_asked_for_has_to_be_there():
    assert said(CLAIMS, "here") == "the token has no aud"


# Signatures.


def encoded(data):
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header, claims, secret=None):
    """A token as a library would not make it."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    signature = hmac.digest(secret, text.encode(), "sha256") if secret is not None else b""
    return f"{text}.{encoded(signature)}"


@KINDS
@pytest.mark.parametrize("algorithm", ["none", "None", "", None, "HS256", "EdDSA", 5, ["HS256"]])
def test_what_is_not_signed(signing, key, algorithm):
    assert came_to(by_hand({"alg": algorithm, "typ": "JWT"}, CLAIMS), key) == WRONG
    assert came_to(by_hand({"typ": "JWT"}, CLAIMS), key) == WRONG


def test_the_public_key_is_no_secret():
    raw = SIGNING.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for secret in (PUBLIC_PEM, PUBLIC_PEM.strip(), raw, b""):
        forged = by_hand({"alg": "HS256", "typ": "JWT"}, CLAIMS, secret)
        assert came_to(forged, BY_KEY) == WRONG
    assert came_to(by_hand({"alg": "HS256"}, CLAIMS, SECRET), BY_SECRET).name == "alice"


def test_another_algorithm_than_that_of_the_key():
    assert came_to(signed(CLAIMS, SECRET, "HS512"), BY_SECRET) == WRONG
    assert came_to(signed(CLAIMS, SIGNING), BY_SECRET) == WRONG
    assert came_to(signed(CLAIMS, SECRET), BY_KEY) == WRONG
    assert came_to(signed(CLAIMS, Ed448PrivateKey.generate(), "EdDSA"), BY_KEY) == WRONG


def test_another_key():
    assert came_to(signed(CLAIMS, SECRET + b"!"), BY_SECRET) == WRONG
    assert came_to(signed(CLAIMS, Ed25519PrivateKey.generate()), BY_KEY) == WRONG


@KINDS
@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_was_changed_behind_the_signature(signing, key, part):
    other = signed(but(user_id=43), signing, kid="2").split(".")
    parts = signed(CLAIMS, signing).split(".")
    parts[part] = other[part]
    assert came_to(".".join(parts), key) == WRONG


@KINDS
def test_a_part_of_a_token(signing, key):
    text = signed(CLAIMS, signing)
    cuts = [text[:length] for length in range(len(text))]
    assert {came_to(cut, key) for cut in (*cuts, f"{text}A", f"{text}.", f" {text}")} == {WRONG}


@pytest.mark.parametrize(
    "claims", [b"", b"[]", b"5", b'"alice"', b"null", b"{", b"\xff", b"[" * 5000]
)
def test_what_is_signed_but_no_claims(claims):
    assert said(claims) == WRONG


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": 5}, {"kid": 5}, {"b64": False}],
)
def test_a_header_that_asks_for_what_there_is_not(header):
    forged = by_hand({"alg": "HS256", **header}, CLAIMS, SECRET)
    assert came_to(forged, BY_SECRET) == WRONG


@example(text="\ud800.a.b")
@given(text=st.text() | st.from_regex(r"\A[\w-]*\.[\w-]*\.[\w-]*\Z"))
def test_whatever_comes_is_wrong(text):
    assert [came_to(text, key) for key in (BY_SECRET, BY_KEY)] == [WRONG, WRONG]


def test_nothing_of_a_token_is_in_its_error():
    with pytest.raises(InvalidAuth) as caught:
        Tokens(BY_SECRET).verify("some.token.here", NOW)
    error = caught.value
    assert (str(error), error.details, error.__context__) == (WRONG, "", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = ("sub", "user_id", "exp", "nbf", "iat", "aud", "jti", "iss")


@given(claims=st.dictionaries(st.sampled_from(NAMES), JSON), audience=st.none() | st.text())
def test_whatever_is_claimed_is_a_token_or_wrong(claims, audience):
    for each in (claims, {**CLAIMS, **claims}):
        assert isinstance(said(each, audience), Token | str)


@given(st.dictionaries(st.sampled_from(("alg", "typ", "kid", "crit", "b64", "jwk", "x5c")), JSON))
def test_whatever_a_header_says_is_a_token_or_wrong(header):
    for each in (header, {**header, "alg": "HS256"}):
        forged = by_hand(each, CLAIMS, SECRET)
        assert came_to(forged, BY_SECRET) in (WRONG, Token("alice", frozenset({42}), NOW + 65))


# Keys.


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_secret_is_a_line(end):
    assert read_key(SECRET + end) == Key("HS256", SECRET)


def test_a_secret_may_have_blanks_and_any_letters():
    secret = " sesame öffne dich, sesame! ".encode() * 2
    assert read_key(secret) == Key("HS256", secret)


def test_a_public_key_may_have_a_comment():
    assert read_key(b"of the shop\n" + PUBLIC_PEM) == BY_KEY
    assert BY_KEY.algorithm == "EdDSA"


def test_a_key_does_not_show_itself():
    assert repr(BY_SECRET) == "Key(algorithm='HS256')"


SSH = SIGNING.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
NO_KEY = "is neither a public key in PEM nor a secret in one line of text"
NOT_ED25519 = "is not a public key of Ed25519"
IN_ANOTHER_FORM = "has no secret but a key in another form than PEM"


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "has a secret of 0 bytes, and 32 are needed"),
        (b"x" * 31 + b"\n", "has a secret of 31 bytes, and 32 are needed"),
        (SECRET + b"\n\n", NO_KEY),
        (SECRET + b"\n" + SECRET, NO_KEY),
        (bytes(range(128, 192)), NO_KEY),
        (b"\0" * 64, NO_KEY),
        (PUBLIC_PEM.replace(b"MC", b"XX"), NOT_ED25519),
        (PUBLIC_PEM[:40], NOT_ED25519),
        (public_pem(ec.generate_private_key(ec.SECP256R1())), NOT_ED25519),
        (public_pem(rsa.generate_private_key(65537, 2048)), NOT_ED25519),
        (public_pem(Ed448PrivateKey.generate()), NOT_ED25519),
        (b"-----BEGIN CERTIFICATE-----\nMC==\n-----END CERTIFICATE-----\n", NOT_ED25519),
        (SSH, IN_ANOTHER_FORM),
        (b'{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}', IN_ANOTHER_FORM),
    ],
)
def test_what_is_no_key(contents, reason):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole of it is compared
        read_key(contents)
    assert str(caught.value) == reason


@pytest.mark.parametrize("contents", [PRIVATE_PEM, PUBLIC_PEM + PRIVATE_PEM])
def test_a_private_key_is_not_wanted(contents):
    with pytest.raises(ValueError, match=r"^has a private key: keep that where tokens are made"):
        read_key(contents)
