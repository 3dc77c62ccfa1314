"""Writing, reading and listing under a prefix, so that nothing is left there.

Writing is shown by an upload of one part that is aborted: no object ever comes to be, which object lock would then
keep. Reading is shown with an object that is there; where there is none, with a key that isn't: S3 tells those who may
list that there is no such key, and says AccessDenied to those who may not read.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from server.storage.aws.checks.findings import Findings
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError, Kind, translated
from server.storage.connection import Wanted
from server.storage.spec import S3Location

_log = logging.getLogger(__name__)

LIST: Final = "prefix.list-objects"
LIST_VERSIONS: Final = "prefix.list-versions"
LIST_UPLOADS: Final = "prefix.list-uploads"
WRITE: Final = "prefix.write"
LIST_PARTS: Final = "prefix.list-parts"
ABORT: Final = "prefix.abort"
READ: Final = "prefix.read"
READ_VERSION: Final = "prefix.read-version"
ENCRYPTION: Final = "prefix.encryption"
OF_PREFIXES: Final = (
    LIST, LIST_VERSIONS, LIST_UPLOADS, WRITE, ENCRYPTION, LIST_PARTS, ABORT, READ, READ_VERSION,
)  # fmt: skip

FOLDER: Final = "extaudit-connection-test"
"""Below each prefix; no events or recordings are ever kept there."""
_KEYS: Final = 1000
"""As many as one request lists: an object of ours is looked for among them."""
_OF_EVENTS: Final = re.compile(r"/\d{4}-\d\d-\d\d/[0-9a-f]{20}-\d+-\d+(\.r\d+)?\.parquet\Z", re.ASCII)
_LEFT_OVER: Final = timedelta(hours=1)
_PART: Final = b"extaudit connection test\n"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix, and the key below it that a test uses."""

    place: S3Location
    key: str

    @property
    def subject(self) -> str:
        """As checks name it."""
        return str(self.place)


def prefix_of(place: S3Location, test_id: str) -> Prefix:
    """A prefix, for one test."""
    return Prefix(place, f"{place.keys_prefix}{FOLDER}/{test_id}")


def check_prefix(clients: AwsClients, wanted: Wanted, prefix: Prefix, findings: Findings) -> str | None:
    """Tell of a prefix. Gives the key of an object under it, '' where there is none, None where it can't be told."""
    at = {"Bucket": prefix.place.bucket, "ExpectedBucketOwner": wanted.account_id}
    found = _check_list(clients, at, prefix, findings)
    version = _check_versions(clients, at, prefix, findings)
    _check_uploads(clients, at, prefix, findings)
    _check_write(clients, wanted, at, prefix, findings)
    _check_read(clients, at, prefix, found, findings)
    _check_read_version(clients, at, prefix, version, found is not None, findings)
    return found


def not_checked(prefix: Prefix, why: str, findings: Findings) -> None:
    """Tell that nothing of a prefix could be looked at."""
    for name in OF_PREFIXES:
        findings.not_checked(name, prefix.subject, why)


def _check_list(clients: AwsClients, at: dict[str, str], prefix: Prefix, findings: Findings) -> str | None:
    try:
        answer = clients.s3.list_objects_v2(**at, Prefix=prefix.place.keys_prefix, MaxKeys=_KEYS)
    except AwsError as error:
        findings.refused(LIST, prefix.subject, error)
        return None
    keys = [each["Key"] for each in answer.get("Contents") or []]
    findings.passed(LIST, prefix.subject, "Objects can be listed." if keys else "Objects can be listed; there is none.")
    # Who may write there can have put something before all of ours.
    return next((key for key in keys if _OF_EVENTS.search(key)), keys[0] if keys else "")


def _check_versions(
    clients: AwsClients, at: dict[str, str], prefix: Prefix, findings: Findings
) -> tuple[str, str] | None:
    try:
        answer = clients.s3.list_object_versions(**at, Prefix=prefix.place.keys_prefix, MaxKeys=1)
    except AwsError as error:
        findings.refused(LIST_VERSIONS, prefix.subject, error)
        return None
    findings.passed(LIST_VERSIONS, prefix.subject, "Versions can be listed.")
    versions = answer.get("Versions") or []
    # "null" is the version of what was written without versioning: of an absent key there is none either.
    return (versions[0]["Key"], versions[0]["VersionId"]) if versions else (prefix.key, "null")


