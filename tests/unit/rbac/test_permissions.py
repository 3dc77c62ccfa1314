import pytest

from rbac.formulas import ALWAYS
from rbac.identities import SERVICE, Identity, IdentityKind
from rbac.kinds import KINDS
from rbac.permissions import PERMISSIONS, Permission
from rbac.policy import Policy, load_policy_folder
from rbac.roles import Role, Rule

EMIT = "/extaudit.v1.AuditLogService/EmitEvent"
EMIT_STREAM = "/extaudit.v1.AuditLogService/EmitEvents"
SEARCH = "/extaudit.v1.AuditLogService/SearchEvents"
WATCH = "/extaudit.v1.AuditLogService/WatchEvents"
GET = "/extaudit.v1.AuditLogService/GetEvent"
CHUNKS = "/extaudit.v1.AuditLogService/ListEventChunks"
EXPORT = "/extaudit.v1.AuditLogService/ExportEvents"
STATUS = "/extaudit.v1.StatusService/GetStatus"
ROLES = "/extaudit.v1.AccessService/ListRoles"
CHECK = "/extaudit.v1.AccessService/CheckAccess"
CREATE_LOCK = "/extaudit.v1.AccessService/CreateLock"
LIST_LOCKS = "/extaudit.v1.AccessService/ListLocks"
DELETE_LOCK = "/extaudit.v1.AccessService/DeleteLock"
ROTATE_KEY = "/extaudit.v1.IntegrationService/RotateSigningKey"
UPLOAD = "/extaudit.v1.RecordingService/UploadRecording"
GET_UPLOAD = "/extaudit.v1.RecordingService/GetUpload"
COMPLETE = "/extaudit.v1.RecordingService/CompleteUpload"
ABORT = "/extaudit.v1.RecordingService/AbortUpload"
DOWNLOAD = "/extaudit.v1.RecordingService/DownloadRecording"
EVENTS = "/extaudit.v1.RecordingService/StreamRecordingEvents"
LIST_RECORDINGS = "/extaudit.v1.RecordingService/ListRecordings"
SEARCH_RECORDINGS = "/extaudit.v1.RecordingService/SearchRecordings"
REINDEX = "/extaudit.v1.RecordingService/ReindexRecordings"
STORAGES = "/extaudit.v1.ExternalAuditStorageService/"
CREATE_INTEGRATION = "/extaudit.v1.IntegrationService/CreateIntegration"
GET_INTEGRATION = "/extaudit.v1.IntegrationService/GetIntegration"
LIST_INTEGRATIONS = "/extaudit.v1.IntegrationService/ListIntegrations"
UPDATE_INTEGRATION = "/extaudit.v1.IntegrationService/UpdateIntegration"
DELETE_INTEGRATION = "/extaudit.v1.IntegrationService/DeleteIntegration"
HEALTH = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
REFLECTION = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)

CREATE = (("event", ("create",)),)
LIST = (("event", ("list",)),)
CREATE_SESSIONS = ("session", ("create",))
UPDATE_SESSIONS = ("session", ("update",))
LIST_SESSIONS = (("session", ("list",)),)
SEARCH_SESSIONS = (("session", ("list", "read")),)
READ_SESSIONS = (("session", ("read",)),)
UPDATE_INTEGRATIONS = (
    ("integration", ("update",)),
    ("external_audit_storage", ("update",)),
    ("external_audit_storage", ("delete",)),
)
WITH_PLACES = ("external_audit_storage", ("read",))
WITHOUT_PLACES = ("cluster_alert", ("list",))


def user(*roles):
    return Identity(IdentityKind.USER, "alice", frozenset(roles))


NODE = Identity(IdentityKind.COMPONENT, "node-1", frozenset({"Node"}))

