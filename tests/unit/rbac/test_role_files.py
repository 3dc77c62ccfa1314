"""What a set of role files must be; every refusal names file, line and reason."""

import os

import pytest

from rbac.errors import PolicyError, PolicyUnreadable
from rbac.identities import SYSTEM_ROLES
from rbac.policy import load_policy, load_policy_folder
from rbac.role_files import examine_roles

ROLE = """\
kind: role
version: v7
metadata:
  name: example
spec:
  allow:
    rules:
      - resources: [event]
        verbs: [list]
"""

RULE = "      - resources: [event]\n        verbs: [list]\n"

WHERE = ROLE + "        where: "
DENY = ROLE + "  deny:\n    rules:\n    - resources: [event]\n      verbs: [read]\n"


def changed(old, new):
    assert ROLE.count(old) == 1
    return ROLE.replace(old, new)


REFUSED = [
    ("another kind", changed("kind: role", "kind: user"), 1, "kind must be role"),
    ("no kind", changed("kind: role\n", ""), 1, "kind is missing"),
    ("version v2", changed("v7", "v2"), 2, "v3 to v8"),
    ("version v9", changed("v7", "v9"), 2, "v3 to v8"),
    ("no version", changed("version: v7\n", ""), 1, "version is missing"),
    ("no metadata", changed("metadata:\n  name: example\n", ""), 1, "metadata is missing"),
    ("metadata that isn't a map", changed("metadata:\n  name: example\n", "metadata: x\n"), 3, "must be a map"),
    ("no name", changed("name: example", "description: x"), 4, "name is missing"),
    ("an empty name", changed("name: example", "name: ''"), 4, "1 to 128 characters"),
    ("a name with a space", changed("name: example", "name: an example"), 4, "1 to 128 characters"),
    ("a name with a line end", changed("name: example", 'name: "example\\n"'), 4, "1 to 128 characters"),
    ("a name with a letter beyond ASCII", changed("name: example", "name: exämple"), 4, "1 to 128 characters"),
    ("a name that is too long", changed("name: example", f"name: {'x' * 129}"), 4, "1 to 128 characters"),
    ("a name that is a number", changed("name: example", "name: 7"), 4, "must be text"),
    ("a name that is a boolean", changed("name: example", "name: on"), 4, "must be text"),
    ("a role that expires", changed("name: example", "name: example\n  expires: 2030-01-01T00:00:00Z"), 5, "expires"),
    ("no spec", changed(ROLE[ROLE.index("spec:") :], ""), 1, "spec is missing"),
    ("an empty spec", changed(ROLE[ROLE.index("  allow:") :], ""), 5, "spec must be a map"),
    ("an unknown field beside spec", ROLE + "deny: {}\n", 10, "a role has no field 'deny'"),
    ("allow that isn't a map", changed(ROLE[ROLE.index("  allow:") :], "  allow: [x]\n"), 6, "allow must be a map"),
    ("deny that isn't a map", ROLE + "  deny: x\n", 10, "spec.deny must be a map"),
    ("rules that aren't a list", changed("    rules:\n" + RULE, "    rules: {a: b}\n"), 7, "rules must be a list"),
    ("a rule that isn't a map", changed(RULE, "      - event\n"), 8, "a rule must be a map"),
    ("an unknown field in a rule", ROLE + "        verb: [read]\n", 10, "a rule has no field 'verb'"),
    ("a deny in capitals", ROLE + "  Deny: {}\n", 10, "spec has no field 'Deny'; did you mean 'deny'?", 3),
    ("a misspelt deny", ROLE + "  dney: {}\n", 10, "spec has no field 'dney'; did you mean 'deny'?", 3),
    ("one rule to deny", ROLE + "  deny:\n    rule: []\n", 11, "spec.deny has no field 'rule'; did you mean", 5),
    ("a misspelt end", changed("name: example", "name: example\n  Expires: 2030-01-01"), 5, "mean 'expires'?", 3),
    ("kinds in the plural", changed("[event]", "[events]"), 8, "resources has 'events'; did you mean 'event'?", 21),
    ("a kind in capitals", changed("[event]", "[x, Session]"), 8, "'Session'; did you mean 'session'?", 24),
    ("a kind with hyphens", changed("[event]", "[cluster-alert]"), 8, "did you mean 'cluster_alert'?", 21),
    ("a verb in capitals", changed("[list]", "[List]"), 9, "verbs has 'List'; did you mean 'list'?", 17),
    ("a verb of nobody's", changed("[list]", "['*', write]"), 9, "verbs has 'write', which is no verb", 22),
    ("one of all kinds", changed(RULE, RULE.replace("event", "'*'").replace("list", "x")), 9, "'x', which is no verb"),
    ("one of our kind too", changed(RULE, RULE.replace("event", "node, role").replace("list", "x")), 9, "no verb"),
    ("a misspelt namespace", ROLE + "    namespaces: [Default]\n", 10, "did you mean 'default'?"),
    ("an unknown field in a deny rule", ROLE + "  deny:\n    rules:\n    - resource: [x]\n", 12, "no field 'resource'"),
    ("a rule without resources", changed("resources: [event]\n        ", ""), 8, "resources is missing"),
    ("a rule without verbs", changed("        verbs: [list]\n", ""), 8, "verbs is missing"),
    ("no resource", changed("resources: [event]", "resources: []"), 8, "resources must not be empty"),
    ("no verb", changed("verbs: [list]", "verbs:"), 9, "verbs must not be empty"),
    ("verbs that aren't a list", changed("verbs: [list]", "verbs: list"), 9, "verbs must be a list"),
    ("a verb that isn't text", changed("verbs: [list]", "verbs:\n        - list\n        - on"), 11, "text only"),
    ("a verb that is a map", changed("verbs: [list]", "verbs: [{list: x}]"), 9, "text only"),
    ("a verb that is empty", changed("verbs: [list]", "verbs: ['']"), 9, "neither a name nor *"),
    ("a partial wildcard", changed("resources: [event]", "resources: ['ev*']"), 8, "'ev*': neither a name nor *"),
    ("a condition that is blank", WHERE + "' '\n", 10, "ends too early", 18),
    ("a condition that isn't text", WHERE + "[x]\n", 10, "where must be text"),
    ("a condition that is a boolean", WHERE + "true\n", 10, "where must be text"),
    ("a condition in a deny rule", DENY + "      where: x\n", 14, "there is no identifier 'x'", 14),
    ("an unknown identifier", WHERE + "equals(user.name, 'x')\n", 10, "no identifier 'user.name'", 23),
    ("one in quotes", WHERE + "\"user.name == 'x'\"\n", 10, "no identifier 'user.name'", 17),
    ("one after escapes", WHERE + "'''x'' == user.x'\n", 10, "no identifier 'user.x'", 8),
    ("one in a block", WHERE + "|\n          1 == event.a &&\n          user.x == 1\n", 12, "'user.x'", 1),
    ("one in a folded text", WHERE + ">\n          1 == event.a\n          && user.x\n", 10, "identifier 'user.x'", 17),
    ("one in a rule for another kind too", WHERE.replace("event", "event, node") + "x == 'y'\n", 10, "identifier 'x'"),
    ("one in a rule for all kinds", WHERE.replace("[event]", "['*']") + "x == 'y'\n", 10, "identifier 'x'"),
    ("a value of another kind's object", WHERE + "session.user == 'y'\n", 10, "has a 'session'", 16),
    ("recording by an object's value", WHERE.replace("list", "create") + "event.a == 'y'\n", 10, "only the user"),
    ("no recording by one", DENY.replace("read", "create") + "      where: event.a == 'y'\n", 14, "only the user"),
    ("actions", ROLE + "        actions: [log]\n", 10, "actions isn't supported"),
    ("actions that aren't a list", ROLE + "        actions: log\n", 10, "actions must be a list"),
    ("namespaces that aren't a list", ROLE + "    namespaces: default\n", 10, "namespaces must be a list"),
    ("no namespace", ROLE + "    namespaces: []\n", 10, "namespaces must not be empty"),
    ("a document that isn't a map", ROLE + "---\n- x\n", 11, "a document must be a map"),
    ("a fault in the second document", ROLE + "---\n" + changed("v7", "v2"), 12, "v3 to v8"),
    ("a fault in a namespace that isn't ours", ROLE + "        x: y\n    namespaces: [other]\n", 10, "no field"),
    ("the example without its indentation", "kind: role\nversion: v7\nmetadata:\nname: example\nspec:\n", 4, "'name'"),
    ("a duplicate key", ROLE + "  allow: {}\n", 10, "'allow' twice"),
    ("an alias", ROLE + "  deny: *x\n", 10, "alias"),
]  # fmt: skip


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(*files):
    with pytest.raises(PolicyError) as caught:
        load_policy(files)
    return caught.value


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_a_file_is_refused_with_line_and_column(tmp_path, case):
    _, text, line, reason, *column = case
    error = refusal(write(tmp_path, "bad.yaml", text))
    assert (error.file, error.line) == ("bad.yaml", line), error.reason
    assert error.column in (column or range(1, 40))
    assert reason in error.reason
    assert str(error) == f"bad.yaml:{line}:{error.column}: {error.reason}"


