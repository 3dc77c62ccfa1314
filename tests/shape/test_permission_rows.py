"""Every method of the contract has a permission row, and no row is of a method that isn't there."""

from __future__ import annotations

import importlib
import pkgutil

import extaudit.v1
from google.protobuf.descriptor import FileDescriptor

from rbac.permissions import PERMISSIONS

PREFIX = "/extaudit.v1."


def contract_files() -> list[FileDescriptor]:
    names = [module.name for module in pkgutil.iter_modules(extaudit.v1.__path__) if module.name.endswith("_pb2")]
    return [importlib.import_module(f"extaudit.v1.{name}").DESCRIPTOR for name in names]


def contract_methods() -> set[str]:
    return {
        f"/{service.full_name}/{method.name}"
        for file in contract_files()
        for service in file.services_by_name.values()
        for method in service.methods
    }


def test_the_contract_has_methods() -> None:
    assert f"{PREFIX}AuditLogService/EmitEvent" in contract_methods()


def test_every_method_has_a_permission_row() -> None:
    assert contract_methods() - set(PERMISSIONS) == set()


def test_every_row_is_of_a_method() -> None:
    assert {method for method in PERMISSIONS if method.startswith(PREFIX)} - contract_methods() == set()
