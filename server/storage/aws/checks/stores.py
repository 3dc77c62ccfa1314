"""Whether the store behind the endpoint does what the settings say of it, and what is weaker where it does less.

Refusing to make an object twice is shown with the object that Athena made of the test's own query: no other object that
a test makes comes to be, and a store that writes over this one loses nothing that anybody needs.
"""

from __future__ import annotations

import hashlib
from typing import Final

from server.storage.aws.checks.findings import Findings
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.store import UNKNOWN_REQUEST
from server.storage.connection import Wanted
from server.storage.spec import S3Location

CONDITIONS: Final = "store.conditions"
CHECKSUMS: Final = "store.checksums"
OF_STORES: Final = (CONDITIONS, CHECKSUMS)

_SETTING: Final = "aws.s3_conditional_writes"
_REMEDY: Final = f'Set `{_SETTING} = "no"`, and start the service again.'
_TAKEN: Final = 412
_NOT_TAKEN: Final = UNKNOWN_REQUEST | {400}
_BODY: Final = b"extaudit connection test\n"


def check_store(clients: AwsClients, wanted: Wanted, result: S3Location | None, findings: Findings) -> None:
    """Tell of the store; `result` is the object of the test's query, None where there is none."""
    subject = str(S3Location.parse(wanted.spec.athena_results_uri))
    _check_conditions(clients, wanted, result, subject, findings)
    if clients.store.checksums and result is None:
        findings.not_checked(CHECKSUMS, subject, "There is no object of the test's own to tell by.")
    elif clients.store.checksums:
        findings.passed(CHECKSUMS, subject, "Bodies are sent with their SHA-256.")
    else:
        findings.warning(
            CHECKSUMS, subject, "Bodies are sent with MD5: the store keeps no checksum that tells a change later.",
            setting="aws.s3_checksums", remedy='Set `aws.s3_checksums = "sha256"`, where the store keeps it.',
        )  # fmt: skip


def _check_conditions(
    clients: AwsClients, wanted: Wanted, result: S3Location | None, subject: str, findings: Findings
) -> None:
    if not clients.store.conditional_writes:
        findings.warning(
            CONDITIONS, subject,
            "The service looks before it writes: what others write under a name in that moment is written over.",
            setting=_SETTING, remedy=f'Set `{_SETTING} = "yes"`, where the store knows `If-None-Match: *`.',
        )  # fmt: skip
        return
    if result is None:
        findings.not_checked(CONDITIONS, subject, "There is no object of the test's own to try it with.")
        return
    findings.go_on()
    try:
        clients.s3.put_object(
            Bucket=result.bucket,
            Key=result.prefix,
            ExpectedBucketOwner=wanted.account_id,
            Body=_BODY,
            IfNoneMatch="*",
            **clients.store.checksum(hashlib.sha256(_BODY).hexdigest(), [_BODY]),
        )
    except AwsError as error:
        if error.status == _TAKEN:
            findings.passed(CONDITIONS, subject, "The store refuses to make an object where there is one.")
        elif error.status in _NOT_TAKEN and error.kind in (Kind.REFUSED, Kind.FAILING):
            findings.failed(
                CONDITIONS, subject, "The store refuses `If-None-Match: *`: nothing can be delivered to it.",
                setting=_SETTING, remedy=_REMEDY, code=error.code, request_id=error.request_id,
            )  # fmt: skip
        else:
            findings.refused(CONDITIONS, subject, error)
        return
    findings.failed(
        CONDITIONS, subject,
        "The store passes over `If-None-Match: *`: what others have under a name would be written over, and nobody "
        "told.",
        setting=_SETTING, remedy=_REMEDY,
    )  # fmt: skip
