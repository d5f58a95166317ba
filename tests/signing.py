"""What the tests of tokens sign with, and with what that is verified."""

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt import PyJWS

from tickstorm.auction.tokens import read_key

SECRET = b"a secret of thirty-two bytes or more, " * 2
SIGNING = Ed25519PrivateKey.generate()
PRIVATE_PEM = SIGNING.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key):
    """The public half of any private key."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


PUBLIC_PEM = public_pem(SIGNING)
BY_SECRET, BY_KEY = read_key(SECRET), read_key(PUBLIC_PEM)


def signed(claims, key=SECRET, algorithm=None, **headers):
    """A token that says this, whatever it is."""
    if algorithm is None:
        algorithm = "HS256" if isinstance(key, bytes) else "EdDSA"
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return PyJWS().encode(payload, key, algorithm, headers)
