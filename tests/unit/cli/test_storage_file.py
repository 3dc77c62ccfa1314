"""Files that say what an external audit storage shall be: what is written is read back, and all that is wrong told."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from extaudit_cli.storage_file import FileProblems, StorageFile, read_storage_file, storage_document, yaml_text
from extaudit_client import ConnectionTest, ExternalAuditStorage, Identity, StorageOptions, StorageSpec

from server.external_storage.regions import RegionRule
from server.external_storage.rules import Rules
from server.storage.spec import StorageOptions as DefaultOptions
from server.storage.spec import StorageSpec as SpecOfService
from tests.unit.external_storage.specs import ACCOUNT, SPEC, random_options, random_role, random_spec

FIELDS = asdict(SPEC)
WHO = Identity("user", "al\u202eice\n# x", "anchor", "0a")
NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
STORAGE = ExternalAuditStorage(
    "draft",
    StorageSpec(**FIELDS),
    StorageOptions("governance", 1460, "", 0, 1, 10**12),
    "ours",
    "r-1",
    "aws-0123456789abcdef",
    ACCOUNT,
    WHO,
    NOW,
    None,
    None,
    ConnectionTest("t-1", True, NOW, WHO, "arn:aws:iam::123456789012:role/x"),
)
TEXTS = [
    "", "null", "~", "yes", "1", "1.0", "2026-11-28", "a: b", "# x", " x ", "'", '"', "\n", "a\n---\nb", "<<", "*a",
    "&a", "ü\u202e\x85", "\U0001f512", "!x", "%x", "{x}", "[x]", "\t", "x" * 1024, "=", "|", ">", "\x7f",
]  # fmt: skip


def read(document: object) -> StorageFile:
    return read_storage_file(yaml.safe_dump(document).encode())


def problems(data: bytes | str | dict[str, Any]) -> list[str]:
    if isinstance(data, dict):
        data = yaml.safe_dump(data, sort_keys=False)
    with pytest.raises(FileProblems) as caught:
        read_storage_file(data.encode() if isinstance(data, str) else data)
    return [str(problem) for problem in caught.value.problems]


def resource(**parts: Any) -> dict[str, Any]:
    return {"kind": "external_audit_storage", "version": "v1", "metadata": {"name": "draft"}, "spec": FIELDS} | parts


def random_storage(chance: random.Random) -> ExternalAuditStorage:
    spec = random_spec(chance)
    options = random_options(chance, random_role(chance, spec.region), spec.region)
    members: dict[str, Any] = asdict(options) | {"object_lock_mode": options.object_lock_mode.value.lower()}
    description = chance.choice(TEXTS)
    return replace(
        STORAGE, spec=StorageSpec(**asdict(spec)), options=StorageOptions(**members), description=description
    )


@pytest.mark.parametrize("form", [yaml_text, json.dumps])
def test_what_is_shown_is_read_back_whole(form: Callable[[dict[str, Any]], str]) -> None:
    chance = random.Random(7)
    for _ in range(200):
        storage = random_storage(chance)
        text = form(storage_document(storage))
        assert text.isascii()
        assert "\u202e" not in text
        expected = StorageFile(storage.spec, storage.options, storage.description, "r-1")
        assert read_storage_file(text.encode()) == expected
        as_draft = form(storage_document(replace(storage, stage="cluster"), as_draft=True))
        assert read_storage_file(as_draft.encode()) == replace(expected, revision="")


@pytest.mark.parametrize("text", TEXTS)
def test_a_description_of_any_text_is_read_back(text: str) -> None:
    for form in (yaml_text, json.dumps):
        document = storage_document(replace(STORAGE, description=text))
        assert read_storage_file(form(document).encode()).description == text


FORMS: dict[str, dict[str, Any]] = {
    "the nine fields": FIELDS,
    "with all beside them": FIELDS | {"options": {"retention_days": 2000}, "description": "x", "revision": "r"},
    "Teleport's resource": resource(),
    "Teleport's with what it writes": resource(
        metadata={"name": "draft", "labels": {}, "expires": None, "namespace": ""}
    ),
    "with options": resource(options={"object_lock_mode": "COMPLIANCE", "object_lock_days": 1}),
    "with a status": resource(status={"anything": ["goes"]}),
    "without a version and name": {"kind": "external_audit_storage", "spec": FIELDS},
    "empty options": resource(options=None),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read(name: str) -> None:
    document = FORMS[name]
    found = read(document)
    assert asdict(found.spec) == FIELDS
    assert read_storage_file(json.dumps(document).encode()) == found
    given = document.get("options") or {}
    assert found.options.retention_days == given.get("retention_days", 0)
    assert found.options.object_lock_mode == given.get("object_lock_mode", "").lower()


WRONG: dict[str, tuple[Any, list[str]]] = {
    "nothing": ("", ["must have exactly one document"]),
    "two documents": ("a: b\n---\na: b\n", ["must have exactly one document"]),
    "a list": ("- a\n", ["1:1: the document must be a map", *(f"{name} must be given" for name in ())]),
    "not YAML": ("a: [", ["2:1: is not valid YAML"]),
    "not JSON": ('{"a": }', ["1:7: is not valid JSON"]),
    "not UTF-8": (b"a: \xff\n", ["1: is not UTF-8"]),
    "not UTF-8, JSON": (b'{"a": "\xff"}', ["is not UTF-8"]),
    "half a character, JSON": (
        '{"description": "\\ud800"}',
        ["has half of a character: a surrogate that is alone"],
    ),
    "a number of any length, JSON": (
        json.dumps(FIELDS | {"options": {"retention_days": 0}}).replace(": 0}", f": {'1' * 5000}}}"),
        ["options.retention_days must be a whole number"],
    ),
    "a number that is none, JSON": (
        json.dumps(FIELDS | {"options": {"retention_days": 0}}).replace(": 0}", ": 1e999}"),
        ["options.retention_days must be a whole number"],
    ),
    "twice the same key": ("region: a\nregion: b\n", ["2:1: has the key 'region' twice in one map"]),
    "twice the same key, JSON": ('{"region": "a", "region": "b"}', ["has the key 'region' twice in one map"]),
    "an alias": ("a: &x b\nc: *x\n", ["1:4: has an anchor"]),
    "a tag": ("a: !!python/object:x b\n", ["1:4: has an explicit tag"]),
    "too deep": ("{" + '"a":{' * 40 + "}" * 41, ["is nested deeper than 32 levels"]),
    "much too deep": ('{"a":' + "[" * 100_000, ["is nested deeper than 32 levels"]),
    "too large": (b"#" * 2_000_000, ["is larger than 1048576 bytes"]),
    "unknown fields": (
        FIELDS | {"glue_tables": "x", "x": 1},
        ["10:1: there is no field glue_tables", "11:1: there is no field x"],
    ),
    "unknown parts": (resource(extra=1), ["15:1: there is no field extra"]),
    "unknown in the spec": (resource(spec=FIELDS | {"bucket": "x"}), ["15:3: there is no field spec.bucket"]),
    "unknown in the metadata": (resource(metadata={"nam": "x"}), ["4:3: there is no field metadata.nam"]),
    "unknown in the options": (FIELDS | {"options": {"lock": 1}}, ["11:3: there is no field options.lock"]),
    "another kind": (resource(kind="role"), ["1:1: kind must be external_audit_storage"]),
    "another version": (resource(version="v2"), ["2:1: version must be v1"]),
    "the one in force": (
        resource(metadata={"name": "cluster"}),
        ["4:3: metadata.name must be draft: what is in force changes when another draft is promoted"],
    ),
    "labels": (resource(metadata={"labels": {"a": "b"}}), ["4:3: metadata.labels isn't kept; take it out"]),
    "no spec": ({"kind": "external_audit_storage"}, ["spec must be given"]),
    "a spec that is a text": (resource(spec="x"), ["5:7: spec must be a map"]),
    "a number as a name": (FIELDS | {"glue_table": 7}, ["8:13: glue_table must be a text; put it in quotes"]),
    "a boolean": (FIELDS | {"glue_table": True}, ["8:13: glue_table must be a text; put it in quotes"]),
    "a list as a name": (FIELDS | {"region": ["a"]}, ["3:1: region must be a text; put it in quotes"]),
    "a missing and an empty one": (
        {name: value for name, value in FIELDS.items() if name != "region"} | {"glue_table": ""},
        ["region must be given", "glue_table must be given"],
    ),
    "words as days": (
        FIELDS | {"options": {"object_lock_days": "many"}},
        ["11:21: options.object_lock_days must be a whole number"],
    ),
    "a negative": (FIELDS | {"options": {"results_days": -1}}, ["11:17: options.results_days must be a whole number"]),
    "a number in quotes": (
        FIELDS | {"options": {"results_days": "7"}},
        ["11:17: options.results_days must be a whole number"],
    ),
    "a fraction": (FIELDS | {"options": {"results_days": 1.5}}, ["11:17: options.results_days must be a whole number"]),
    "another mode": (
        FIELDS | {"options": {"object_lock_mode": "forever"}},
        ["11:3: options.object_lock_mode must be governance or compliance or none"],
    ),
    "everything at once": (
        FIELDS | {"x": 1, "region": 7, "glue_table": None, "options": {"y": 1, "results_days": "z"}},
        [
            "10:1: there is no field x",
            "2:9: region must be a text; put it in quotes",
            "glue_table must be given",
            "12:3: there is no field options.y",
            "13:17: options.results_days must be a whole number",
        ],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_everything_wrong_is_told_with_its_place(name: str) -> None:
    document, expected = WRONG[name]
    assert problems(document) == expected


def test_the_page_s_example_is_such_a_file() -> None:
    page = (Path(__file__).parents[3] / "docs" / "external-audit-storage.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    found = read_storage_file(example.encode())
    assert Rules(RegionRule()).violations(SpecOfService(**asdict(found.spec)), DefaultOptions()) == []
    assert (found.options.object_lock_mode, found.description) == ("governance", "production, for the auditors")


def test_json_says_the_same_without_places() -> None:
    document = FIELDS | {"x": 1, "region": 7, "options": {"results_days": True}}
    assert problems(json.dumps(document)) == [
        "there is no field x",
        "region must be a text; put it in quotes",
        "options.results_days must be a whole number",
    ]
