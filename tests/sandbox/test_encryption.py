"""SSE-KMS: the key must be there, and the caller allowed it; moto asks nobody and takes any name for a key."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.athena_account import make_account
from tests.sandbox.refusing import make_bucket, refused, session_of, set_rights
from tests.sandbox.running import Sandbox

S3 = {"Action": "s3:*", "Resource": "*"}


@pytest.fixture(scope="module")
def key(sandbox: Sandbox) -> str:
    """The ARN of the key that the bucket `encrypted` has by default."""
    arn = str(sandbox.client("kms").create_key()["KeyMetadata"]["Arn"])
    make_bucket(sandbox, "encrypted")
    set_default(sandbox, "encrypted", arn)
    session_of(sandbox, "encrypting")
    return arn


def set_default(sandbox: Sandbox, bucket: str, arn: str) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
    rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]
    sandbox.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def session(sandbox: Sandbox, *statements: dict[str, Any]) -> Any:
    set_rights(sandbox, "encrypting", S3, *statements)
    arn = "arn:aws:iam::123456789012:role/encrypting"
    credentials = sandbox.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return sandbox.client("s3", credentials=credentials)


def test_moto_takes_any_name_for_a_key(moto: Sandbox) -> None:
    make_bucket(moto, "encrypted")
    given = {"Bucket": "encrypted", "Key": "k", "Body": b"a", "ServerSideEncryption": "aws:kms"}
    assert moto.client("s3").put_object(**given, SSEKMSKeyId="no key at all")


def test_writing_and_reading_need_the_key(sandbox: Sandbox, key: str) -> None:
    given = {"Bucket": "encrypted", "Key": "k"}
    assert refused(session(sandbox).put_object, **given, Body=b"a") == "AccessDenied"
    writing = session(sandbox, {"Action": "kms:GenerateDataKey", "Resource": key})
    made = writing.put_object(**given, Body=b"a")
    assert (made["ServerSideEncryption"], made["SSEKMSKeyId"]) == ("aws:kms", key)
    assert refused(writing.get_object, **given) == "AccessDenied"
    assert refused(writing.create_multipart_upload, **given) == "AccessDenied"
    both = session(sandbox, {"Action": ["kms:GenerateDataKey*", "kms:Decrypt"], "Resource": key})
    assert both.get_object(**given)["Body"].read() == b"a"
    upload = both.create_multipart_upload(**given)["UploadId"]
    assert both.upload_part(**given, UploadId=upload, PartNumber=1, Body=b"a")


@pytest.mark.parametrize(("service", "passes"), [("s3.us-west-2.amazonaws.com", True), ("athena.amazonaws.com", False)])
def test_a_key_may_be_for_s3_alone(sandbox: Sandbox, key: str, service: str, passes: bool) -> None:
    condition = {"StringEquals": {"kms:ViaService": service}}
    s3 = session(sandbox, {"Action": "kms:GenerateDataKey", "Resource": key, "Condition": condition})
    given = {"Bucket": "encrypted", "Key": "via", "Body": b"a"}
    if passes:
        assert s3.put_object(**given)
    else:
        assert refused(s3.put_object, **given) == "AccessDenied"


def test_a_key_must_be_there_and_enabled(sandbox: Sandbox, key: str) -> None:
    s3, kms = sandbox.client("s3"), sandbox.client("kms")
    given = {"Bucket": "encrypted", "Key": "k", "Body": b"a", "ServerSideEncryption": "aws:kms"}
    missing = f"{key.rpartition('/')[0]}/00000000-0000-0000-0000-000000000000"
    assert refused(s3.put_object, **given, SSEKMSKeyId=missing) == "KMS.NotFoundException"
    other = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/another", TargetKeyId=other)
    assert s3.put_object(**given, SSEKMSKeyId=f"{other.rpartition(':')[0]}:alias/another")
    kms.disable_key(KeyId=other.rpartition("/")[2])
    assert refused(s3.put_object, **given, SSEKMSKeyId=other) == "KMS.DisabledException"


def test_athenas_results_need_the_key_of_their_bucket(sandbox: Sandbox, key: str) -> None:
    account = make_account(sandbox, "encryptedresults")
    set_default(sandbox, account.transient, key)
    rights = {"Action": ["s3:*", "athena:*", "glue:*"], "Resource": "*"}
    credentials = session_of(sandbox, "querying", rights)
    athena = sandbox.client("athena", credentials=credentials)
    status = account.ended(account.start("SELECT 1", athena=athena))["Status"]
    assert "Access denied when writing output" in status["StateChangeReason"]
    set_rights(sandbox, "querying", rights, {"Action": "kms:*", "Resource": key})
    query = account.start("SELECT 1", athena=athena)
    assert account.ended(query)["Status"]["State"] == "SUCCEEDED"
    assert athena.get_query_results(QueryExecutionId=query)
    set_rights(sandbox, "querying", rights, {"Action": "kms:GenerateDataKey", "Resource": key})
    assert refused(athena.get_query_results, QueryExecutionId=query) == "AccessDeniedException"


def test_an_upload_that_begins_is_told_its_encryption_and_a_denial_its_action(
    sandbox: Sandbox, moto: Sandbox, key: str
) -> None:
    begun = sandbox.client("s3").create_multipart_upload(Bucket="encrypted", Key="told")
    assert (begun["ServerSideEncryption"], begun["SSEKMSKeyId"]) == ("aws:kms", key)
    make_bucket(sandbox, "told-of-sse-s3")
    assert (
        sandbox.client("s3").create_multipart_upload(Bucket="told-of-sse-s3", Key="a")["ServerSideEncryption"]
        == "AES256"
    )
    make_bucket(moto, "told-nothing")
    assert "ServerSideEncryption" not in moto.client("s3").create_multipart_upload(Bucket="told-nothing", Key="a")
    with pytest.raises(ClientError) as error:
        session(sandbox).create_multipart_upload(Bucket="encrypted", Key="a")
    assert f"is not authorized to perform: kms:GenerateDataKey on resource: {key}" in str(error.value)
