"""`extaudit serve --check`: what a start with this configuration would refuse. Touches and makes nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rbac.errors import PolicyError
from rbac.policy import load_policy_folder
from rbac.role_files import check_folder, examine_roles, read_presets, role_files_in
from rbac.writers import WHOEVER
from server.certificates.anchors import load_anchors, read_authorities
from server.certificates.local_authority import examine_local_authority
from server.certificates.modes import mode_problems
from server.certificates.problems import CertificateProblem
from server.certificates.server_credentials import load_server_pair
from server.certificates.sources import choose_sources
from server.config import Config, digest
from server.config.loading import ReadSources, located, read_sources
from server.config.rules import Problem
from server.data_directory import KEPT_SECRETS, SECRET_BYTES, DataDirectory, DataDirectoryProblem
from server.files import DiskFiles
from server.http_api.listener import ListenerError, tls_context
from server.http_api.public_listener import SETTINGS as PUBLIC
from server.integrations.signing_keys import check_wrapping_key
from server.integrations.web_identity import issuer_of
from server.issuer_assembly import wrapping_key_file
from server.observability.trace_opening import TracingProblem, check_packages
from server.state.database import StateFault, is_unusable
from server.state.examining import NEWEST_SCHEMA, examining
from server.tokens.jwks import JwksProblem, read_jwks
from server.tokens.sources import JwksUrl, read_key_set


@dataclass(frozen=True, slots=True)
class Checked:
    """What would become of a start."""

    problems: tuple[str, ...]
    """One line each, with the setting and its source and never with the value; none where it would serve."""
    summary: Mapping[str, object]
    """What would be served, for people."""


def check(flags: Mapping[str, object], environ: Mapping[str, str], now: datetime) -> Checked:
    """Read all sources and look at everything that they name; arguments as `load_config` has them."""
    read = read_sources(flags, environ)
    problems = list(read.problems)
    if refusal := read.refusal(_account(read.config)):
        problems.append(refusal)
    if read.is_whole:
        problems += [located(each, read.origins) for each in _problems(read, now)]
    return Checked(tuple(problems), _summary(read.config))


def _account(config: Config) -> int:
    """Whose files a start would take; WHOEVER's where root asks before the directory says who is to serve from it."""
    is_open = os.geteuid() == 0 and not os.path.lexists(config.data_dir)
    return WHOEVER if is_open else DataDirectory(config.data_dir).account


def _problems(read: ReadSources, now: datetime) -> Iterator[Problem]:
    """What is wrong beyond the configuration itself; nothing is told twice of one setting."""
    config, wrong = read.config, read.wrong
    if "data_dir" not in wrong:
        if why := _unusable(config.data_dir):
            yield Problem("data_dir", why)
        else:
            yield from _data_directory(config)
            yield from _local_authority(config)
    if not wrong & {"data_dir", "roles_dir"}:
        yield from _roles(config)
    yield from _server_pairs(config, wrong, now)
    if not wrong & {"grpc.host_ca", "grpc.user_ca"}:
        yield from _authorities(config)
    yield from _token_issuers(config, wrong)
    if config.issuer_url is not None and not wrong & {"data_dir", "issuer.wrapping_key"}:
        yield from _wrapping_key(config)
    if config.traces.endpoint is not None and "traces.endpoint" not in wrong:
        try:
            check_packages()
        except TracingProblem as error:
            yield Problem("traces.endpoint", str(error))