CALLS = [
    (EMIT, NODE, CREATE),
    (EMIT, user("importer"), CREATE),
    (EMIT, user("editor"), None),
    (EMIT, user("auditor"), None),
    (EMIT_STREAM, NODE, CREATE),
    (EMIT_STREAM, user("auditor"), None),
    (SEARCH, user("auditor"), LIST),
    (SEARCH, user("importer"), None),
    (SEARCH, NODE, None),
    (WATCH, user("auditor"), LIST),
    (WATCH, user("importer", "editor"), None),
    (WATCH, NODE, None),
    (GET, user("auditor"), LIST),
    (GET, user("editor"), None),
    (CHUNKS, user("auditor"), LIST),
    (CHUNKS, user("editor", "importer"), None),
    (CHUNKS, NODE, None),
    (EXPORT, user("auditor"), LIST),
    (EXPORT, user("editor", "importer"), None),
    (EXPORT, NODE, None),
    (STATUS, user("editor"), (WITH_PLACES, WITHOUT_PLACES)),
    (STATUS, user("auditor"), (WITHOUT_PLACES,)),
    (STATUS, user("importer"), None),
    (STATUS, NODE, None),
    (ROLES, user("editor"), (("role", ("read",)),)),
    (ROLES, user("auditor"), None),
    (CHECK, user("editor"), (("role", ("read",)),)),
    (CHECK, NODE, None),
    (CREATE_LOCK, user("editor"), (("lock", ("create",)),)),
    (CREATE_LOCK, user("auditor", "importer"), None),
    (LIST_LOCKS, user("editor"), (("lock", ("list",)),)),
    (LIST_LOCKS, user("auditor"), None),
    (DELETE_LOCK, user("editor"), (("lock", ("delete",)),)),
    (DELETE_LOCK, NODE, None),
    (ROTATE_KEY, user("editor"), (("integration", ("update",)),)),
    (ROTATE_KEY, user("auditor"), None),
    (UPLOAD, NODE, (CREATE_SESSIONS,)),
    (UPLOAD, user("importer"), (CREATE_SESSIONS,)),
    (UPLOAD, user("auditor", "editor", "local-administrator"), None),
    (GET_UPLOAD, NODE, (CREATE_SESSIONS,)),
    (GET_UPLOAD, user("local-administrator"), None),
    (COMPLETE, NODE, (CREATE_SESSIONS,)),
    (COMPLETE, user("local-administrator"), (UPDATE_SESSIONS,)),
    (COMPLETE, user("local-administrator", "importer"), (CREATE_SESSIONS, UPDATE_SESSIONS)),
    (COMPLETE, user("auditor", "editor"), None),
    (ABORT, NODE, (CREATE_SESSIONS,)),
    (ABORT, user("local-administrator"), None),
    (DOWNLOAD, user("auditor"), READ_SESSIONS),
    (DOWNLOAD, user("importer", "editor"), None),
    (DOWNLOAD, NODE, None),
    (EVENTS, user("auditor"), READ_SESSIONS),
    (EVENTS, user("importer", "editor"), None),
    (LIST_RECORDINGS, user("auditor"), LIST_SESSIONS),
    (LIST_RECORDINGS, user("importer", "editor"), None),
    (LIST_RECORDINGS, NODE, None),
    (SEARCH_RECORDINGS, user("auditor"), SEARCH_SESSIONS),
    (SEARCH_RECORDINGS, user("importer", "editor"), None),
    (SEARCH_RECORDINGS, NODE, None),
    (REINDEX, user("local-administrator"), (UPDATE_SESSIONS,)),
    (REINDEX, user("auditor", "importer", "editor"), None),
    (CREATE_INTEGRATION, user("editor"), (("integration", ("create",)),)),
    (CREATE_INTEGRATION, user("auditor", "importer"), None),
    (GET_INTEGRATION, user("editor"), (("integration", ("read",)),)),
    (GET_INTEGRATION, user("auditor"), None),
    (LIST_INTEGRATIONS, user("editor"), (("integration", ("read", "list")),)),
    (LIST_INTEGRATIONS, NODE, None),
    (UPDATE_INTEGRATION, user("editor"), UPDATE_INTEGRATIONS),
    (UPDATE_INTEGRATION, user("auditor"), None),
    (DELETE_INTEGRATION, user("editor"), (("integration", ("delete",)),)),
    (DELETE_INTEGRATION, user("local-administrator"), None),
]

