"""Multipart uploads: bound to their bucket and key, their parts in order and with their checksums, listed in pages."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from moto.core.utils import utcnow
from moto.s3.models import FakeBucket, FakeMultipart

from tests.sandbox.asked import Asked
from tests.sandbox.buckets import find_bucket, find_object
from tests.sandbox.refusals import Answer, Refused, xml_answer
from tests.sandbox.s3_buckets import Proceed
from tests.sandbox.s3_integrity import DIGESTS, digest, given_checksums

_OF_UPLOADS = frozenset(
    {"UploadPart", "UploadPartCopy", "ListParts", "CompleteMultipartUpload", "AbortMultipartUpload"}
)
_MOST_PARTS = 10_000
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def guard_uploads(asked: Asked, proceed: Proceed) -> Answer:
    """Refuse what AWS refuses about uploads, and list them as AWS does."""
    bucket = find_bucket(asked.text("Bucket"))
    if bucket is None:
        return proceed()
    if asked.operation == "ListMultipartUploads":
        return _list_uploads(asked, bucket)
    if asked.operation == "CreateMultipartUpload":
        known = set(bucket.multiparts)
        answer = proceed()
        for name in set(bucket.multiparts) - known:
            bucket.multiparts[name].sandbox_initiated = utcnow()
        return answer
    if asked.operation not in _OF_UPLOADS:
        return proceed()
    upload = bucket.multiparts.get(asked.text("UploadId"))
    if upload is None and asked.operation == "CompleteMultipartUpload" and _is_completed(asked, bucket):
        return proceed()
    if upload is None or upload.key_name != asked.text("Key"):
        message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
        raise Refused("NoSuchUpload", f"{message}aborted or completed.", 404)
    if asked.operation == "ListParts":
        return _list_parts(asked, upload)
    if asked.operation == "UploadPart":
        _check_part(asked, upload)
    if asked.operation != "CompleteMultipartUpload":
        return proceed()
    composite = _check_completion(asked, upload)
    return _completed(asked, bucket, upload, composite, proceed())


def algorithm_of(upload: FakeMultipart) -> str:
    """The checksum algorithm that an upload was begun with, or nothing."""
    return str(upload.metadata.get("x-amz-checksum-algorithm") or "").upper()


def _is_completed(asked: Asked, bucket: FakeBucket) -> bool:
    found = find_object(bucket, asked.text("Key"))
    return found is not None and found.multipart is not None and found.multipart.id == asked.text("UploadId")


def _check_part(asked: Asked, upload: FakeMultipart) -> None:
    if not 1 <= int(asked.text("PartNumber")) <= _MOST_PARTS:
        raise Refused("InvalidArgument", f"Part number must be an integer between 1 and {_MOST_PARTS}, inclusive")
    expected, given = algorithm_of(upload), next(iter(given_checksums(asked)), "null")
    if expected and expected != given:
        kinds = f"expected checksum Type: {expected.lower()}, actual checksum Type: {given.lower()}"
        raise Refused("InvalidRequest", f"Checksum Type mismatch occurred, {kinds}")


def _check_completion(asked: Asked, upload: FakeMultipart) -> tuple[str, str, int] | None:
    """Algorithm, checksum and number of parts of the object to be, where its upload has an algorithm."""
    listed: list[dict[str, Any]] = (asked.params.get("MultipartUpload") or {}).get("Parts") or []
    numbers = [int(each["PartNumber"]) for each in listed]
    if any(one >= other for one, other in pairwise(numbers)):
        raise Refused("InvalidPartOrder", "The list of parts was not in ascending order.")
    parts = [upload.parts.get(number) for number in numbers]
    size = asked.header("x-amz-mp-object-size")
    if size and None not in parts and int(size) != sum(part.size for part in parts if part is not None):
        raise Refused("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed.")
    algorithm = algorithm_of(upload)
    if algorithm not in DIGESTS or None in parts:
        return None
    for each, part in zip(listed, parts, strict=True):
        given = each.get(f"Checksum{algorithm}")
        if given is None:
            kind = f"The upload was created using a {algorithm.lower()} checksum."
            missing = f"It was missing for part {each['PartNumber']} in the request."
            raise Refused(
                "InvalidRequest", f"{kind} The complete request must include the checksum for each part. {missing}"
            )
        if part is not None and given != part.checksum_value:
            raise Refused("InvalidPart", "One or more of the specified parts could not be found.")
    raw = b"".join(base64.b64decode(part.checksum_value or "") for part in parts if part is not None)
    composite = digest(algorithm, raw)
    stated = given_checksums(asked).get(algorithm)
    if stated is not None and stated not in (composite, f"{composite}-{len(parts)}"):
        raise Refused("BadDigest", f"The {algorithm.lower()} you specified did not match the calculated checksum.")
    return algorithm, composite, len(parts)


def _completed(
    asked: Asked, bucket: FakeBucket, upload: FakeMultipart, composite: tuple[str, str, int] | None, answer: Answer
) -> Answer:
    found = find_object(bucket, asked.text("Key"), answer.header("x-amz-version-id"))
    if answer.status >= 300 or found is None:
        return answer
    found.checksum_algorithm, found.checksum_value, found.checksum_parts = composite or (None, None, None)
    found.checksum_type = "COMPOSITE"
    if composite is None:
        return answer
    algorithm, value, count = composite
    told = f"<Checksum{algorithm}>{value}-{count}</Checksum{algorithm}><ChecksumType>COMPOSITE</ChecksumType>"
    end = b"</CompleteMultipartUploadResult>"
    body = answer.body.replace(end, told.encode() + end)
    headers = [each for each in answer.headers if each[0].lower() != "content-length"]
    return Answer(answer.status, headers, body)


def _list_parts(asked: Asked, upload: FakeMultipart) -> Answer:
    marker, most = int(asked.text("PartNumberMarker") or 0), min(int(asked.text("MaxParts") or 1000), 1000)
    after = [number for number in sorted(upload.parts) if number > marker]
    shown = after[:most]
    algorithm = algorithm_of(upload)
    parts = "".join(_part(number, upload.parts[number]) for number in shown)
    checksum = _element("ChecksumAlgorithm", algorithm) + _element("ChecksumType", "COMPOSITE") if algorithm else ""
    return xml_answer(
        f"<ListPartsResult {_NAMESPACE}>{_element('Bucket', asked.text('Bucket'))}{_element('Key', upload.key_name)}"
        f"{_element('UploadId', upload.id)}{_element('PartNumberMarker', marker)}"
        f"{_element('NextPartNumberMarker', shown[-1] if shown else 0)}{_element('MaxParts', most)}"
        f"{_element('IsTruncated', 'true' if len(after) > len(shown) else 'false')}{parts}{checksum}"
        f"{_element('StorageClass', upload.storage or 'STANDARD')}</ListPartsResult>"
    )


def _part(number: int, part: Any) -> str:
    fields = _element("PartNumber", number) + _element("LastModified", part.last_modified_ISO8601)
    fields += _element("ETag", part.etag) + _element("Size", part.size)
    if part.checksum_value:
        fields += _element(f"Checksum{part.checksum_algorithm}", part.checksum_value)
    return f"<Part>{fields}</Part>"


def _list_uploads(asked: Asked, bucket: FakeBucket) -> Answer:
    if asked.text("Delimiter"):
        raise Refused("NotImplemented", "The sandbox lists uploads without a delimiter.", 501)
    prefix, most = asked.text("Prefix"), min(int(asked.text("MaxUploads") or 1000), 1000)
    marker = (asked.text("KeyMarker"), asked.text("UploadIdMarker"))
    uploads = sorted((each.key_name, each.id, each) for each in bucket.multiparts.values())
    after = [
        (key, name, each)
        for key, name, each in uploads
        if key.startswith(prefix) and ((key, name) > marker if marker[1] else key > marker[0] or not marker[0])
    ]
    shown = after[:most]
    listed = "".join(_upload(key, name, each, asked.text("EncodingType")) for key, name, each in shown)
    more = len(after) > len(shown)
    following = ""
    if more:
        following = _element("NextKeyMarker", shown[-1][0]) + _element("NextUploadIdMarker", shown[-1][1])
    return xml_answer(
        f"<ListMultipartUploadsResult {_NAMESPACE}>{_element('Bucket', bucket.name)}{_element('KeyMarker', marker[0])}"
        f"{_element('UploadIdMarker', marker[1])}{following}{_element('Prefix', prefix)}"
        f"{_element('MaxUploads', most)}{_element('IsTruncated', 'true' if more else 'false')}{listed}"
        "</ListMultipartUploadsResult>"
    )


def _upload(key: str, name: str, upload: FakeMultipart, encoding: str) -> str:
    shown = quote(key) if encoding == "url" else key
    fields = _element("Key", shown) + _element("UploadId", name)
    fields += _element("Initiated", upload.sandbox_initiated.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    fields += _element("StorageClass", upload.storage or "STANDARD")
    if algorithm := algorithm_of(upload):
        fields += _element("ChecksumAlgorithm", algorithm) + _element("ChecksumType", "COMPOSITE")
    return f"<Upload>{fields}</Upload>"


def _element(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"
