"""The settings of a store that is compatible with S3: what is weaker than in S3 itself."""

from __future__ import annotations

from typing import Final

from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Severity, Told

UNCONDITIONAL: Final = Fault(
    "store_writes_unconditional",
    Severity.WARNING,
    "The service looks before it writes to the store: what another program puts under the same name in between is "
    "written over, and nobody is told.",
    'Set `aws.s3_conditional_writes = "yes"` where the store knows `If-None-Match: *`: `extaudit storage test` shows '
    "whether it does. Else let nobody but the service write to its buckets.",
)
WEAK_CHECKSUMS: Final = Fault(
    "store_checksums_weak",
    Severity.WARNING,
    "Bodies are sent to the store with MD5, and it keeps no SHA-256: whether an object is what was stored is told by "
    "reading it alone.",
    'Set `aws.s3_checksums = "sha256"` where the store keeps it.',
)
NO_VERSIONS: Final = Fault(
    "store_versions_optional",
    Severity.WARNING,
    "Buckets need not keep versions: in one that doesn't, what others overwrite or delete is lost.",
    'Turn versions on and set `aws.s3_versioning = "required"` where the store has them. Else let nobody but the '
    "service write to its buckets, and copy them elsewhere.",
)

FAULTS: Final = (UNCONDITIONAL, WEAK_CHECKSUMS, NO_VERSIONS)


def check(at: DataAtHand) -> Told:
    """Tell of each setting that asks less of the store than S3 can do."""
    aws = at.config.aws
    place = aws.s3_endpoint or aws.endpoint or ""
    if aws.s3_conditional_writes == "no":
        yield UNCONDITIONAL.of("aws.s3_conditional_writes", place)
    if aws.s3_checksums != "sha256":
        yield WEAK_CHECKSUMS.of("aws.s3_checksums", place)
    if aws.s3_versioning != "required":
        yield NO_VERSIONS.of("aws.s3_versioning", place)
    yield Fact("store", place or "S3")
