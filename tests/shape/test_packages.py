"""The import names are ours alone, and the distribution ships all of them."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.shape.repository import PACKAGES, ROOT

OWN = {"extaudit", "extaudit-client"}


@pytest.mark.parametrize("name", PACKAGES)
def test_an_import_name_resolves_inside_the_repository(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve().parent == PACKAGES[name]


def test_no_other_installed_distribution_ships_an_import_name_of_ours() -> None:
    owners = metadata.packages_distributions()
    foreign = {name: set(owners.get(name, [])) - OWN for name in PACKAGES}
    assert {name: others for name, others in foreign.items() if others} == {}


def test_exactly_one_distribution_ships_casbin() -> None:
    # `casbin` is the old name of `pycasbin`; both write the same folder, and installing both breaks each.
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in metadata.packages_distributions()["casbin"]}
    assert installed == {"pycasbin"}


def test_every_package_is_in_exactly_one_of_the_two_distributions() -> None:
    listed = [name for project in projects() for name in project["tool"]["setuptools"]["packages"]]
    present = [
        ".".join([name, *path.relative_to(folder).parts])
        for name, folder in PACKAGES.items()
        for path in {path.parent for path in folder.rglob("*.py")}
    ]
    assert sorted(listed) == sorted(present)


def test_the_sandbox_is_not_shipped_and_shares_nothing_with_what_it_judges() -> None:
    listed = [name for project in projects() for name in project["tool"]["setuptools"]["packages"]]
    assert not [name for name in listed if name.split(".")[0] == "tests"]
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/runtime.txt").read_text(), re.M)
    assert not {"moto", "flask", "sqlglot"} & set(pinned)
    for_tests = {"athena_account.py", "conftest.py", "refusing.py", "token_issuer.py"}
    for path in (ROOT / "tests/sandbox").glob("*.py"):
        if path.name not in for_tests and not path.name.startswith("test_"):
            taken = re.findall(r"^(?:from|import) ([\w.]+)", path.read_text(), re.M)
            own = [name for name in taken if name.split(".")[0] in {"tests", *PACKAGES}]
            assert [name for name in own if not name.startswith("tests.sandbox.")] in ([], ["tests.sandbox"]), path


def test_the_service_requires_the_client_of_its_own_version() -> None:
    service, client = (project["project"] for project in projects())
    assert service["version"] == client["version"]
    assert f"{client['name']} == {client['version']}" in (ROOT / "requirements/own.in").read_text().splitlines()


def test_the_client_needs_nothing_that_the_service_does_not_pin() -> None:
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/runtime.txt").read_text(), re.M)
    assert set(projects()[1]["project"]["dependencies"]) <= set(pinned)


def projects() -> list[dict[str, Any]]:
    return [tomllib.loads((ROOT / folder / "pyproject.toml").read_text()) for folder in ("", "clients/python")]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_folder_of_code_is_a_package(name: str) -> None:
    folders = {path.parent for path in PACKAGES[name].rglob("*.py")}
    assert [folder.relative_to(ROOT) for folder in folders if not (folder / "__init__.py").exists()] == []
