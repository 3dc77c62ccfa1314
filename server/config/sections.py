"""The settings: one frozen dataclass a section, each field with its default, its meaning, its unit and its bounds.

What a value must be on its own stands here, beside its field. Reading the sources is in `loading`, rules over several
fields or over files are in `rules`.
"""

from __future__ import annotations

# ruff: noqa: RUF009 -- setting() makes a field() description, nothing that instances could share.
from dataclasses import MISSING, dataclass, field
from pathlib import Path

from server.config.aws_sections import AthenaSection, AwsSection, ExternalStorageSection
from server.config.fields import CLUSTER, GIB, KIB, MESSAGE_OVERHEAD_BYTES, MIB, URL, setting, tables, word
from server.config.issuer_sections import IssuerSection


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """An issuer whose tokens are accepted on the token listener; each has a table of its own.

    Its tokens make users only. Roles come from `roles_claim` as they are; a token without that claim is refused.
    """

    issuer: str = setting(
        MISSING,
        "Exactly what its tokens name in `iss`: an https URL, or http on loopback, and never the service's own issuer.",
        form=URL,
        shown="must be given",
    )
    audience: str = setting(
        MISSING, "What its tokens must name in `aud`, exactly.", form=word(200), shown="must be given"
    )
    jwks_url: str | None = setting(
        None,
        "Where its keys are fetched; an https URL, or http on loopback. This or `jwks_file`.",
        form=word(1000),
        shown="none",
    )
    jwks_ca: Path | None = setting(
        None, "CAs that the server of `jwks_url` is checked against.", unit="PEM file", shown="those of the system"
    )
    jwks_file: Path | None = setting(
        None, "Its keys; read again when it changes. This or `jwks_url`.", unit="JWKS file", shown="none"
    )
    user_claim: str = setting("sub", "Claim that is the user's name.")
    roles_claim: tuple[str, ...] = setting(
        ("roles",),
        "Claim that lists the user's roles; a list of names is a way into nested claims.",
        shown='`["roles"]`',
    )
    traits_claims: tuple[str, ...] = setting((), "Claims that become traits of the same names.", shown="`[]`")


@dataclass(frozen=True, slots=True)
class GrpcSection:
    """The gRPC listeners: one always asks for a client certificate, the other, off by default, for a token.

    Nothing here turns that off.
    """

    listen: str = setting(
        "127.0.0.1:9443", "Address of the gRPC listener; port 0 takes any free port.", unit="host:port"
    )
    certificate: Path | None = setting(
        None, "Server certificate with its chain; needs `grpc.key`.", unit="PEM file", shown="the local one"
    )
    key: Path | None = setting(None, "Private key of the server certificate.", unit="PEM file", shown="the local one")
    host_ca: tuple[Path, ...] = setting(
        (),
        "CAs that vouch for components. Once CAs are configured, the local ones are trusted no more.",
        unit="PEM files",
        shown="the local one",
    )
    user_ca: tuple[Path, ...] = setting(
        (),
        "CAs that vouch for users. Once CAs are configured, the local ones are trusted no more.",
        unit="PEM files",
        shown="the local one",
    )
    token_listen: str | None = setting(
        None,
        "Address of the gRPC listener for bearer tokens, with the same server certificate; port 0 takes any free port.",
        unit="host:port",
        shown="none: no token is accepted",
    )
    token_skew_seconds: float = setting(
        30.0, "How far the clocks of token issuers may be off.", unit="seconds", low=0.0, high=300.0
    )
    token_issuers: tuple[TokenIssuer, ...] = tables(TokenIssuer, "Issuers whose tokens are accepted; at most 16.")
    max_event_bytes: int = setting(2 * MIB, "Largest event that is taken.", unit="bytes", low=64 * KIB, high=16 * MIB)
    max_message_bytes: int | None = setting(
        None,
        "Largest request message; at least `grpc.max_event_bytes` + 65536.",
        unit="bytes",
        low=128 * KIB,
        high=64 * MIB,
        shown="8388608 (8 MiB), or `grpc.max_event_bytes` + 65536 if that is more",
    )
    max_concurrent_calls: int = setting(
        1_000, "Calls served at once; those beyond it are refused as overload.", unit="calls", low=1, high=100_000
    )

    @property
    def message_bytes(self) -> int:
        """The largest request message in effect."""
        if self.max_message_bytes is not None:
            return self.max_message_bytes
        return max(8 * MIB, self.max_event_bytes + MESSAGE_OVERHEAD_BYTES)


