"""The settings of how AWS is reached. They are the only place that addresses of AWS come from."""

from __future__ import annotations

# ruff: noqa: RUF009 -- setting() makes a field() description, nothing that instances could share.
from dataclasses import dataclass
from pathlib import Path

from server.config.fields import REGION, URL, Form, setting

_REGION = Form(REGION, "an AWS region, such as `eu-central-1`")
_REGIONS = Form(rf"\*|{REGION}(,{REGION})*", "AWS regions with commas between them, or `*`")


@dataclass(frozen=True, slots=True)
class AwsSection:
    """How AWS is reached, for those who go through endpoints, proxies or CAs of their own.

    Credentials aren't among them: the service gets its own, by web identity, for the role of an integration. No
    variable `AWS_…`, profile, file of AWS's tools or metadata service counts, nor does `HTTPS_PROXY`.
    """

    endpoint: str | None = setting(
        None,
        "Where every service of AWS is called; `https://HOST`, or http on loopback.",
        form=URL,
        shown="AWS's own of the storage's region",
    )
    s3_endpoint: str | None = setting(
        None, "Where S3 is called; it goes before `aws.endpoint`.", form=URL, shown="as `aws.endpoint`"
    )
    s3_path_style: str = setting(
        "auto",
        "Whether buckets are named in the path of S3's URLs, and not in the host: `auto` does so for endpoints that "
        "are an address, and for buckets whose names don't fit a host.",
        choices=("auto", "always", "never"),
    )
    s3_conditional_writes: str = setting(
        "yes",
        "Whether S3 refuses to make an object where there is one (`If-None-Match: *`). AWS does. With `no`, for a "
        "store that doesn't, the service looks before it writes; what others write in that moment may be overwritten.",
        choices=("yes", "no"),
    )
    s3_checksums: str = setting(
        "sha256",
        "What S3 checks bodies by. AWS keeps and gives back `sha256`. For a store that doesn't, `md5` is sent with "
        "each, and what a recording has become is read again whole before the local copy goes.",
        choices=("sha256", "md5"),
    )
    s3_versioning: str = setting(
        "required",
        "Whether recordings go into versioned buckets alone. `optional` is for a store of another maker that has no "
        "versions, and so asks for `aws.s3_endpoint`: what is overwritten or deleted there by others is lost.",
        choices=("required", "optional"),
    )
    ca: Path | None = setting(
        None, "CAs that AWS's servers are checked against.", unit="PEM file", shown="those that come with botocore"
    )
    proxy: str | None = setting(
        None, "HTTP proxy that AWS is reached through: `http://HOST:PORT`.", form=URL, shown="none"
    )
    connect_timeout_seconds: float = setting(
        5.0, "How long a connection may take to come about.", unit="seconds", low=0.1, high=60.0
    )
    read_timeout_seconds: float = setting(
        30.0, "How long nothing may come on a connection.", unit="seconds", low=0.1, high=600.0
    )
    attempts: int = setting(
        4, "How often a call is sent at most; the pauses between are AWS's standard ones.", unit="times", low=1, high=10
    )
    workers: int = setting(
        8,
        "Threads that fetch objects of one storage in S3, and connections that are kept to each service.",
        unit="threads",
        low=1,
        high=128,
    )


@dataclass(frozen=True, slots=True)
class AthenaSection:
    """When searches of an External Audit Storage ask Amazon Athena, and how much of it they may have.

    AWS bills what queries read, in the account of the storage.
    """

    scan_bytes: int = setting(
        1024**3,
        "Searches whose engine the service chooses ask Athena where the objects of the time asked for have more bytes "
        "than this; else they are fetched and read here. `external_storage.cache_bytes` bounds it as well.",
        unit="bytes",
        low=0,
        high=100 * 1024**4,
    )
    queries: int = setting(
        5,
        "Queries that run at once; others wait, and each caller's are served in turn. One that nobody waits for any "
        "more counts until it ends.",
        low=1,
        high=200,
    )
    budget_bytes: int = setting(
        1024**4,
        "What the queries of one identity may have Athena read within `athena.budget_seconds`; 0 is no bound. The last "
        "query may go beyond it.",
        unit="bytes",
        low=0,
        high=1024**6,
    )
    budget_seconds: float = setting(
        86_400.0, "The time that `athena.budget_bytes` is for.", unit="seconds", low=1.0, high=2_678_400.0
    )


@dataclass(frozen=True, slots=True)
class ExternalStorageSection:
    """Where an External Audit Storage may be, and how much of it is kept here for searches."""

    region: str | None = setting(
        None,
        "The service's own AWS region: an External Audit Storage must be in it, and a generated draft is.",
        form=_REGION,
        shown="none: any region will do",
    )
    other_regions: str | None = setting(
        None,
        "Regions that are allowed beside `external_storage.region`, with commas between them; `*` allows all.",
        form=_REGIONS,
        shown="none",
    )
    cache_bytes: int = setting(
        10 * 1024**3,
        "Objects of External Audit Storages that are kept in the data directory, so that searches read them here: what "
        "was delivered or fetched last. What is being read may go beyond it.",
        unit="bytes",
        low=64 * 1024**2,
        high=100 * 1024**4,
    )
    batches_at_once: int = setting(
        4,
        "Batches whose objects are sent at once to one External Audit Storage. While it fails, one is.",
        low=1,
        high=32,
    )
    longest_pause_seconds: float = setting(
        30.0,
        "Attempts to deliver to an External Audit Storage that fails have pauses between them, which grow up to this.",
        unit="seconds",
        low=0.5,
        high=3600.0,
    )
