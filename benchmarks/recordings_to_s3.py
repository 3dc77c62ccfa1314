"""A recording on its way to S3 beside a bare boto3 upload; `python -m benchmarks.recordings_to_s3` prints a JSON line.

The same bytes go to the same store, which throws them away as they come by https (`multipart_sink.py`): once through
the service, from the first byte over mTLS until CompleteUpload answers (spooled, synced, hashed, sent as parts with
their SHA-256, completed and compared), and once from memory by boto3, in parts as large, as many at once, with no
checksum. Rounds alternate, and the medians are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from extaudit_client import Client
from extaudit_client.files import find_connection

from benchmarks.emit import settle
from benchmarks.multipart_sink import multipart_sink
from benchmarks.recordings import Ready, load
from benchmarks.sink_service import SENDERS

ROUNDS = 5
MEBIBYTES = 512
PART_MIB = 8
MIB = 1024 * 1024


@contextlib.contextmanager
def sink_service(folder: Path) -> Iterator[tuple[Ready, subprocess.Popen[str]]]:
    """The service on a fresh data directory, and its process."""
    data = folder / "data"
    command = [sys.executable, "-m", "benchmarks.sink_service", str(data)]
    # What it logs is that nothing can be read again from the store, whose recordings it would index.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        while not (data / "ready.json").exists():
            if process.poll() is not None:
                raise RuntimeError("the service did not start")
            time.sleep(0.05)
        try:
            yield json.loads((data / "ready.json").read_text()), process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def ours(client: Client, ready: Ready) -> float:
    """Seconds through the service."""
    speed, upload_id = load("upload", ready["grpc"], ready, MEBIBYTES, str(uuid.uuid4()))
    started = time.perf_counter()
    client.recordings.complete(upload_id)
    return MEBIBYTES / speed + time.perf_counter() - started


def bare(s3: Any, data: bytes) -> float:
    """Seconds by boto3 alone."""
    key, view = str(uuid.uuid4()), memoryview(data)
    started = time.perf_counter()
    upload = s3.create_multipart_upload(Bucket="sink", Key=key)["UploadId"]

    def send(number: int) -> dict[str, Any]:
        body = bytes(view[(number - 1) * PART_MIB * MIB : number * PART_MIB * MIB])
        sent = s3.upload_part(Bucket="sink", Key=key, UploadId=upload, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": sent["ETag"]}

    with ThreadPoolExecutor(SENDERS) as threads:
        parts = list(threads.map(send, range(1, MEBIBYTES // PART_MIB + 1)))
    s3.complete_multipart_upload(Bucket="sink", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    return time.perf_counter() - started


def measure(folder: Path) -> dict[str, object]:
    """The figure."""
    with sink_service(folder) as (ready, process), Client(find_connection({}, folder / "data")) as client:
        identity = Path(ready["ca"]).parent
        with multipart_sink(identity / "server.crt", identity / "server.key") as url:
            assert process.stdin is not None
            assert process.stdout is not None
            print(url, file=process.stdin, flush=True)
            process.stdout.readline()
            s3 = boto3.client(
                "s3",
                region_name="us-west-2",
                endpoint_url=url,
                aws_access_key_id="key",
                aws_secret_access_key="secret",
                verify=ready["ca"],
                config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
            )
            data = os.urandom(MIB) * MEBIBYTES
            seconds: dict[str, list[float]] = {"ours": [], "bare": []}
            for _ in range(ROUNDS):
                seconds["ours"].append(ours(client, ready))
                settle(ready)
                seconds["bare"].append(bare(s3, data))
    medians = {name: MEBIBYTES / statistics.median(each) for name, each in seconds.items()}
    ratio = medians["ours"] / medians["bare"]
    return {
        "name": f"recording of {MEBIBYTES} MiB to S3",
        "ours_mib_per_s": round(medians["ours"]),
        "bare_boto3_mib_per_s": round(medians["bare"]),
        "rounds_mib_per_s": [round(MEBIBYTES / each) for each in seconds["ours"]],
        "ratio": round(ratio, 2),
        "target": ">= 0.5",
        "met": ratio >= 0.5,
    }


def main() -> None:
    """Print the figure as a JSON line."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        print(json.dumps(measure(Path(name))), flush=True)


if __name__ == "__main__":
    main()