def _check_uploads(clients: AwsClients, at: dict[str, str], prefix: Prefix, findings: Findings) -> None:
    folder = f"{prefix.place.keys_prefix}{FOLDER}/"
    try:
        answer = clients.s3.list_multipart_uploads(**at, Prefix=folder, MaxUploads=100)
    except AwsError as error:
        findings.refused(LIST_UPLOADS, prefix.subject, error)
        return
    old = [each for each in answer.get("Uploads") or [] if each["Initiated"] < datetime.now(UTC) - _LEFT_OVER]
    for each in old:
        findings.go_on()
        try:
            clients.s3.abort_multipart_upload(**at, Key=each["Key"], UploadId=each["UploadId"])
        except AwsError:
            break  # the check of aborting tells why
    told = (
        f"Uploads can be listed; {len(old)} of a test that was cut off were aborted."
        if old
        else "Uploads can be listed."
    )
    findings.passed(LIST_UPLOADS, prefix.subject, told)


def _check_write(clients: AwsClients, wanted: Wanted, at: dict[str, str], prefix: Prefix, findings: Findings) -> None:
    if not _may_abort(clients, at, prefix, findings):
        for name in (WRITE, ENCRYPTION, LIST_PARTS):
            findings.not_checked(name, prefix.subject, "What could not be taken back is not begun.")
        return
    try:
        kept = {"ChecksumAlgorithm": "SHA256"} if clients.store.checksums else {}
        begun = clients.s3.create_multipart_upload(**at, Key=prefix.key, **kept)
    except AwsError as error:
        findings.refused(WRITE, prefix.subject, error)
        for name in (ENCRYPTION, LIST_PARTS):
            findings.not_checked(name, prefix.subject, "No upload could be begun.")
        findings.passed(ABORT, prefix.subject, "Uploads may be aborted; there was none.")
        return
    upload = {**at, "Key": prefix.key, "UploadId": begun["UploadId"]}
    ended = False
    try:
        written = _put_part(clients, upload, prefix, findings)
        _check_encryption(begun, wanted, prefix, findings)
        _check_parts(clients, upload, prefix, written, findings)
        ended = True
        _check_abort(clients, upload, prefix, findings)
    finally:
        if not ended:
            _take_back(clients, upload)


def _may_abort(clients: AwsClients, at: dict[str, str], prefix: Prefix, findings: Findings) -> bool:
    """Whether an upload could be taken back. S3 says of one that isn't there that it isn't, to those who may."""
    try:
        clients.s3.abort_multipart_upload(**at, Key=prefix.key, UploadId="extaudit-connection-test")
    except AwsError as error:
        if error.kind is not Kind.MISSING or error.code == "NoSuchBucket":
            findings.refused(ABORT, prefix.subject, error)
            return False
    return True


def _put_part(clients: AwsClients, upload: dict[str, str], prefix: Prefix, findings: Findings) -> bool:
    checksum = clients.store.checksum(hashlib.sha256(_PART).hexdigest(), [_PART])
    try:
        clients.s3.upload_part(**upload, PartNumber=1, Body=_PART, **checksum)
    except AwsError as error:
        findings.refused(WRITE, prefix.subject, error)
        return False
    findings.passed(WRITE, prefix.subject, "An upload is begun, and a part written with its checksum.")
    return True


