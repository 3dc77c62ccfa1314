"""Every fault that the doctor knows: how it comes about in a healthy data directory, and what is to be done."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from server.audit_log.fork_request import request_fork
from server.audit_log.journal.segments import segment_name
from server.certificates.authorities import new_authority_certificate, server_certificate
from server.certificates.claims import ADMINISTRATOR
from server.certificates.local_authority import SERVER, USER_CA, load_local_authority
from server.data_directory import DataDirectory
from server.state.database import database_path
from tests.e2e.damaged_files import (
    append,
    copied_journal,
    copy_beside,
    custody,
    damage_journal,
    in_place_of,
    known_uids,
    mark,
    recording,
    records,
    segments,
    shorten_last_part,
    unreadable_recording,
)
from tests.e2e.doctored import flip, objects
from tests.unit.integrations.keys_under_test import KeysUnderTest

CONFIG = "planted.toml"
WITH_CONFIG = ("--config", CONFIG)
"""Arguments; the file is beside the data directory."""
OTHER_SESSION = "6f0b9d3e-54c7-4c0e-9f2b-0d6f2a3c4e51"


def on_state(data_dir: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database_path(data_dir))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def damage_state(data_dir: Path) -> None:
    """Damage the page of a table, with the server's log of writes empty."""
    path = database_path(data_dir)
    with closing(sqlite3.connect(path)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'locks'")
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 + 3 : (page - 1) * 4096 + 40] = b"\xff" * 37
    path.write_bytes(content)


def days_ago(count: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=count)


def age_server_certificate(data_dir: Path, days: float) -> None:
    local = load_local_authority(data_dir)
    key = local.folder.read_key(SERVER)
    assert key is not None
    local.folder.write_certificate(SERVER, server_certificate(local.host, key.public_key(), days_ago(days)))


def age_user_ca(data_dir: Path, days: float) -> None:
    local = load_local_authority(data_dir)
    aged = new_authority_certificate(local.user.key, local.cluster, "extaudit user CA", days_ago(days))
    local.folder.write_certificate(USER_CA, aged)


def age_issued(data_dir: Path, days_left: float) -> None:
    end = int((datetime.now(UTC) + timedelta(days=days_left)).timestamp() * 1000)
    on_state(data_dir, f"UPDATE issued_certificates SET expires_ms = {end}, not_before_ms = {end - 40 * 86_400_000}")


@dataclass(frozen=True)
class Plant:
    """A fault, how it comes about, and a word of what is to be done."""

    name: str
    plant: Callable[[Path], object]
    remedy: str
    arguments: tuple[str, ...] = ()


def _unlisted(data_dir: Path) -> None:
    found = objects(data_dir)[0]
    found.with_name("0123456789abcdef0123-1-9.parquet").write_bytes(found.read_bytes())


def _like_one_on_its_way(among: Callable[[Path], list[Path]]) -> Callable[[Path], None]:
    """Named like what the journal's segment is to become, but for its end, at which the next one has begun."""

    def plant(data_dir: Path) -> None:
        segment = segments(data_dir)[-1]
        log_id, first = segment.parent.name, int(segment.stem)
        segment.with_name(segment_name(first + 5)).touch()
        name = f"{first}-{first + 9}.json" if among is records else f"{log_id}-{first}-{first + 9}.parquet"
        (among(data_dir)[0].parent / name).touch()

    return plant


def _foreign(data_dir: Path) -> None:
    found = objects(data_dir)[0]
    found.with_name("theirs.parquet").write_bytes(found.read_bytes())


def _no_folder(data_dir: Path) -> None:
    data_dir.rename(data_dir.with_name("elsewhere"))


def config(*lines: str) -> Callable[[Path], object]:
    """A configuration file that says so."""
    return lambda data: data.with_name(CONFIG).write_text("\n".join(lines))


