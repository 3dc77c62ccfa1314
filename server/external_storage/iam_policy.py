"""The IAM policy that an external audit storage needs on the integration's role."""

from __future__ import annotations

import json
from typing import Any, Final

from server.storage.spec import S3Location, StorageSpec

_VERSION: Final = "2012-10-17"
_S3_ACTIONS: Final = (
    "s3:PutObject",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetBucketLocation",
)
_ATHENA_ACTIONS: Final = ("athena:StartQueryExecution", "athena:GetQueryResults", "athena:GetQueryExecution")
_GLUE_ACTIONS: Final = ("glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions", "glue:UpdateTable")
_KMS_ACTIONS: Final = ("kms:GenerateDataKey", "kms:Decrypt")


def iam_policy(spec: StorageSpec, partition: str, account_id: str, kms_key_arn: str = "") -> dict[str, Any]:
    """The policy for a valid spec: three statements, and one more where a key is given.

    Args:
        spec: the nine fields.
        partition: `aws`, `aws-us-gov` or `aws-cn`.
        account_id: the account that the storage is in.
        kms_key_arn: the key that both buckets encrypt with; '' for SSE-S3.
    """
    home = f"{spec.region}:{account_id}"
    glue = f"arn:{partition}:glue:{home}"
    statements = [
        _allow("ReadWriteSessionsAndEvents", _S3_ACTIONS, _s3_resources(spec, partition)),
        _allow("AllowAthenaQuery", _ATHENA_ACTIONS, f"arn:{partition}:athena:{home}:workgroup/{spec.athena_workgroup}"),
        _allow(
            "FullAccessOnGlueTable",
            _GLUE_ACTIONS,
            [
                f"{glue}:catalog",
                f"{glue}:database/{spec.glue_database}",
                f"{glue}:table/{spec.glue_database}/{spec.glue_table}",
            ],
        ),
    ]
    if kms_key_arn:
        statement = _allow("UseEncryptionKey", _KMS_ACTIONS, kms_key_arn)
        # Only S3 asks for the key, on behalf of whoever writes, reads or queries: the role itself never can.
        statements.append(statement | {"Condition": {"StringEquals": {"kms:ViaService": _s3_hosts(spec, partition)}}})
    return {"Version": _VERSION, "Statement": statements}


def tls_only_policy(bucket: str, partition: str) -> dict[str, Any]:
    """The policy of a bucket that refuses whatever doesn't come over TLS, whoever asks."""
    arn = f"arn:{partition}:s3:::{bucket}"
    statement = {
        "Sid": "RefuseAllButTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": _VERSION, "Statement": [statement]}


def policy_text(policy: dict[str, Any]) -> str:
    """A policy as JSON, indented by two; the same policy always gives the same text."""
    return json.dumps(policy, indent=2)


def _allow(sid: str, actions: tuple[str, ...], resource: str | list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, "Sid": sid}


def _s3_resources(spec: StorageSpec, partition: str) -> list[str]:
    """Each bucket and what is under each prefix, once, in the order events, sessions, results."""
    found: dict[str, None] = {}
    for uri in (spec.audit_events_long_term_uri, spec.session_recordings_uri, spec.athena_results_uri):
        location = S3Location.parse(uri)
        arn = f"arn:{partition}:s3:::{location.bucket}"
        found |= {arn: None, f"{arn}/{location.keys_prefix}*": None}
    return list(found)


def _s3_hosts(spec: StorageSpec, partition: str) -> str | list[str]:
    host = f"s3.{spec.region}.amazonaws.com"
    # In China services have names under both domains.
    return [host, f"{host}.cn"] if partition == "aws-cn" else host
