"""What botocore signs of a body: nothing that is hashed already, and everything that isn't."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.credentials import Credentials

from server.storage.aws.session import AwsSettings, client_config, closed_session, make_client
from server.storage.aws.store import Store, base64_of

AT = {"Bucket": "b", "Key": "k"}
PART = {**AT, "UploadId": "u", "PartNumber": 1, "Body": b"part"}
COMPLETED = {**AT, "UploadId": "u", "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "e"}]}}
WITH_SHA256 = Store().checksum("00" * 32, [])


@pytest.mark.parametrize(
    ("endpoint", "operation", "asked", "is_hashed"),
    [
        ("https://s3.test", "upload_part", PART | WITH_SHA256, False),
        ("https://s3.test", "put_object", {**AT, "Body": b"object"} | WITH_SHA256, False),
        ("http://127.0.0.1:1", "upload_part", PART | WITH_SHA256, True),
        ("https://s3.test", "upload_part", PART, True),
        ("https://s3.test", "complete_multipart_upload", COMPLETED, True),
    ],
)
def test_a_body_is_hashed_for_the_signature_unless_its_checksum_is_signed_and_tls_hides_it(
    endpoint: str, operation: str, asked: dict[str, Any], is_hashed: bool
) -> None:
    settings = AwsSettings(endpoint=endpoint, s3_path_style="always", attempts=1)
    client = make_client(
        closed_session(Credentials("key", "secret")), "s3", settings, client_config(settings, "us-west-2")
    )
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        response = AWSResponse(request.url, 200, {}, None)
        response._content = b"<CompleteMultipartUploadResult/>"
        return response

    client.meta.events.register("before-send.s3", answer)
    getattr(client, operation)(**asked)
    [request] = sent
    told = request.headers["X-Amz-Content-SHA256"]
    told = told.decode() if isinstance(told, bytes) else told
    assert bool(re.fullmatch("[0-9a-f]{64}", told)) == is_hashed
    assert is_hashed or told == "UNSIGNED-PAYLOAD"
    if "ChecksumSHA256" in asked:
        signed = request.headers["Authorization"]
        assert "x-amz-checksum-sha256" in (signed.decode() if isinstance(signed, bytes) else signed)
        assert base64_of("00" * 32) == asked["ChecksumSHA256"]