EDITORS = {
    "GenerateDraft": (("external_audit_storage", ("create",)),),
    "CreateDraft": (("external_audit_storage", ("create",)),),
    "UpsertDraft": (("external_audit_storage", ("create", "update")),),
    "GetDraft": (WITH_PLACES,),
    "DeleteDraft": (("external_audit_storage", ("delete",)),),
    "GetCluster": (WITH_PLACES,),
    "GetIamPolicy": (WITH_PLACES,),
    "PlanInfrastructure": (("external_audit_storage", ("update",)),),
    "PromoteToCluster": (
        ("external_audit_storage", ("create", "update")),
        ("external_audit_storage", ("delete",)),
    ),
    "DisableCluster": (("external_audit_storage", ("delete",)),),
    "DivertStorage": (("external_audit_storage", ("delete",)),),
    "ListPromotions": (WITH_PLACES,),
    "TestConnection": (("external_audit_storage", ("update",)),),
}
"""What the editor is granted of ExternalAuditStorageService, and nobody else anything."""
for name, granted in EDITORS.items():
    others = (user("auditor", "access", "importer", "local-administrator"), NODE)
    CALLS += [(STORAGES + name, user("editor"), granted), *((STORAGES + name, other, None) for other in others)]


@pytest.fixture(scope="module")
def policy():
    return load_policy_folder(None)


def granted_by(policy, identity, method):
    grant = policy.permits(identity, PERMISSIONS[method])
    if grant is None:
        return None
    assert grant.condition == ALWAYS
    return grant.alternatives


@pytest.mark.parametrize(("method", "identity", "granted"), CALLS)
def test_a_method_gives_the_alternatives_held(policy, method, identity, granted):
    assert granted_by(policy, identity, method) == granted


NOBODIES = [None, SERVICE, user(), user("gone"), user("auditor", "gone"), user("auditor", "Node"),
            Identity(IdentityKind.COMPONENT, "x", frozenset({"auditor"}))]  # fmt: skip


@pytest.mark.parametrize("nobody", NOBODIES)
def test_whom_the_policy_does_not_recognise_may_call_health_alone(policy, nobody):
    granted = {method for method, row in PERMISSIONS.items() if policy.permits(nobody, row) is not None}
    assert granted == set(HEALTH)


@pytest.mark.parametrize("method", REFLECTION)
@pytest.mark.parametrize("identity", [NODE, user("importer"), user("editor", "auditor")])
def test_reflection_is_for_everyone_with_loaded_roles(policy, method, identity):
    assert granted_by(policy, identity, method) == ()


def test_a_method_without_a_row_is_refused(policy):
    assert policy.permits(user("editor", "auditor", "importer"), PERMISSIONS.get("/extaudit.v1.X/Y")) is None


def test_the_table_is_complete_and_can_not_be_changed():
    access = {ROLES, CHECK, CREATE_LOCK, LIST_LOCKS, DELETE_LOCK}
    recordings = {UPLOAD, GET_UPLOAD, COMPLETE, ABORT, DOWNLOAD, EVENTS, LIST_RECORDINGS, SEARCH_RECORDINGS, REINDEX}
    integrations = {CREATE_INTEGRATION, GET_INTEGRATION, LIST_INTEGRATIONS, UPDATE_INTEGRATION, DELETE_INTEGRATION}
    integrations |= {ROTATE_KEY}
    own = {EMIT, EMIT_STREAM, SEARCH, GET, WATCH, CHUNKS, EXPORT, STATUS, *access, *recordings, *integrations}
    own |= {STORAGES + name for name in EDITORS}
    assert set(PERMISSIONS) == {*own, *HEALTH, *REFLECTION}
    with pytest.raises(TypeError):
        PERMISSIONS["/x/Y"] = Permission(anyone=True)  # type: ignore[index]