SEVERAL = """\
kind: user
version: v9
metadata: {name: "a b", expires: tomorrow}
spec:
  allow:
    rules:
      - {resources: [event], verb: [list]}
      - {resources: ["ev*", event], verbs: [li*, list], where: "x"}
      - {resources: [event], verbs: [list], where: "user.x == 'a'"}
  deny: none
  options: {}
owner: me
---
- x
---
kind: role
version: v7
metadata: {name: good}
spec: {}
---
a: &b c
"""
PROBLEMS = [
    (1, 1, "kind must be role"),
    (2, 1, "version must be v3 to v8"),
    (3, 12, "metadata.name must be"),
    (3, 25, "metadata.expires isn't supported"),
    (7, 9, "verbs is missing"),
    (7, 30, "a rule has no field 'verb'"),
    (8, 22, "resources has 'ev*'"),
    (8, 45, "verbs has 'li*'"),
    (8, 65, "where can't be used"),
    (9, 53, "where can't be used"),
    (10, 3, "spec.deny must be a map"),
    (12, 1, "a role has no field 'owner'"),
    (14, 1, "a document must be a map"),
    (21, 4, "has an anchor"),
]


def test_everything_wrong_with_files_is_found_with_its_place(tmp_path):
    files = [
        write(tmp_path, "a.yaml", SEVERAL),
        tmp_path / "gone.yaml",
        write(tmp_path, "z.yaml", ROLE + "---\n" + ROLE),
    ]
    roles, problems = examine_roles(files, ())
    assert {role.name for role in roles} == {"good", "example"}
    found = sorted((each.line, each.column, each.reason) for each in problems if each.file == "a.yaml")
    assert [each[:2] for each in found] == [each[:2] for each in PROBLEMS]
    assert all(reason in each[2] for each, (_, _, reason) in zip(found, PROBLEMS, strict=True))
    assert [str(each).split(":")[0] for each in problems[len(found) :]] == ["gone.yaml", "z.yaml"]