@dataclass(frozen=True, slots=True)
class HttpSection:
    """The operations listener: /healthz, /readyz and /metrics, and the public one: the issuer's two documents.

    Off loopback each needs a certificate.
    """

    listen: str = setting(
        "127.0.0.1:9180", "Address of the operations listener; port 0 takes any free port.", unit="host:port"
    )
    certificate: Path | None = setting(
        None, "Server certificate with its chain; needed off loopback.", unit="PEM file", shown="none: plain HTTP"
    )
    key: Path | None = setting(None, "Private key of that certificate.", unit="PEM file", shown="none: plain HTTP")
    public_listen: str | None = setting(
        None,
        "Address of the public listener, which has the issuer's two documents and nothing else; AWS must reach them at "
        "`issuer_url` by https. Port 0 takes any free port.",
        unit="host:port",
        shown="none: they are published by others",
    )
    public_certificate: Path | None = setting(
        None,
        "Its certificate with its chain; needed off loopback. Read again when it changes.",
        unit="PEM file",
        shown="none: plain HTTP",
    )
    public_key: Path | None = setting(
        None, "Private key of that certificate.", unit="PEM file", shown="none: plain HTTP"
    )


@dataclass(frozen=True, slots=True)
class JournalSection:
    """The local log that an event is in before it is acknowledged, and how it is cut into batches."""

    quota_bytes: int = setting(
        512 * MIB,
        "Size of the journal at which the intake closes; what it holds is in memory too, for searches.",
        unit="bytes",
        low=MIB,
        high=64 * GIB,
        reload=True,
    )
    disk_floor_bytes: int = setting(
        512 * MIB, "Free disk space below which the intake closes.", unit="bytes", low=MIB, high=1024 * GIB, reload=True
    )
    cut_events: int = setting(
        20_000, "Events at which a batch is closed.", unit="events", low=1, high=1_000_000, reload=True
    )
    cut_bytes: int = setting(
        16 * MIB, "Size of JSON at which a batch is closed.", unit="bytes", low=KIB, high=GIB, reload=True
    )
    cut_age_seconds: float = setting(
        900.0,
        "Age of its oldest event at which a batch is closed.",
        unit="seconds",
        low=0.1,
        high=86_400.0,
        reload=True,
    )
    cut_dates: int = setting(
        100, "UTC dates of events at which a batch is closed.", unit="dates", low=1, high=1_000, reload=True
    )
    known_uids_minimum: int = setting(
        1_000_000, "Latest uids that a retry is always recognised by.", unit="uids", low=1_000, high=50_000_000
    )
    known_uids_bound: int = setting(
        2_000_000,
        "Most uids remembered at all; at least `journal.known_uids_minimum`.",
        unit="uids",
        low=1_000,
        high=50_000_000,
    )
    known_uids_hours: float = setting(
        24.0, "Age up to which all uids are remembered, as far as the bound lets.", unit="hours", low=0.0, high=720.0
    )
    max_pending_bytes: int = setting(
        64 * MIB,
        "Bytes of events that may wait for a commit; calls beyond it are refused as overload.",
        unit="bytes",
        low=64 * KIB,
        high=4 * GIB,
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class SearchSection:
    """What searches may use."""

    workers: int = setting(2, "Searches that run at once; others wait.", unit="threads", low=1, high=64)
    threads: int = setting(2, "Threads of the scan engine.", unit="threads", low=1, high=64)
    memory_bytes: int = setting(192 * MIB, "Memory of the scan engine.", unit="bytes", low=32 * MIB, high=1024 * GIB)
    time_limit_seconds: float = setting(
        30.0, "Longest that one search may run; its answer then says what is missing.", unit="seconds",
        low=0.1, high=600.0, reload=True)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScrubSection:
    """The walk in the background that looks whether everything stored is still there, byte for byte."""

    period_seconds: float = setting(
        604_800.0,
        "In which every stored object is read once; existence and sizes are looked at once an hour as well.",
        unit="seconds",
        low=0.1,
        high=31_536_000.0,
    )
    max_bytes_per_second: int = setting(
        16 * MIB,
        "Fastest that it reads; a storage too large for that takes longer than the period.",
        unit="bytes",
        low=64 * KIB,
        high=16 * GIB,
    )


@dataclass(frozen=True, slots=True)
class AlertsSection:
    """Alerts of storages that fail too often; see alerts.md."""

    period_seconds: float = setting(
        30.0,
        "Between two looks at what was counted, which raise alerts and clear them.",
        unit="seconds",
        low=0.05,
        high=3600.0,
    )


@dataclass(frozen=True, slots=True)
class RecordingsSection:
    """Recordings of sessions, and the uploads that become recordings."""

    max_bytes: int = setting(
        64 * GIB, "Largest recording that is taken.", unit="bytes", low=MIB, high=400 * GIB, reload=True
    )
    abandoned_after_seconds: float = setting(
        86_400.0,
        "How long nobody may go on with an open upload before it counts as abandoned; it stays open all the same.",
        unit="seconds",
        low=1.0,
        high=31_536_000.0,
        reload=True,
    )
    open_uploads: int = setting(
        10_000, "Uploads that may be open at once.", unit="uploads", low=1, high=1_000_000, reload=True
    )
    open_uploads_of_identity: int = setting(
        1_000, "Uploads that one identity may have open at once.", unit="uploads", low=1, high=1_000_000, reload=True
    )
    disk_floor_bytes: int | None = setting(
        None,
        "Free disk space below which no recording is taken; more than `journal.disk_floor_bytes`, so that recordings "
        "never close the intake of events.",
        unit="bytes",
        low=MIB,
        high=1024 * GIB,
        shown="twice `journal.disk_floor_bytes`",
        reload=True,
    )
    workers: int = setting(
        4, "Threads that write, check and read recordings on this machine.", unit="threads", low=1, high=64
    )


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """What each identity may take; beyond it calls are refused with RESOURCE_EXHAUSTED and when to try again.

    Health is not limited by them. A second's worth of a rate may come at once.
    """

    calls_per_second: int | None = setting(
        10_000,
        "Calls that one identity may begin a second, streams included.",
        unit="calls",
        low=1,
        high=1_000_000,
        reload=True,
    )
    events_per_second: int | None = setting(
        None,
        "Events that one identity may emit a second.",
        unit="events",
        low=1,
        high=100_000_000,
        shown="no limit",
        reload=True,
    )
    concurrent_calls: int | None = setting(
        500,
        "Calls that one identity may have under way, streams apart.",
        unit="calls",
        low=1,
        high=100_000,
        reload=True,
    )
    concurrent_streams: int | None = setting(
        200,
        "Streams that one identity may have open, of requests or of answers.",
        unit="streams",
        low=1,
        high=100_000,
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class LogSection:
    """What is logged to standard error."""

    level: str = setting(
        "info", "Least severe level that is logged.", choices=("debug", "info", "warning", "error"), reload=True
    )
    format: str = setting("json", "One JSON object a line, or text for people.", choices=("json", "text"), reload=True)


@dataclass(frozen=True, slots=True)
class TracesSection:
    """Traces of calls by OpenTelemetry, off by default; they need the packages of `requirements/tracing.txt`.

    A span has the method, the kind of caller, the status and the call's id: no names, no filters, nothing of events.
    """

    endpoint: str | None = setting(
        None,
        "Collector that takes OTLP by gRPC: `https://HOST:PORT`, or `http://HOST:PORT` on loopback.",
        form=URL,
        shown="none: traces are off",
    )
    ca: Path | None = setting(
        None, "CAs that the collector is checked against.", unit="PEM file", shown="those that come with gRPC"
    )
    ratio: float = setting(0.01, "Share of calls that are traced.", low=0.0, high=1.0)
    sampling: str = setting(
        "ratio",
        "What decides: `ratio` alone, whatever callers send, or `caller` as well, whose calls are traced where their "
        "`traceparent` says so. In both, a traced call belongs to the trace that its caller names.",
        choices=("ratio", "caller"),
    )
    service_name: str = setting("extaudit", "`service.name` of the traces.", form=word(100))


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. No field holds a secret: keys are named by their files."""

    data_dir: Path = setting(Path("data"), "Folder of everything the service keeps.", unit="folder", shown="./data")
    cluster_name: str = setting(
        "extaudit.local",
        "Cluster that client certificates must be of; 1 to 253 characters of `a-z`, `0-9`, `.` and `-`.",
        form=CLUSTER,
    )
    roles_dir: Path | None = setting(
        None,
        "Folder of role files beside the presets; a folder that is named must be there.",
        unit="folder",
        shown="`<data-dir>/roles`",
    )
    ready_file: Path | None = setting(
        None, "File that gets addresses and pid as JSON once calls are served.", unit="file",
        shown="`<data-dir>/ready.json`",
    )  # fmt: skip
    issuer_url: str | None = setting(
        None,
        "URL of the service's own OIDC issuer, for AWS; its tokens are never accepted as a caller's. An https URL, or "
        "http on loopback, without query and fragment.",
        form=URL,
        shown="none: no token is issued",
    )
    grpc: GrpcSection = field(default_factory=GrpcSection)
    http: HttpSection = field(default_factory=HttpSection)
    issuer: IssuerSection = field(default_factory=IssuerSection)
    journal: JournalSection = field(default_factory=JournalSection)
    search: SearchSection = field(default_factory=SearchSection)
    scrub: ScrubSection = field(default_factory=ScrubSection)
    alerts: AlertsSection = field(default_factory=AlertsSection)
    recordings: RecordingsSection = field(default_factory=RecordingsSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    log: LogSection = field(default_factory=LogSection)
    traces: TracesSection = field(default_factory=TracesSection)
    aws: AwsSection = field(default_factory=AwsSection)
    athena: AthenaSection = field(default_factory=AthenaSection)
    external_storage: ExternalStorageSection = field(default_factory=ExternalStorageSection)
