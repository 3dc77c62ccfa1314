"""The import names are ours alone, and the distribution ships all of them."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.shape.repository import PACKAGES, ROOT


@pytest.mark.parametrize("name", PACKAGES)
def test_an_import_name_resolves_inside_the_repository(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve().parent == PACKAGES[name]


def test_no_other_installed_distribution_ships_an_import_name_of_ours() -> None:
    owners = metadata.packages_distributions()
    foreign = {name: set(owners.get(name, [])) - {"extaudit"} for name in PACKAGES}
    assert {name: others for name, others in foreign.items() if others} == {}


def test_exactly_one_distribution_ships_casbin() -> None:
    # `casbin` is the old name of `pycasbin`; both write the same folder, and installing both breaks each.
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in metadata.packages_distributions()["casbin"]}
    assert installed == {"pycasbin"}


def test_the_distribution_lists_every_package() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {
        ".".join([name, *path.parent.relative_to(folder).parts])
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*.py")
    }
    assert present == listed


@pytest.mark.parametrize("name", PACKAGES)
def test_every_folder_of_code_is_a_package(name: str) -> None:
    folders = {path.parent for path in PACKAGES[name].rglob("*.py")}
    assert [folder.relative_to(ROOT) for folder in folders if not (folder / "__init__.py").exists()] == []
