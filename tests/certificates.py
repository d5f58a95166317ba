"""Certificates for the tests: authorities, and what they sign, as PEM files in a directory."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

NOT_AFTER = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
"""When everything made here expires, unless it is said otherwise."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            encryption = BestAvailableEncryption(passphrase)
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    def save(self, directory: Path, name: str, *chain: "Issued") -> tuple[Path, Path]:
        """Write NAME.crt, with the certificates of the chain behind it, and NAME.key."""
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(b"".join(issued.pem() for issued in (self, *chain)))
        key.write_bytes(self.key_pem())
        return certificate, key

    def issue(
        self,
        name: str,
        *,
        authority: bool = False,
        expired: bool = False,
        key: rsa.RSAPrivateKey | None = None,
    ) -> "Issued":
        """Sign a new certificate: of an authority, or of a server or client on this machine."""
        return _issue(name, self, authority, expired, key)


def authority(name: str = "Test CA") -> Issued:
    """Return a new authority that stands for itself."""
    return _issue(name, None, is_authority=True, expired=False, key=None)


def _issue(
    name: str,
    issuer: Issued | None,
    is_authority: bool,
    expired: bool,
    key: rsa.RSAPrivateKey | None,
) -> Issued:
    key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1) if expired else NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    # Python 3.13 and newer verify strictly (RFC 5280): keys are named, and say what they are for.
    signer_key = (key if issuer is None else issuer.key).public_key()
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key), critical=False)
    if is_authority:
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    if not is_authority:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signer = key if issuer is None else issuer.key
    return Issued(builder.sign(signer, SHA256()), key)
