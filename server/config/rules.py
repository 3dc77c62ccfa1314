"""Rules over several settings, and over the files that settings name."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.config.fields import MESSAGE_OVERHEAD_BYTES
from server.config.sections import Config
from server.regular_files import open_regular

_MAX_PEM_BYTES = 1024 * 1024
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = re.compile(rb"-----BEGIN ((RSA|EC) )?PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a setting, `grpc.listen` for instance."""

    setting: str
    text: str


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port to listen on; the host of `[::1]:1` is `::1`."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can connect. A name other than localhost may mean anything, so it is not."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address | None:
    """The address in `host:port` or `[v6]:port`, or None if it is none."""
    matched = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):([0-9]{1,5})", text)
    if matched is None or int(matched[3]) > 65_535:
        return None
    if matched[1] is not None:
        try:
            ipaddress.IPv6Address(matched[1])
        except ValueError:
            return None
    return Address(matched[1] or matched[2], int(matched[3]))


def problems_of(config: Config) -> Iterator[Problem]:
    """Everything wrong with a configuration whose single values are within their own bounds."""
    yield from _listeners(config)
    yield from _certificates(config)
    yield from _sizes(config)
    yield from _places(config)


def _listeners(config: Config) -> Iterator[Problem]:
    for name, listen in (("grpc.listen", config.grpc.listen), ("http.listen", config.http.listen)):
        address = parse_address(listen)
        if address is None:
            yield Problem(name, "must be HOST:PORT or [IPv6]:PORT")
        elif name == "http.listen" and not address.is_loopback and config.http.certificate is None:
            yield Problem(name, "needs http.certificate and http.key off loopback")
    if config.http.listen == config.grpc.listen and not config.grpc.listen.endswith(":0"):
        yield Problem("http.listen", "must be another address than grpc.listen")


def _certificates(config: Config) -> Iterator[Problem]:
    for section, certificate, key in (
        ("grpc", config.grpc.certificate, config.grpc.key),
        ("http", config.http.certificate, config.http.key),
    ):
        if (certificate is None) != (key is None):
            given, missing = ("certificate", "key") if key is None else ("key", "certificate")
            yield Problem(f"{section}.{given}", f"needs {section}.{missing} as well")
        if certificate is not None:
            yield from pem_problems(f"{section}.certificate", certificate)
        if key is not None:
            yield from pem_problems(f"{section}.key", key, is_key=True)
    for name, files in (("grpc.host_ca", config.grpc.host_ca), ("grpc.user_ca", config.grpc.user_ca)):
        for file in files:
            yield from pem_problems(name, file)


def pem_problems(setting: str, file: Path, *, is_key: bool = False) -> Iterator[Problem]:
    """What is wrong with a file that must hold certificates, or a key."""
    try:
        content = _read_bounded(file)
    except OSError as error:
        yield Problem(setting, f"the file can't be read ({error.strerror})")
        return
    if len(content) > _MAX_PEM_BYTES:
        yield Problem(setting, "the file is larger than 1 MiB")
    elif is_key and not _PRIVATE_KEY.search(content):
        yield Problem(setting, "the file holds no unencrypted private key in PEM")
    elif not is_key and _CERTIFICATE not in content:
        yield Problem(setting, "the file holds no certificate in PEM")


def _read_bounded(file: Path) -> bytes:
    with open(file, "rb", opener=open_regular) as opened:
        return opened.read(_MAX_PEM_BYTES + 1)


def _sizes(config: Config) -> Iterator[Problem]:
    grpc, journal = config.grpc, config.journal
    if grpc.message_bytes < grpc.max_event_bytes + MESSAGE_OVERHEAD_BYTES:
        yield Problem("grpc.max_message_bytes", "must be at least grpc.max_event_bytes + 65536")
    if journal.max_pending_bytes < grpc.message_bytes:
        yield Problem("journal.max_pending_bytes", "must be at least the largest message")
    if journal.quota_bytes < 2 * journal.cut_bytes:
        yield Problem("journal.quota_bytes", "must be at least twice journal.cut_bytes")
    if journal.known_uids_bound < journal.known_uids_minimum:
        yield Problem("journal.known_uids_bound", "must be at least journal.known_uids_minimum")


def _places(config: Config) -> Iterator[Problem]:
    for name, folder in (("data_dir", config.data_dir), ("roles_dir", config.roles_dir)):
        if folder is not None and os.path.lexists(folder) and not os.path.isdir(folder):
            yield Problem(name, "is there but is not a folder")
    ready = config.ready_file
    if ready is None:
        return
    if os.path.isdir(ready):
        yield Problem("ready_file", "is a folder")
    elif ready.parent != config.data_dir and not os.path.isdir(ready.parent):
        yield Problem("ready_file", "its folder does not exist")
