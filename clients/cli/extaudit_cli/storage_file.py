"""The file that says what an external audit storage shall be: written by `storage show`, read by `storage apply`.

It is Teleport's form of the resource (kind, version, metadata, spec) with `options` and `status` beside it, in YAML or
JSON; or the nine fields by themselves, with `options`, `description` and `revision` beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from extaudit_cli.event_json import jsonable
from extaudit_cli.storage_nodes import Problem, Reader, parse_document

if TYPE_CHECKING:
    from extaudit_client import ExternalAuditStorage, StorageOptions, StorageSpec

KIND: Final = "external_audit_storage"
VERSION: Final = "v1"
MAX_BYTES: Final = 1024 * 1024
SPEC_FIELDS: Final = (
    "integration_name",
    "region",
    "session_recordings_uri",
    "audit_events_long_term_uri",
    "athena_results_uri",
    "athena_workgroup",
    "glue_database",
    "glue_table",
    "policy_name",
)
LOCK_MODES: Final = ("governance", "compliance", "none")
_NUMBERS: Final = ("object_lock_days", "retention_days", "results_days", "scan_limit_bytes")
_RESOURCE: Final = ("kind", "version", "metadata", "spec", "options", "status")


@dataclass(frozen=True, slots=True)
class StorageFile:
    """What a file asks for; `revision` is '' where it names none."""

    spec: StorageSpec
    options: StorageOptions
    description: str
    revision: str


class FileProblems(Exception):
    """Everything wrong with a file."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def read_storage_file(data: bytes) -> StorageFile:
    """Read a file.

    Raises:
        FileProblems: with everything wrong with it, but for what the service's own rules say.
    """
    from extaudit_client import StorageOptions, StorageSpec

    if len(data) > MAX_BYTES:
        raise FileProblems([Problem(f"is larger than {MAX_BYTES} bytes")])
    problems: list[Problem] = []
    top = Reader(parse_document(data, problems), "", problems)
    metadata: Mapping[str, str]
    if top.has("kind") or top.has("spec") or top.has("metadata"):
        top.only(_RESOURCE)
        top.exactly("kind", (KIND,), needed=True)
        top.exactly("version", (VERSION,))
        metadata = _metadata(top.map("metadata"))
        fields = top.map("spec", needed=True)
        fields.only(SPEC_FIELDS)
    else:
        fields = top
        fields.only((*SPEC_FIELDS, "options", "description", "revision", "status"))
        metadata = {name: fields.text(name) for name in ("description", "revision")}
    spec = StorageSpec(**{name: fields.text(name, needed=True) for name in SPEC_FIELDS})
    options = StorageOptions(**_options(top.map("options")))
    if problems:
        raise FileProblems(problems)
    return StorageFile(spec, options, metadata["description"], metadata["revision"])


def storage_document(storage: ExternalAuditStorage, *, as_draft: bool = False) -> dict[str, Any]:
    """A draft, or the storage in force, as the document that a file holds; `as_draft` makes a new draft of it."""
    metadata = {"name": "draft" if as_draft else storage.stage, "description": storage.description}
    document = {"kind": KIND, "version": VERSION, "metadata": metadata}
    document |= {"spec": asdict(storage.spec), "options": asdict(storage.options)}
    if as_draft:
        return document
    metadata["revision"] = storage.revision
    known = {"stage", "spec", "options", "description", "revision"}
    status = {name: value for name, value in asdict(storage).items() if name not in known and value is not None}
    return document | {"status": jsonable(status)}


def yaml_text(document: Mapping[str, Any]) -> str:
    """A document as YAML of ASCII alone, so that any terminal can show it."""
    import yaml

    return str(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, allow_unicode=False, width=120))


def _metadata(reader: Reader) -> Mapping[str, str]:
    reader.only(("name", "description", "revision", "labels", "expires", "namespace"))
    reader.exactly("name", ("draft",), "must be draft: what is in force changes when another draft is promoted")
    for name in ("labels", "expires"):
        reader.absent(name, "isn't kept; take it out")
    reader.exactly("namespace", ("default", ""))
    return {name: reader.text(name) for name in ("description", "revision")}


def _options(reader: Reader) -> dict[str, Any]:
    reader.only(("object_lock_mode", "kms_key_arn", *_NUMBERS))
    numbers: dict[str, Any] = {name: reader.number(name) for name in _NUMBERS}
    mode = reader.exactly("object_lock_mode", LOCK_MODES, folded=True)
    return numbers | {"object_lock_mode": mode, "kms_key_arn": reader.text("kms_key_arn")}
