"""Checksums of bodies: verified, kept with the object and given back. moto takes any value for right."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

from tests.sandbox.asked import Asked
from tests.sandbox.buckets import find_bucket, find_object
from tests.sandbox.refusals import Answer, Refused
from tests.sandbox.s3_buckets import Proceed

DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}
_ALGORITHMS = (*DIGESTS, "CRC32C", "CRC64NVME")


def decode_chunks(asked: Asked) -> None:
    """Put a body that came in chunks together, and the headers that came after it before it."""
    if asked.service != "s3" or not asked.header("x-amz-content-sha256").startswith("STREAMING-"):
        return
    parts, trailers = [], b""
    rest = asked.body
    while True:
        line, _, rest = rest.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise Refused("IncompleteBody", "The request body terminated unexpectedly") from None
        if size == 0:
            trailers = rest
            break
        parts.append(rest[:size])
        rest = rest[size + 2 :]
    body = b"".join(parts)
    if asked.header("x-amz-decoded-content-length") != str(len(body)):
        raise Refused(
            "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length header"
        )
    asked.body = body
    for line in trailers.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and name.lower().startswith(b"x-amz-checksum-"):
            _set_header(asked, name.decode(), value.decode().strip())
    _set_header(asked, "x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    for name in ("x-amz-decoded-content-length", "x-amz-trailer"):
        _set_header(asked, name, "")
    encodings = [each.strip() for each in asked.header("Content-Encoding").split(",")]
    _set_header(asked, "Content-Encoding", ",".join(each for each in encodings if each != "aws-chunked"))


def check_body(asked: Asked) -> None:
    """Refuse a body that isn't the one whose checksum came with it."""
    if asked.service != "s3":
        return
    if md5 := asked.header("Content-MD5"):
        if len(_decoded(md5)) != 16:
            raise Refused("InvalidDigest", "The Content-MD5 you specified is not valid.")
        if _decoded(md5) != hashlib.md5(asked.body).digest():
            raise Refused("BadDigest", "The Content-MD5 you specified did not match what we received.")
    given = given_checksums(asked)
    if asked.operation == "CompleteMultipartUpload" or not given:
        return
    if len(given) > 1:
        raise Refused("InvalidRequest", "Expecting a single x-amz-checksum- header")
    algorithm, value = given.popitem()
    check_value(algorithm, value)
    if algorithm in DIGESTS and _decoded(value) != DIGESTS[algorithm](asked.body):
        raise Refused("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    # by this alone moto knows that there is one
    _set_header(asked, "x-amz-sdk-checksum-algorithm", algorithm)


def given_checksums(asked: Asked) -> dict[str, str]:
    """Checksums by algorithm, as the headers have them."""
    headers = {name: asked.header(f"x-amz-checksum-{name.lower()}") for name in _ALGORITHMS}
    return {name: value for name, value in headers.items() if value}


def check_value(algorithm: str, value: str) -> None:
    """Refuse what can't be a checksum of this algorithm."""
    if algorithm in DIGESTS and len(_decoded(value)) != len(DIGESTS[algorithm](b"")):
        raise Refused("InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")


def digest(algorithm: str, data: bytes) -> str:
    """A checksum as headers have it."""
    return base64.b64encode(DIGESTS[algorithm](data)).decode()


def keep_checksums(asked: Asked, proceed: Proceed) -> Answer:
    """Keep what came with an object or a part, and give it back to who asks for it."""
    answer = proceed()
    bucket = find_bucket(asked.text("Bucket"))
    if bucket is None or answer.status >= 300:
        return answer
    given = given_checksums(asked)
    found: Any = None
    if asked.operation == "PutObject":
        found = find_object(bucket, asked.text("Key"))
    elif asked.operation == "UploadPart":
        found = bucket.multiparts[asked.text("UploadId")].parts[int(asked.text("PartNumber"))]
    elif asked.operation in ("GetObject", "HeadObject"):
        return _shown(asked, answer, find_object(bucket, asked.text("Key"), asked.text("VersionId")))
    if found is not None:
        found.checksum_algorithm, found.checksum_value = given.popitem() if given else (None, None)
        found.checksum_type, found.checksum_parts = "FULL_OBJECT", None
    return answer


def _shown(asked: Asked, answer: Answer, found: Any) -> Answer:
    headers = [each for each in answer.headers if not each[0].lower().startswith("x-amz-checksum-")]
    wanted = asked.header("x-amz-checksum-mode").upper() == "ENABLED" and not asked.header("Range")
    if wanted and found is not None and found.checksum_algorithm and found.checksum_value:
        count = f"-{found.checksum_parts}" if found.checksum_parts else ""
        headers.append((f"x-amz-checksum-{found.checksum_algorithm.lower()}", f"{found.checksum_value}{count}"))
        headers.append(("x-amz-checksum-type", found.checksum_type))
    return Answer(answer.status, headers, answer.body)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _set_header(asked: Asked, name: str, value: str) -> None:
    key = f"HTTP_{name.upper().replace('-', '_')}"
    if value:
        asked.environ[key] = value
    else:
        asked.environ.pop(key, None)