def test_the_problems_that_are_found_are_bounded(tmp_path):
    files = [write(tmp_path, f"{number}.yaml", "---\n- x\n" * 500) for number in range(4)]
    assert len(examine_roles(files, ())[1]) == 1000


@pytest.mark.parametrize("version", ["v3", "v4", "v5", "v6", "v7", "v8"])
def test_every_version_of_teleport_loads(tmp_path, version):
    assert "example" in load_policy([write(tmp_path, "a.yaml", changed("v7", version))]).roles


@pytest.mark.parametrize("name", ["x", "a.b_c@d-E9", "x" * 128, "Editor"])
def test_a_good_name_loads(tmp_path, name):
    assert name in load_policy([write(tmp_path, "a.yaml", changed("example", name))]).roles


@pytest.mark.parametrize(
    "text",
    [
        ROLE + "        where: ''\n        actions: []\n",
        ROLE + "        where: contains(event.participants, user.metadata.name)\n",
        ROLE.replace("list", "create") + "        where: contains(user.spec.roles, 'x')\n",
        ROLE.replace("event", "node") + "        where: system.catype() == anything && (\n",
        ROLE + "        where:\n        actions:\n",
        ROLE + "    logins: [root]\n    node_labels: {'*': '*'}\n    impersonate: {users: [x]}\n",
        ROLE.replace("event", "node").replace("list", "connect"),
        ROLE.replace("event", "audit_query").replace("list", "list, use"),
        ROLE.replace("list", "create_enroll_token, enroll, readnosecrets, rotate, use"),
        ROLE + "    request: {roles: [x], rules: [y]}\n    require_session_join: []\n    db_roles: [x]\n",
        ROLE + "  options: {max_session_ttl: 8h0m0s, forward_agent: true}\n  deny:\n    logins: [guest]\n",
        ROLE + "  deny:\n",
        "sub_kind: ''\n" + changed("name: example", "name: example\n  description: x\n  labels: {a: b}\n  expires:"),
    ],
)
def test_fields_that_real_roles_have_are_accepted(tmp_path, text):
    assert "example" in load_policy([write(tmp_path, "a.yaml", text)]).roles


@pytest.mark.parametrize("name", sorted({*SYSTEM_ROLES, "node", "NODE", "admin", "relay"}))
def test_a_system_roles_name_is_refused_whatever_its_case(tmp_path, name):
    error = refusal(write(tmp_path, "a.yaml", "\n" + changed("example", name)))
    assert (error.file, error.line, error.reason) == ("a.yaml", 2, f"{name!r} is a system role's name")