def _unusable(folder: Path) -> str:
    """Why a data directory can be neither used nor made; '' if it can."""
    try:
        os.lstat(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"can't be used ({error.strerror})"
    place = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return "can't be read and written by this user" if place == folder else "can't be made"
    if not os.path.isdir(place):
        return "can't be made: a file is in the way"
    # Root may do anything in /proc and the like by their modes, and make nothing in them.
    return "" if os.statvfs(place).f_blocks else "can't be made: files can't be kept there"


def _data_directory(config: Config) -> Iterator[Problem]:
    folder = config.data_dir
    if not os.path.lexists(folder):
        return
    try:
        for text in mode_problems(folder):
            yield Problem("data_dir", text)
        for key in (DataDirectory(folder).identity / name for name in KEPT_SECRETS):
            if key.exists() and key.stat().st_size != SECRET_BYTES:
                yield Problem("data_dir", f"the key {key.name} is damaged; remove it and a new one is made")
        with suppress(FileNotFoundError):
            if is_unusable(DataDirectory(folder).state):
                yield Problem("data_dir", "the state database is damaged or of a later version")
    except (OSError, sqlite3.Error):
        yield Problem("data_dir", "something in it can't be read by this user")


def _roles(config: Config) -> Iterator[Problem]:
    folder = config.roles_dir or DataDirectory(config.data_dir).roles
    if config.roles_dir is None and not os.path.isdir(folder):
        return
    try:
        account = _account(config)
        check_folder(folder, account)
        _, problems = examine_roles(role_files_in(folder), read_presets(), account)
        if not problems:
            load_policy_folder(folder)
    except PolicyError as error:
        problems = [error]
    for problem in problems:
        yield Problem("roles_dir", str(problem))


def _server_pairs(config: Config, wrong: frozenset[str], now: datetime) -> Iterator[Problem]:
    grpc, http = config.grpc, config.http
    if grpc.certificate and grpc.key and not wrong & {"grpc.certificate", "grpc.key"}:
        try:
            load_server_pair(grpc.certificate, grpc.key, now)
        except CertificateProblem as error:
            yield Problem("grpc.certificate", str(error))
    if http.certificate and http.key and not wrong & {"http.certificate", "http.key"}:
        try:
            tls_context(http.certificate, http.key)
        except ListenerError as error:
            yield Problem("http.certificate", str(error))
    public = http.public_certificate, http.public_key
    if public[0] and public[1] and not wrong & {"http.public_certificate", "http.public_key"}:
        try:
            tls_context(public[0], public[1], PUBLIC)
        except ListenerError as error:
            yield Problem("http.public_certificate", str(error))


def _authorities(config: Config) -> Iterator[Problem]:
    hosts, users = config.grpc.host_ca, config.grpc.user_ca
    account = _account(config)
    sound = True
    for name, files in (("grpc.host_ca", hosts), ("grpc.user_ca", users)):
        for file in files:
            try:
                read_authorities(file, account)
            except CertificateProblem as error:
                sound = False
                yield Problem(name, str(error))
    if sound and (hosts or users):
        try:
            load_anchors(hosts, users)
        except CertificateProblem as error:
            yield Problem("grpc.user_ca" if users else "grpc.host_ca", str(error))


def _local_authority(config: Config) -> Iterator[Problem]:
    try:
        local = examine_local_authority(config.data_dir)
    except CertificateProblem as error:
        yield Problem("data_dir", str(error))
        return
    if local is not None:
        try:
            choose_sources(local, config.cluster_name, host_cas=config.grpc.host_ca, user_cas=config.grpc.user_ca)
        except CertificateProblem as error:
            yield Problem("cluster_name", str(error))


def _token_issuers(config: Config, wrong: frozenset[str]) -> Iterator[Problem]:
    account = _account(config)
    for number, issuer in enumerate(config.grpc.token_issuers):
        name = f"grpc.token_issuers[{number}]"
        if any(each.startswith(name) for each in wrong):
            continue
        try:
            if issuer.jwks_url is not None:
                JwksUrl(issuer.jwks_url, issuer.jwks_ca, account=account)
            elif issuer.jwks_file is not None:
                read_jwks(read_key_set(issuer.jwks_file, account))
        except JwksProblem as error:
            yield Problem(f"{name}.jwks_{'ca' if issuer.jwks_url is not None else 'file'}", str(error))


def _wrapping_key(config: Config) -> Iterator[Problem]:
    state = DataDirectory(config.data_dir).state
    if not os.path.exists(state):
        return
    try:
        with examining(state) as found:
            keys = found.signing_keys() if found.schema() == NEWEST_SCHEMA else []
        check_wrapping_key(DiskFiles(), wrapping_key_file(config), keys)
    except StateFault:
        return  # told of the state database itself
    except DataDirectoryProblem as error:
        yield Problem("issuer.wrapping_key", str(error))


def _summary(config: Config) -> dict[str, object]:
    grpc = config.grpc
    files = 0
    with suppress(PolicyError):
        folder = config.roles_dir or DataDirectory(config.data_dir).roles
        files = len(role_files_in(folder))
    return {
        "grpc": grpc.listen,
        "grpc_token": grpc.token_listen,
        "http": config.http.listen,
        "http_public": config.http.public_listen,
        "issuer": issuer_of(config.issuer_url) if config.issuer_url else None,
        "cluster_name": config.cluster_name,
        "data_dir": str(config.data_dir),
        "data_dir_exists": os.path.isdir(config.data_dir),
        "role_files": files,
        "trusts": "configured CAs" if grpc.host_ca or grpc.user_ca else "the local CAs",
        "token_issuers": [each.issuer for each in grpc.token_issuers],
        "configuration_digest": digest(config),
    }