def test_conditions_are_read_for_every_kind_that_a_method_needs_a_right_on():
    assert {kind for row in PERMISSIONS.values() for kind, _ in row.named} <= KINDS


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"anyone": True, "any_role": True},
        {"alternatives": CREATE, "anyone": True},
        {"alternatives": CREATE, "any_role": True},
        {"alternatives": (("event", ()),)},
        {"alternatives": (("", ("list",)),)},
        {"alternatives": (*CREATE, *LIST), "by_object": True},
        {"any_role": True, "by_object": True},
        {"alternatives": CREATE, "also": (("integration", ()),)},
        {"alternatives": CREATE, "wider": (("", ("list",)),)},
        {"also": LIST},
        {"any_role": True, "also": LIST},
        {"any_role": True, "wider": LIST},
        {"alternatives": CREATE, "also": LIST, "by_object": True},
    ],
)
def test_a_permission_that_says_nothing_or_too_much_can_not_be_made(fields):
    with pytest.raises(ValueError):
        Permission(**fields)


TWO_KINDS = Permission(
    (("external_audit_storage", ("create", "update")),),
    also=(("integration", ("read",)),),
    wider=(("external_audit_storage", ("delete",)),),
)
"""Needs rights on two kinds, and does more for whoever holds a third."""
TWO_KINDS_ROLES = {
    "neither": ([], [], None),
    "the first alone": (["create", "update"], [], None),
    "half of the first": (["create"], ["read"], None),
    "the second alone": (["delete"], ["read"], None),
    "both": (["create", "update"], ["read"], TWO_KINDS.alternatives),
    "both and more": (["*"], ["*"], (*TWO_KINDS.alternatives, *TWO_KINDS.wider)),
}


@pytest.mark.parametrize("held", TWO_KINDS_ROLES)
def test_rights_on_several_kinds_are_all_needed_and_what_widens_is_told(held):
    storage, integration, granted = TWO_KINDS_ROLES[held]
    kinds = {"external_audit_storage": storage, "integration": integration}
    rules = tuple(Rule(frozenset({kind}), frozenset(verbs)) for kind, verbs in kinds.items() if verbs)
    grant = Policy.of([Role("setter-up", rules, (), 1)]).permits(user("setter-up"), TWO_KINDS)
    assert (grant and grant.alternatives) == granted


def test_a_denial_on_the_second_kind_refuses():
    allow = (Rule(frozenset({"*"}), frozenset({"*"})),)
    deny = (Rule(frozenset({"integration"}), frozenset({"read"})),)
    assert Policy.of([Role("setter-up", allow, deny, 1)]).permits(user("setter-up"), TWO_KINDS) is None


def test_what_is_needed_is_told_in_words():
    assert str(TWO_KINDS) == "external_audit_storage:create+update, and integration:read"
    assert str(PERMISSIONS[STATUS]) == "external_audit_storage:read or cluster_alert:list"


TAKES_DOWN = {"DeleteDraft", "DisableCluster", "DivertStorage", "DeleteIntegration"}
"""What the role of Teleport's guide may not do: it has create, update, list and read, and no delete."""


def test_the_role_of_the_guide_may_set_everything_up_and_take_nothing_down():
    kinds, verbs = {"integration", "external_audit_storage"}, {"create", "update", "list", "read"}
    policy = Policy.of([Role("guide", (Rule(frozenset(kinds), frozenset(verbs)),), (), 1)])
    services = ("/extaudit.v1.ExternalAuditStorageService/", "/extaudit.v1.IntegrationService/")
    rows = {method: row for method, row in PERMISSIONS.items() if method.startswith(services)}
    refused = {method.rpartition("/")[2] for method, row in rows.items() if policy.permits(user("guide"), row) is None}
    assert refused == TAKES_DOWN
