"""The configuration: read from its sources, checked as a whole, told to the command line and the documentation."""

from server.config.aws_sections import AthenaSection, AwsSection, ExternalStorageSection
from server.config.issuer_sections import IssuerSection
from server.config.loading import ConfigProblems, digest, load_config
from server.config.options import Option, options
from server.config.sections import (
    AlertsSection,
    Config,
    GrpcSection,
    HttpSection,
    JournalSection,
    LimitsSection,
    LogSection,
    RecordingsSection,
    ScrubSection,
    SearchSection,
    TokenIssuer,
    TracesSection,
)

__all__ = [
    "AlertsSection",
    "AthenaSection",
    "AwsSection",
    "Config",
    "ConfigProblems",
    "ExternalStorageSection",
    "GrpcSection",
    "HttpSection",
    "IssuerSection",
    "JournalSection",
    "LimitsSection",
    "LogSection",
    "Option",
    "RecordingsSection",
    "ScrubSection",
    "SearchSection",
    "TokenIssuer",
    "TracesSection",
    "digest",
    "load_config",
    "options",
]