def that_all_can_write(make: Callable[[Path], Path]) -> Callable[[Path], object]:
    """What it makes has all rights, where anybody comes to it."""

    def plant(data_dir: Path) -> None:
        made = make(data_dir)
        made.chmod(0o777)
        made.parent.chmod(0o755)

    return plant


def folder_of_roles(data_dir: Path) -> Path:
    folder = data_dir.with_name("roles")
    folder.mkdir()
    config(f'roles_dir = "{folder}"')(data_dir)
    return folder


def role_file(data_dir: Path) -> Path:
    file = data_dir / "roles" / "x.yaml"
    file.touch()
    return file


def configuration(data_dir: Path) -> Path:
    config("")(data_dir)
    return data_dir.with_name(CONFIG)


def key_set(data_dir: Path) -> Path:
    token_issuer(b"")(data_dir)
    return data_dir.with_name("keys.json")


def trusted_ca(data_dir: Path) -> Path:
    file = data_dir.with_name("ca.pem")
    file.write_bytes((data_dir / "identity" / "user-ca.crt").read_bytes())
    config("[grpc]", f'user_ca = ["{file}"]')(data_dir)
    return file


def store(setting: str) -> Callable[[Path], object]:
    """The store of another maker can do less."""
    return config("[aws]", 's3_endpoint = "https://store.test"', setting)


def with_signing_keys(data_dir: Path) -> None:
    config('issuer_url = "https://own.test"')(data_dir)
    rig = KeysUnderTest(database_path(data_dir), b"k" * 32)
    rig.keys.look_after()
    rig.close()


def old_signing_key(data_dir: Path) -> None:
    with_signing_keys(data_dir)
    key = data_dir / "identity" / "signing-keys.key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    began = int(days_ago(92).timestamp() * 1000)
    on_state(data_dir, f"UPDATE signing_keys SET activated_ms = {began} WHERE state = 'active'")


def grow_journal(kib: int) -> Callable[[Path], None]:
    """The journal has so many KiB of a quota of 1 MiB."""

    def plant(data_dir: Path) -> None:
        config("[journal]", "quota_bytes = 1048576", "cut_bytes = 524288")(data_dir)
        append(segments(data_dir)[-1], bytes(kib * 1024))

    return plant


def forget_second_batch(data_dir: Path) -> None:
    """Somebody took one batch out, from the storage and from the state."""
    second = records(data_dir)[1]
    first = second.name.partition("-")[0]
    second.unlink()
    for table in ("catalogue_batches", "catalogue_objects"):
        on_state(data_dir, f"DELETE FROM {table} WHERE first = {first}")


def floor_at_two_thirds(data_dir: Path) -> None:
    config("[journal]", f"disk_floor_bytes = {DataDirectory(data_dir).free_bytes() * 2 // 3}")(data_dir)


def full_in_twenty_days(data_dir: Path) -> None:
    size = DataDirectory(data_dir).free_bytes() // 20
    on_state(
        data_dir,
        "UPDATE catalogue_objects SET bytes = 0",
        f"UPDATE catalogue_objects SET bytes = {size} WHERE revision = (SELECT max(revision) FROM catalogue_objects)",
    )


def token_issuer(key_set: bytes) -> Callable[[Path], None]:
    """An issuer whose keys are in a file."""

    def plant(data_dir: Path) -> None:
        keys = data_dir.with_name("keys.json")
        keys.write_bytes(key_set)
        config(
            "[grpc]",
            'token_listen = "127.0.0.1:0"',
            "[[grpc.token_issuers]]",
            'issuer = "https://id.test"',
            'audience = "extaudit"',
            f'jwks_file = "{keys}"',
        )(data_dir)

    return plant


