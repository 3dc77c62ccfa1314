"""Every RPC, every preset, both kinds of identity: no role, wrong role, allow, deny, allow-if."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from rbac.permissions import PERMISSIONS
from server.app import App
from server.config import GrpcSection
from tests.certificates_builder import CLUSTER, Ca, CaShape, Pair
from tests.e2e import permission_matrix as matrix
from tests.e2e.permission_matrix import BY_OBJECT, COMPONENTS, HEALTH, REFLECTION, USERS
from tests.running_app import running_app

METHODS = matrix.methods()
NAMES = {method: method.rpartition("/")[2] for method in METHODS}
ALL = set(NAMES.values())
ANYONE, ANY_ROLE = HEALTH, HEALTH | REFLECTION


class Callers:
    """Makes channels of callers whose certificates say whatever a test wants."""

    def __init__(self, app: App, host_ca: Ca, user_ca: Ca) -> None:
        self._app = app
        self._host_ca = host_ca
        self._user_ca = user_ca

    def refused(self, kind: str, *roles: str) -> set[str]:
        """The names of all RPCs that refuse this caller."""
        with self._channel(self._pair(kind, roles)) as channel:
            return {NAMES[m] for m, shape in METHODS.items() if matrix.is_refused(channel, m, shape)}

    def _pair(self, kind: str, roles: tuple[str, ...]) -> Pair:
        if kind == "user":
            return self._user_ca.user(roles=roles)
        return self._host_ca.component(role=roles[0]) if roles else self._host_ca.component(role="")

    @contextmanager
    def _channel(self, pair: Pair) -> Iterator[grpc.Channel]:
        root = Path(self._app.ready["ca"]).read_bytes()
        credentials = grpc.ssl_channel_credentials(root, pair.key_pem, pair.pem)
        with grpc.secure_channel(self._app.ready["grpc"], credentials) as channel:
            yield channel


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    folder = tmp_path_factory.mktemp("matrix")
    host_ca, user_ca = CaShape().make(), CaShape().make()
    (folder / "hosts.pem").write_bytes(host_ca.pem)
    (folder / "users.pem").write_bytes(user_ca.pem)
    roles = folder / "data" / "roles"
    roles.mkdir(parents=True, mode=0o700)
    roles.parent.chmod(0o700)
    (roles / "deny.yaml").write_text(matrix.DENY_ALL)
    (roles / "conditional.yaml").write_text(matrix.conditional_roles())
    section = GrpcSection("localhost:0", host_ca=(folder / "hosts.pem",), user_ca=(folder / "users.pem",))
    with running_app(folder / "data", grpc=section, cluster=CLUSTER) as app:
        yield Callers(app, host_ca, user_ca)


def test_every_rpc_has_its_row_and_every_row_its_rpc() -> None:
    assert set(METHODS) == set(PERMISSIONS)


def test_the_table_names_every_preset_and_no_rpc_that_is_not_there() -> None:
    assert set().union(*USERS.values(), *COMPONENTS.values()) | ANY_ROLE == ALL


@pytest.mark.parametrize("preset", USERS)
@pytest.mark.parametrize(
    "variant", ["allow", "unknown role", "component's role", "deny", "if-true", "if-false", "if-object"]
)
def test_a_user_may_call_what_the_table_says(callers: Callers, preset: str, variant: str) -> None:
    allowed = USERS[preset]
    roles, expected = {
        "allow": ([preset], allowed | ANY_ROLE),
        "unknown role": ([preset, "gone"], ANYONE),
        "component's role": ([preset, "Node"], ANYONE),
        "deny": ([preset, "deny-all"], ANY_ROLE),
        "if-true": ([f"{preset}-if-true"], allowed | ANY_ROLE),
        "if-false": ([f"{preset}-if-false"], ANY_ROLE),
        "if-object": ([f"{preset}-if-object"], (allowed & BY_OBJECT) | ANY_ROLE),
    }[variant]
    assert callers.refused("user", *roles) == ALL - expected


@pytest.mark.parametrize("role", COMPONENTS)
def test_a_component_may_record_and_a_user_with_its_role_nothing(callers: Callers, role: str) -> None:
    assert callers.refused("component", role) == ALL - (COMPONENTS[role] | ANY_ROLE)
    assert callers.refused("user", role) == ALL - ANYONE


@pytest.mark.parametrize("role", ["", "gone", "deny-all", "Admin", *USERS])
def test_a_component_with_any_other_role_may_call_nothing(callers: Callers, role: str) -> None:
    assert callers.refused("component", role) == ALL - ANYONE


def test_a_user_without_a_role_may_call_nothing_and_with_the_deny_role_alone_no_more(callers: Callers) -> None:
    assert callers.refused("user") == ALL - ANYONE
    assert callers.refused("user", "deny-all") == ALL - ANY_ROLE
    assert callers.refused("user", "gone") == ALL - ANYONE


def test_presets_add_up(callers: Callers) -> None:
    assert callers.refused("user", *USERS) == set()