def _check_encryption(begun: dict[str, Any], wanted: Wanted, prefix: Prefix, findings: Findings) -> None:
    told, key = str(begun.get("ServerSideEncryption") or ""), str(begun.get("SSEKMSKeyId") or "")
    planned = wanted.options.kms_key_arn
    facts = {"algorithm": told or "not told", "key": key}
    if not told:
        findings.not_checked(ENCRYPTION, prefix.subject, "S3 did not tell how it encrypts.")
    elif planned and key != planned:
        findings.warning(
            ENCRYPTION,
            prefix.subject,
            f"What is written is encrypted {f'with {key}' if key else 'without a key of KMS'}, not as planned.",
            setting="default encryption", remedy="`extaudit storage bootstrap` sets it.", **facts,
        )  # fmt: skip
    elif not planned and key:
        findings.warning(
            ENCRYPTION,
            prefix.subject,
            "What is written is encrypted with a key of KMS that the storage does not name.",
            setting="default encryption",
            remedy="Name the key in the storage's options, so that its policy has it.",
            **facts,
        )
    else:
        findings.passed(ENCRYPTION, prefix.subject, "What is written is encrypted as planned.", **facts)


def _check_parts(
    clients: AwsClients, upload: dict[str, str], prefix: Prefix, written: bool, findings: Findings
) -> None:
    try:
        answer = clients.s3.list_parts(**upload, MaxParts=10)
    except AwsError as error:
        findings.refused(LIST_PARTS, prefix.subject, error)
        return
    parts = [(int(each["PartNumber"]), int(each["Size"])) for each in answer.get("Parts") or []]
    if parts == ([(1, len(_PART))] if written else []):
        findings.passed(LIST_PARTS, prefix.subject, "The upload's parts are listed as written.")
    else:
        findings.failed(
            LIST_PARTS, prefix.subject, "S3 lists other parts than were written.", setting="S3",
            remedy="See that `aws.s3_endpoint` is S3, or keeps its promises.",
        )  # fmt: skip


def _check_abort(clients: AwsClients, upload: dict[str, str], prefix: Prefix, findings: Findings) -> None:
    try:
        clients.s3.abort_multipart_upload(**upload)
    except AwsError as error:
        findings.refused(ABORT, prefix.subject, error)
        return
    findings.passed(ABORT, prefix.subject, "The upload is aborted; nothing of it is left.")


def _take_back(clients: AwsClients, upload: dict[str, str]) -> None:
    try:
        clients.s3.abort_multipart_upload(**upload)
    except AwsError as error:
        _log.warning("an upload of a connection test could not be aborted", extra={"fields": {"why": str(error)}})


def _check_read(clients: AwsClients, at: dict[str, str], prefix: Prefix, found: str | None, findings: Findings) -> None:
    if found is None:
        findings.not_checked(READ, prefix.subject, "Where listing isn't allowed, S3 does not tell what may be read.")
        return
    _get(clients, at | {"Key": found or prefix.key}, bool(found), READ, "s3:GetObject", prefix, findings)


def _check_read_version(
    clients: AwsClients,
    at: dict[str, str],
    prefix: Prefix,
    version: tuple[str, str] | None,
    listed: bool,
    findings: Findings,
) -> None:
    if version is None or (not listed and version[0] == prefix.key):
        why = "Where listing isn't allowed, S3 does not tell which versions may be read."
        findings.not_checked(READ_VERSION, prefix.subject, why)
        return
    key, version_id = version
    wanted = at | {"Key": key, "VersionId": version_id}
    _get(clients, wanted, key != prefix.key, READ_VERSION, "s3:GetObjectVersion", prefix, findings)


def _get(
    clients: AwsClients, wanted: dict[str, str], there: bool, name: str, action: str, prefix: Prefix, findings: Findings
) -> None:
    what = "version" if "VersionId" in wanted else "object"
    try:
        answer = clients.s3.get_object(**wanted, Range="bytes=0-0")
        with translated(action):
            answer["Body"].read()
    except AwsError as error:
        if not there and error.kind is Kind.MISSING and error.code != "NoSuchBucket":
            findings.passed(name, prefix.subject, f"S3 looked for {what}s to read; there is none yet.")
        elif there and error.code in ("InvalidObjectState", "InvalidRange"):
            findings.passed(name, prefix.subject, f"S3 lets {what}s be read; the first is archived or empty.")
        else:
            error.action = action if error.action == "s3:GetObject" else error.action
            findings.refused(name, prefix.subject, error)
        return
    findings.passed(name, prefix.subject, f"A byte of an {what} was read." if there else f"A {what} was read.")