def http_listener(days: float, key: str = SERVER, *, public: bool = False) -> Callable[[Path], object]:
    """The operations or the public listener has a certificate that was made so many days ago, and a key."""

    def plant(data_dir: Path) -> None:
        local = load_local_authority(data_dir)
        own = local.folder.read_key(SERVER)
        assert own is not None
        certificate = data_dir.with_name("operations.crt")
        aged = server_certificate(local.host, own.public_key(), days_ago(days))
        certificate.write_bytes(aged.public_bytes(Encoding.PEM))
        file = data_dir / "identity" / f"{key}.key"
        pre = "public_" if public else ""
        config("[http]", f'{pre}certificate = "{certificate}"', f'{pre}key = "{file}"')(data_dir)

    return plant


PLANTS = [
    Plant("data_directory_missing", _no_folder, "--data-dir"),
    Plant("mode_open", lambda data: (data / "identity" / "admin.key").chmod(0o640), "/identity/admin.key`"),
    Plant("mode_open", lambda data: data.chmod(0o755), "chmod 700"),
    Plant("others_can_write", that_all_can_write(role_file), "chmod go-w /"),
    Plant("others_can_write", that_all_can_write(folder_of_roles), "chmod go-w /", WITH_CONFIG),
    Plant("others_can_write", that_all_can_write(configuration), "chmod go-w /", WITH_CONFIG),
    Plant("others_can_write", that_all_can_write(trusted_ca), "chmod go-w /", WITH_CONFIG),
    Plant("others_can_write", that_all_can_write(key_set), "chmod go-w /", WITH_CONFIG),
    Plant("ready_file_stale", lambda data: (data / "ready.json").touch(0o600), "Start the server"),
    Plant("not_a_file", lambda data: in_place_of(segments(data)[-1], os.mkfifo), "move it away"),
    Plant("not_a_file", lambda data: in_place_of(custody(data), os.mkdir), "move it away"),
    Plant("part_left", lambda data: (data / "identity" / "a.key.part").touch(0o600), "Start the server"),
    Plant("state_missing", lambda data: database_path(data).unlink(), "Stop the server and put state.db back"),
    Plant("state_missing", lambda data: database_path(data).write_bytes(b""), "copy"),
    Plant("state_unreadable", lambda data: database_path(data).write_bytes(b"no database" * 500), "copy"),
    Plant("state_damaged", damage_state, "copy"),
    Plant("state_newer", lambda data: on_state(data, "UPDATE schema_version SET version = 999"), "later version"),
    Plant("state_older", lambda data: on_state(data, "UPDATE schema_version SET version = 1"), "start the server"),
    Plant("certificates_refused", lambda data: (data / "identity" / "user-ca.key").unlink(), "copy"),
    Plant("certificates_refused", lambda data: (data / "identity" / "server.key").write_bytes(b"x"), "copy"),
    Plant("server_certificate_lost", lambda data: (data / "identity" / "server.crt").unlink(), "makes another"),
    Plant("server_certificate_lost", lambda data: (data / "identity" / "server.key").unlink(), "makes another"),
    Plant("server_certificate_ends", lambda data: age_server_certificate(data, 360), "Restart"),
    Plant("server_certificate_ended", lambda data: age_server_certificate(data, 366), "Restart"),
    Plant("certificates_refused", http_listener(0, key=ADMINISTRATOR), "Put right", WITH_CONFIG),
    Plant("operations_certificate_ends", http_listener(360), "restart", WITH_CONFIG),
    Plant("operations_certificate_ended", http_listener(366), "restart", WITH_CONFIG),
    Plant("certificates_refused", http_listener(0, key=ADMINISTRATOR, public=True), "Put right", WITH_CONFIG),
    Plant("public_certificate_ends", http_listener(360, public=True), "taken up while it runs", WITH_CONFIG),
    Plant("public_certificate_ended", http_listener(366, public=True), "taken up while it runs", WITH_CONFIG),
    Plant("ca_ends", lambda data: age_user_ca(data, 3640), "grpc.user_ca"),
    Plant("ca_ended", lambda data: age_user_ca(data, 3651), "grpc.user_ca"),
    Plant("identity_ends", lambda data: age_issued(data, 3), "identity renew"),
    Plant("identity_ends_later", lambda data: age_issued(data, 12), "identity renew"),
    Plant("identity_ended", lambda data: age_issued(data, -3), "identity renew"),
    Plant("certificate_unrecorded", lambda data: on_state(data, "DELETE FROM issued_certificates"), "identity issue"),
    Plant("client_ca_differs", lambda data: (data / "identity" / "ca.crt").unlink(), "host-ca.crt"),
    Plant("object_missing", lambda data: objects(data)[0].unlink(), "copy"),
    Plant("object_changed", lambda data: flip(objects(data)[0]), "copy"),
    Plant("object_changed", lambda data: objects(data)[0].write_bytes(b"PAR1"), "copy"),
    Plant("object_unlisted", _unlisted, "move it away"),
    Plant("object_unlisted", _like_one_on_its_way(objects), "move it away"),
    Plant("object_foreign", _foreign, "move it away"),
    Plant("owner_differs", lambda data: os.chown(data / "identity" / "admin.key", 12345, -1), "chown"),
    Plant("foreign_unreadable", lambda data: (objects(data)[0].parent / "x.parquet").mkdir(), "move it away"),
    Plant("configuration_wrong", config("[journal]", "cut_events = 0"), "docs/configuration.md", WITH_CONFIG),
    Plant("key_damaged", lambda data: (data / "identity" / "page-token.key").write_bytes(b"short"), "copy"),
    Plant("key_missing", lambda data: (data / "identity" / "upload-id.key").unlink(), "copy"),
    Plant("wrapping_key_refused", with_signing_keys, "forget-signing-keys", WITH_CONFIG),
    Plant("issuer_not_for_aws", config('issuer_url = "https://own.test:8443"'), "port 443", WITH_CONFIG),
    Plant("issuer_not_published_here", config('issuer_url = "https://own.test"'), "public_listen", WITH_CONFIG),
    Plant("signing_key_old", old_signing_key, "rotate-key", WITH_CONFIG),
    Plant("store_writes_unconditional", store('s3_conditional_writes = "no"'), "storage test", WITH_CONFIG),
    Plant("store_checksums_weak", store('s3_checksums = "md5"'), "sha256", WITH_CONFIG),
    Plant("store_versions_optional", store('s3_versioning = "optional"'), "required", WITH_CONFIG),
    Plant("known_uids_damaged", lambda data: flip(known_uids(data)), "copy"),
    Plant("known_uids_damaged", lambda data: known_uids(data).write_bytes(os.urandom(4096)), "copy"),
    Plant("known_uids_torn", lambda data: append(known_uids(data), b"uid"), "cut off"),
    Plant("roles_refused", lambda data: (data / "roles" / "x.yaml").write_text("kind: nothing"), "roles check"),
    Plant(
        "role_undefined", lambda data: on_state(data, """UPDATE issued_certificates SET roles = '["ghost"]'"""), "role"
    ),
    Plant("token_keys_refused", token_issuer(b"broken"), "jwks_file", WITH_CONFIG),
    Plant("token_keys_none", token_issuer(b'{"keys": []}'), "publish", WITH_CONFIG),
    Plant("clock_behind", lambda data: on_state(data, f"UPDATE catalogue_batches SET confirmed_ms = {2**42}"), "NTP"),
    Plant("disk_floor", config("[journal]", f"disk_floor_bytes = {2**40}"), "Make room", WITH_CONFIG),
    Plant("disk_low", floor_at_two_thirds, "Make room", WITH_CONFIG),
    Plant("disk_full_soon", lambda data: on_state(data, f"UPDATE catalogue_objects SET bytes = {2**40}"), "Make room"),
    Plant("disk_full_soon", lambda data: on_state(data, f"UPDATE recordings SET bytes = {2**40}"), "Make room"),
    Plant("disk_full_later", full_in_twenty_days, "Make room"),
    Plant("journal_missing", lambda data: shutil.rmtree(segments(data)[-1].parent), "copy"),
    Plant("journal_missing", lambda data: [path.unlink() for path in segments(data)], "copy"),
    Plant("journal_fork_to_come", copied_journal, "extaudit journal fork"),
    Plant("journal_fork_to_come", lambda data: request_fork(data, "a copy", "root", None), "journal/fork.json"),
    Plant("journal_mark_damaged", lambda data: mark(data, "fork.json").write_bytes(b"x"), "remove the file"),
    Plant("journal_mark_damaged", lambda data: mark(data, "place.json").write_bytes(b"x"), "remove the file"),
    Plant("journal_damaged", damage_journal, "restart"),
    Plant("journal_hole", damage_journal, "copy"),
    Plant("journal_torn_tail", lambda data: append(segments(data)[-1], b"torn"), "Start the server"),
    Plant("events_lost", lambda data: on_state(data, "INSERT INTO journal_holes VALUES ('a', 1, 2, 3, 1)"), "copy"),
    Plant("journal_set_aside", lambda data: (data / "journal" / "damaged" / "a").mkdir(parents=True), "move them away"),
    Plant("journal_full", grow_journal(1024), "extaudit status", WITH_CONFIG),
    Plant("journal_filling", grow_journal(600), "extaudit status", WITH_CONFIG),
    Plant("spool_left", lambda data: (data / "spool" / "0123456789abcdef0123-1-2").mkdir(), "Start the server"),
    Plant("record_missing", lambda data: records(data)[0].unlink(), "copy"),
    Plant("record_changed", lambda data: append(records(data)[0], b" "), "copy"),
    Plant("record_unlisted", lambda data: copy_beside(records(data)[0], "9000001-9000002.json"), "Restart"),
    Plant("record_unlisted", _like_one_on_its_way(records), "Restart"),
    Plant("record_differs", lambda data: on_state(data, "UPDATE catalogue_objects SET sha256 = 'x'"), "state.db"),
    Plant("record_chain_broken", forget_second_batch, "copy"),
    Plant("sequence_gap", forget_second_batch, "copy"),
    Plant("record_names_unknown_object", lambda data: on_state(data, "DELETE FROM catalogue_objects"), "state.db"),
    Plant(
        "scrub_finding",
        lambda data: on_state(data, "INSERT INTO storage_damage VALUES ('default', 'x', 'missing', '', 1)"),
        "storage",
    ),
    Plant("recording_missing", lambda data: recording(data).unlink(), "copy"),
    Plant("recording_changed", lambda data: flip(recording(data)), "copy", ("--deep",)),
    Plant("recording_changed", lambda data: append(recording(data), b"x"), "copy"),
    Plant("recording_changed", lambda data: recording(data).write_bytes(b"x"), "copy"),
    Plant("custody_record_damaged", shorten_last_part, "copy"),
    Plant("recording_unreadable", unreadable_recording, "disk"),
    Plant("recording_unlisted", lambda data: copy_beside(recording(data), f"{OTHER_SESSION}.tar"), "move it away"),
    Plant(
        "upload_abandoned",
        lambda data: on_state(data, "UPDATE uploads SET state = 'open', touched_ms = 1"),
        "--partial",
    ),
]

UNPLANTED = {
    "object_unreadable": "needs a file that even root can't read",
    "storage_unreadable": "needs a folder that even root can't list",
    "disk_inodes": "needs a file system of its own",
    "disk_unknown": "needs a file system that went away",
    "scrub_late": "has a test of its own: a server must run",
    "journal_late": "has a test of its own: a server must run",
    "issuer_unreachable": "has a test of its own: a server must run",
    "issuer_documents_differ": "has a test of its own: a server must run",
    "permission_unheld": "has a test of its own: the presets give every permission",
}
"""Faults without a plant, and why."""
