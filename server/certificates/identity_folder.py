"""The files of `<data-dir>/identity`: their names, and reading and writing them whole and durably."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.certificates.authorities import Authority, certificate_pem, key_pem
from server.certificates.problems import CertificateProblem
from server.files import Files, write_durably

FOLDER = "identity"


@dataclass(frozen=True, slots=True)
class IdentityFolder:
    """Where the local authority keeps its files. `<stem>.crt` and `<stem>.key` make a pair."""

    path: Path
    files: Files

    @property
    def client_ca(self) -> Path:
        """What clients verify the server with: a copy of the host CA's certificate."""
        return self.path / "ca.crt"

    def certificate(self, stem: str) -> Path:
        """The path of a certificate."""
        return self.path / f"{stem}.crt"

    def key(self, stem: str) -> Path:
        """The path of a private key."""
        return self.path / f"{stem}.key"

    def read_certificate(self, stem: str) -> x509.Certificate | None:
        """The certificate of a pair; None if the file isn't there. CertificateProblem if it is no certificate."""
        content = self._read(self.certificate(stem))
        if content is None:
            return None
        try:
            return x509.load_pem_x509_certificate(content)
        except ValueError as error:
            raise CertificateProblem(f"{FOLDER}/{stem}.crt is not a PEM certificate; restore it from a copy") from error

    def read_key(self, stem: str) -> ec.EllipticCurvePrivateKey | None:
        """The private key of a pair; None if the file isn't there. CertificateProblem if it is no ECDSA key."""
        content = self._read(self.key(stem))
        if content is None:
            return None
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError) as error:
            raise _not_a_key(stem) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise _not_a_key(stem)
        return key

    def read_authority(self, stem: str) -> Authority | None:
        """A CA whose two files are there and belong together; None if one is missing. CertificateProblem otherwise."""
        certificate, key = self.read_certificate(stem), self.read_key(stem)
        if certificate is None or key is None:
            return None
        if certificate.public_key() != key.public_key():
            raise CertificateProblem(f"{FOLDER}/{stem}.crt and {FOLDER}/{stem}.key don't belong together; restore both")
        return Authority(certificate, key)

    def write_key(self, stem: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Put a private key in place (0600)."""
        write_durably(self.files, self.key(stem), key_pem(key))

    def write_certificate(self, stem: str, certificate: x509.Certificate) -> None:
        """Put a certificate in place."""
        write_durably(self.files, self.certificate(stem), certificate_pem(certificate))

    def _read(self, path: Path) -> bytes | None:
        try:
            return self.files.read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CertificateProblem(f"{FOLDER}/{path.name} can't be read: {error.strerror}") from error


def _not_a_key(stem: str) -> CertificateProblem:
    return CertificateProblem(f"{FOLDER}/{stem}.key is not an unencrypted PEM key (ECDSA); restore it from a copy")