@pytest.mark.parametrize("name", ["editor", "auditor", "importer", "access", "local-administrator"])
def test_a_presets_name_is_refused(tmp_path, name):
    error = refusal(write(tmp_path, "a.yaml", changed("example", name)))
    assert (error.line, error.reason) == (1, f"{name!r} is already the name of a preset")


def test_a_second_role_of_the_same_name_in_a_file_is_refused(tmp_path):
    error = refusal(write(tmp_path, "a.yaml", f"{ROLE}---\n{ROLE}"))
    assert (error.line, error.reason) == (11, "'example' is already the name of the role at a.yaml:1")


def test_a_second_role_of_the_same_name_in_another_file_is_refused(tmp_path):
    error = refusal(write(tmp_path, "a.yaml", ROLE), write(tmp_path, "b.yaml", f"# x\n{ROLE}"))
    assert (error.file, error.line) == ("b.yaml", 2)
    assert error.reason == "'example' is already the name of the role at a.yaml:1"


def test_one_bad_file_refuses_the_whole_set(tmp_path):
    write(tmp_path, "a.yaml", ROLE)
    write(tmp_path, "b.yaml", "kind: user\n")
    with pytest.raises(PolicyError, match=r"b\.yaml:1"):
        load_policy_folder(tmp_path)


def test_a_file_of_one_mebibyte_loads_and_a_larger_one_is_refused(tmp_path):
    filler = "#" * (1024 * 1024 - len(ROLE))
    assert "example" in load_policy([write(tmp_path, "a.yaml", ROLE + filler)]).roles
    error = refusal(write(tmp_path, "b.yaml", ROLE + filler + "#"))
    assert (error.file, error.line, error.reason) == ("b.yaml", 0, "is larger than 1048576 bytes")


def test_rules_are_bounded_over_all_files(tmp_path):
    half = changed(RULE, RULE * 10_000)
    files = [write(tmp_path, "a.yaml", half), write(tmp_path, "b.yaml", half.replace("example", "other"))]
    error = refusal(*files)
    assert (error.file, error.line, error.reason) == ("b.yaml", 1, "there are more than 20000 rules in all")


def test_the_files_of_a_folder_are_bounded(tmp_path):
    for number in range(1001):
        (tmp_path / f"{number}.yaml").touch()
    with pytest.raises(PolicyError, match="more than 1000 files"):
        load_policy_folder(tmp_path)


def test_a_folder_gives_its_yaml_and_yml_files_but_no_hidden_ones(tmp_path):
    for file in ("a.yaml", "b.yml", "c.txt", ".d.yaml"):
        write(tmp_path, file, changed("example", file[-6:].strip(".")))
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", "e.yaml", ROLE)
    assert load_policy_folder(tmp_path).roles - load_policy_folder(None).roles == {"a.yaml", "b.yml"}


def test_the_files_of_a_folder_are_read_by_name_so_that_the_same_one_is_refused_everywhere(tmp_path):
    for number in (7, 3, 1, 9, 0, 5, 8, 2, 6, 4):
        write(tmp_path, f"{number}.yaml", ROLE)
    with pytest.raises(PolicyError, match=r"^1\.yaml:1: 'example' is already the name of the role at 0\.yaml:1$"):
        load_policy_folder(tmp_path)


def test_a_missing_folder_is_refused_by_its_base_name(tmp_path):
    with pytest.raises(PolicyUnreadable) as caught:
        load_policy_folder(tmp_path / "gone")
    assert str(caught.value) == "gone: the folder of roles can't be read"


def test_a_missing_file_is_refused_by_its_base_name(tmp_path):
    error = refusal(tmp_path / "gone.yaml")
    assert (type(error), str(error)) == (PolicyUnreadable, "gone.yaml: can't be read")


def test_a_folder_named_like_a_file_is_refused(tmp_path):
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(PolicyError, match=r"a\.yaml"):
        load_policy_folder(tmp_path)


@pytest.mark.timeout(60)
def test_a_pipe_is_refused_and_holds_no_one(tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    assert str(refusal(tmp_path / "a.yaml")) == "a.yaml: is not a regular file"


def test_a_link_to_a_file_is_followed(tmp_path):
    target = write(tmp_path, "data", ROLE)
    (tmp_path / "a.yaml").symlink_to(target)
    assert "example" in load_policy_folder(tmp_path).roles
