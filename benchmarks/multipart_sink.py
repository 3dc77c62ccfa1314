"""A store that takes multipart uploads by https and throws their bytes away, in a process of its own.

`python -m benchmarks.multipart_sink CERTIFICATE KEY` serves on a free port of the loopback, prints the port and ends
with its standard input. It answers as S3 does what the service asks, from the sizes and checksums that it was told: it
hashes and compares no part, and keeps the bytes of nothing but objects that come whole.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.beside import server_of

CHUNK = 1024 * 1024
CHECKSUM = "x-amz-checksum-sha256"
UPLOAD = "x-amz-meta-upload"


@dataclass
class Held:
    """An upload, or the object that it has become: sizes and checksums by number of part."""

    key: str
    upload: str
    parts: dict[int, tuple[int, str]] = field(default_factory=dict)
    body: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(size for size, _ in self.parts.values()) or len(self.body)

    @property
    def checksum(self) -> str:
        """As S3 gives that of an object of parts."""
        joined = hashlib.sha256(b"".join(base64.b64decode(each) for _, each in self.parts.values()))
        return f"{base64.b64encode(joined.digest()).decode()}-{len(self.parts)}"


class Sink(ThreadingHTTPServer):
    """Every connection on a thread of its own."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context
        self.uploads: dict[str, Held] = {}
        self.objects: dict[str, Held] = {}
        self.numbers = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    """Path-style requests for `/<bucket>/<key>`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """Else a body waits some 40 ms until the headers before it are acknowledged."""
    server: Sink

    def setup(self) -> None:
        """Begin TLS on the connection's own thread."""
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    @property
    def asked(self) -> tuple[str, dict[str, str]]:
        """Key and parameters."""
        url = urlsplit(self.path)
        parameters = parse_qs(url.query, keep_blank_values=True)
        return unquote(url.path).lstrip("/").partition("/")[2], {name: each[0] for name, each in parameters.items()}

    def answer(self, body: str | bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer with these headers."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data if self.command != "HEAD" else b"")

    def taken(self, *, keep: bool = False) -> bytes:
        """Read the body; gives it or nothing."""
        left, kept = int(self.headers.get("Content-Length", 0)), b""
        buffer = memoryview(bytearray(CHUNK))
        while left and (count := self.rfile.readinto(buffer[: min(left, CHUNK)])):
            kept += bytes(buffer[:count]) if keep else b""
            left -= count
        return kept

    def do_POST(self) -> None:
        """Begin or complete a multipart upload."""
        self.taken()
        key, asked = self.asked
        if "uploads" in asked:
            name = f"u{next(self.server.numbers)}"
            self.server.uploads[name] = Held(key, self.headers.get(UPLOAD, ""))
            told = f"<UploadId>{name}</UploadId>"
            self.answer(f"<InitiateMultipartUploadResult>{told}</InitiateMultipartUploadResult>")
            return
        self.server.objects[key] = self.server.uploads.pop(asked["uploadId"])
        self.answer("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>", x_amz_version_id="v")

    def do_PUT(self) -> None:
        """Take a part, or an object that comes whole."""
        key, asked = self.asked
        if "uploadId" not in asked:
            self.server.objects[key] = Held(key, "", body=self.taken(keep=True))
        else:
            self.taken()
            part = int(self.headers["Content-Length"]), self.headers.get(CHECKSUM, "")
            self.server.uploads[asked["uploadId"]].parts[int(asked["partNumber"])] = part
        self.answer(ETag='"e"')

    def do_GET(self) -> None:
        """List versions or parts, or give an object that came whole."""
        key, asked = self.asked
        if "versions" in asked:
            found = [each for name, each in sorted(self.server.objects.items()) if name.startswith(asked["prefix"])]
            listed = "".join(
                f"<Version><Key>{each.key}</Key><VersionId>v</VersionId><Size>{each.size}</Size></Version>"
                for each in found
            )
            self.answer(f"<ListVersionsResult><IsTruncated>false</IsTruncated>{listed}</ListVersionsResult>")
        elif "uploadId" in asked:
            parts = sorted(self.server.uploads[asked["uploadId"]].parts.items())
            listed = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>e</ETag><Size>{size}</Size>"
                f"<ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
                for number, (size, checksum) in parts
            )
            self.answer(f"<ListPartsResult><IsTruncated>false</IsTruncated>{listed}</ListPartsResult>")
        else:
            self.answer(self.server.objects[key].body)

    def do_HEAD(self) -> None:
        """Tell of an object."""
        found = self.server.objects.get(self.asked[0])
        if found is None:
            self.answer(status=404)
            return
        headers = {"Content-Length": str(found.size), UPLOAD: found.upload, CHECKSUM: found.checksum}
        self.answer(**headers)


@contextlib.contextmanager
def multipart_sink(certificate: Path, key: Path) -> Iterator[str]:
    """Run it in a process of its own; gives its URL."""
    with server_of("multipart_sink", certificate, key) as port:
        yield f"https://localhost:{port}"


def main(certificate: str, key: str) -> None:
    """Serve until standard input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Sink(context) as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        print(sink.server_port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
