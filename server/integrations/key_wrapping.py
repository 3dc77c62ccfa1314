"""The key that encrypts the private halves of signing keys. Its file lies outside the state database, whose copy alone
therefore signs nothing."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.data_directory import DataDirectoryProblem
from server.files import Files, write_durably

KEY_BYTES = 32
EXPOSED = 0o037
"""What others must not have of its mode; a group may read it, as orchestrators hand secrets out so."""
_NONCE_BYTES = 12
_REMEDY = "put back the one that belongs to this state, from the backup"


class WrongWrappingKey(Exception):
    """This key did not encrypt that, or it was changed since."""


class WrappingKey:
    """Encrypts private halves by AES-256-GCM, each bound to its key id."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def wrap(self, key_id: str, private_half: bytes) -> str:
        """The private half, encrypted: base64 of a nonce and what AES-GCM gives."""
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, private_half, key_id.encode())).decode()

    def unwrap(self, key_id: str, wrapped: str) -> bytes:
        """The private half.

        Raises:
            WrongWrappingKey: it was encrypted with another key, or for another id, or is damaged.
        """
        try:
            data = base64.b64decode(wrapped, validate=True)
            return self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], key_id.encode())
        except (InvalidTag, binascii.Error, ValueError):
            raise WrongWrappingKey(f"the wrapping key doesn't open signing key {key_id}") from None


def read_wrapping_key(files: Files, path: Path, *, may_make: bool) -> WrappingKey:
    """The wrapping key in the file `path`, made (0600) where there is none and `may_make` says that none is needed.

    Raises:
        DataDirectoryProblem: it is missing, damaged, unreadable or open to others. A new one would leave keys published
            that can't sign, so none is made.
    """
    try:
        if may_make and not path.exists():
            write_durably(files, path, secrets.token_bytes(KEY_BYTES))
        mode = stat.S_IMODE(path.stat().st_mode)
        data = files.read(path)
    except FileNotFoundError:
        raise DataDirectoryProblem(f"the wrapping key of the signing keys is not there; {_REMEDY}") from None
    except OSError as error:
        text = f"the wrapping key of the signing keys can't be used ({error.strerror})"
        raise DataDirectoryProblem(text) from error
    if mode & EXPOSED:
        text = f"the wrapping key of the signing keys has mode {mode:04o}, and others may read or change it"
        raise DataDirectoryProblem(text)
    if len(data) != KEY_BYTES:
        raise DataDirectoryProblem(f"the wrapping key of the signing keys is damaged; {_REMEDY}")
    return WrappingKey(data)


def wrong_wrapping_key() -> DataDirectoryProblem:
    """What a start says where the wrapping key opens another state's keys, or none."""
    return DataDirectoryProblem(f"the wrapping key doesn't open the signing keys of this state; {_REMEDY}")
