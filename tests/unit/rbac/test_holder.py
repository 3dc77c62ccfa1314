"""How a changed folder of roles replaces the policy in use."""

import os
import threading

import pytest

from rbac.errors import PolicyError, PolicyUnreadable
from rbac.holder import PolicyHolder, ReloadResult
from rbac.identities import Identity, IdentityKind
from tests.polling import until


def role(name, kind="event", verb="list"):
    return (
        f"kind: role\nversion: v7\nmetadata: {{name: {name}}}\n"
        f"spec: {{allow: {{rules: [{{resources: [{kind}], verbs: [{verb}]}}]}}}}\n"
    )


def user(*roles):
    return Identity(IdentityKind.USER, "alice", frozenset(roles))


def replace(path, text):
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    os.replace(draft, path)


@pytest.fixture
def folder(tmp_path):
    replace(tmp_path / "a.yaml", role("reader"))
    return tmp_path


def test_nothing_changed_keeps_the_same_policy(folder):
    holder = PolicyHolder(folder)
    before = holder.current
    assert holder.reload_if_changed().result is ReloadResult.UNCHANGED
    assert holder.current is before


def test_without_a_folder_the_presets_stay(tmp_path):
    holder = PolicyHolder(None)
    assert "auditor" in holder.current.roles
    assert holder.reload_if_changed().result is ReloadResult.UNCHANGED


def test_a_changed_file_takes_effect(folder):
    holder = PolicyHolder(folder)
    before = holder.current
    replace(folder / "a.yaml", role("reader", verb="read"))
    outcome = holder.reload_if_changed()
    assert (outcome.result, outcome.error) == (ReloadResult.RELOADED, None)
    assert not holder.current.decide(user("reader"), "event", ("list",))
    assert holder.current.decide(user("reader"), "event", ("read",))
    assert before.decide(user("reader"), "event", ("list",)), "a call under way keeps the policy it took"
    assert holder.reload_if_changed().result is ReloadResult.UNCHANGED


def test_a_change_of_the_same_size_and_time_is_seen(folder):
    path = folder / "a.yaml"
    holder = PolicyHolder(folder)
    found = path.stat()
    replace(path, role("reader", kind="xxxxx"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_size == found.st_size
    assert holder.reload_if_changed().result is ReloadResult.RELOADED


def test_an_edit_in_place_is_seen(folder):
    holder = PolicyHolder(folder)
    with (folder / "a.yaml").open("a") as file:
        file.write("# grown\n")
    assert holder.reload_if_changed().result is ReloadResult.RELOADED


def test_a_new_file_takes_effect(folder):
    holder = PolicyHolder(folder)
    replace(folder / "b.yaml", role("other"))
    assert holder.reload_if_changed().result is ReloadResult.RELOADED
    assert holder.current.decide(user("reader", "other"), "event", ("list",))


def test_a_removed_file_refuses_everyone_who_carries_its_role(folder):
    holder = PolicyHolder(folder)
    assert holder.current.decide(user("reader", "auditor"), "session", ("list",))
    (folder / "a.yaml").unlink()
    assert holder.reload_if_changed().result is ReloadResult.RELOADED
    assert not holder.current.decide(user("reader"), "event", ("list",))
    assert not holder.current.decide(user("reader", "auditor"), "session", ("list",))


def test_a_refused_set_keeps_the_old_policy_whole_and_is_told_once(folder):
    holder = PolicyHolder(folder)
    before = holder.current
    replace(folder / "a.yaml", role("reader", verb="read"))
    replace(folder / "b.yaml", "kind: role\nversion: v1\n")
    outcome = holder.reload_if_changed()
    assert outcome.result is ReloadResult.REFUSED
    assert str(outcome.error) == "b.yaml:2:1: version must be v3 to v8"
    assert holder.current is before
    assert holder.error is outcome.error
    assert holder.reload_if_changed().result is ReloadResult.UNCHANGED
    assert holder.error is outcome.error, "still not what the folder says"


def test_a_mended_set_takes_effect(folder):
    holder = PolicyHolder(folder)
    replace(folder / "b.yaml", "kind: role\nversion: v1\n")
    holder.reload_if_changed()
    replace(folder / "b.yaml", role("other"))
    assert holder.reload_if_changed().result is ReloadResult.RELOADED
    assert (holder.error, "other" in holder.current.roles) == (None, True)


def test_a_folder_that_can_not_be_read_keeps_the_policy_and_is_tried_again(folder, tmp_path):
    holder = PolicyHolder(folder)
    before = holder.current
    away = folder.rename(tmp_path.with_name("away"))
    for _ in range(2):
        outcome = holder.reload_if_changed()
        assert outcome.result is ReloadResult.REFUSED
        assert isinstance(outcome.error, PolicyUnreadable)
        assert holder.current is before
    away.rename(folder)
    assert holder.reload_if_changed().result is ReloadResult.RELOADED
    assert holder.error is None


def test_a_file_that_can_not_be_read_is_tried_again_though_nothing_changes(folder, monkeypatch):
    holder = PolicyHolder(folder)
    replace(folder / "b.yaml", role("other"))

    def no_descriptor_left(*args):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as fault:
        fault.setattr("rbac.role_files._open_without_waiting", no_descriptor_left)
        assert holder.reload_if_changed().result is ReloadResult.REFUSED
    assert holder.reload_if_changed().result is ReloadResult.RELOADED
    assert "other" in holder.current.roles


@pytest.mark.parametrize(("name", "mode"), [("", 0o770), ("", 0o707), ("a.yaml", 0o620), ("a.yaml", 0o602)])
def test_what_others_can_write_keeps_the_policy_and_is_told_once(folder, name, mode):
    folder.chmod(0o755)
    holder = PolicyHolder(folder, os.geteuid())
    before, place = holder.current, folder / name
    was = place.stat().st_mode
    place.chmod(mode)
    replace(folder / "b.yaml", role("other"))
    outcome = holder.reload_if_changed()
    assert outcome.result is ReloadResult.REFUSED
    assert f"has mode {mode:04o}, so that others than its owner could give any right" in str(outcome.error)
    assert holder.current is before
    assert holder.reload_if_changed().result is ReloadResult.UNCHANGED
    with pytest.raises(PolicyError, match="has mode"):
        PolicyHolder(folder, os.geteuid())
    place.chmod(was)
    assert holder.reload_if_changed().result is ReloadResult.RELOADED
    assert "other" in holder.current.roles


def test_with_umask_0002_a_role_put_into_a_folder_of_the_account_alone_is_loaded(folder):
    holder = PolicyHolder(folder, os.geteuid())
    was = os.umask(0o002)
    try:
        (folder / "b.yaml").write_text(role("other"))
    finally:
        os.umask(was)
    assert (folder / "b.yaml").stat().st_mode & 0o777 == 0o664
    assert holder.reload_if_changed().result is ReloadResult.RELOADED
    assert "other" in holder.current.roles
    folder.chmod(0o750)
    assert "has mode 0664" in str(holder.reload_if_changed().error), "its group comes to it now"


def test_a_config_map_that_kubernetes_mounted_is_taken(folder, monkeypatch):
    (folder / "..2026").mkdir()
    (folder / "a.yaml").rename(folder / "..2026" / "a.yaml")
    (folder / "..data").symlink_to("..2026")
    (folder / "a.yaml").symlink_to("..data/a.yaml")
    folder.chmod(0o1777)
    (folder / "..2026").chmod(0o777)
    (folder / "a.yaml").chmod(0o664)
    with pytest.raises(PolicyError, match="the folder of roles has mode 1777"):
        PolicyHolder(folder, os.geteuid())
    told = list(os.statvfs(folder))
    told[8] |= os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(told))  # only root could mount it so
    assert "reader" in PolicyHolder(folder, os.geteuid()).current.roles


def test_what_others_can_read_is_fine(folder):
    folder.chmod(0o755)
    (folder / "a.yaml").chmod(0o644)
    assert "reader" in PolicyHolder(folder, os.geteuid()).current.roles


def test_a_link_to_nowhere_is_refused(folder):
    holder = PolicyHolder(folder)
    (folder / "b.yaml").symlink_to("nowhere")
    assert str(holder.reload_if_changed().error) == "b.yaml: can't be read"


def test_a_holder_can_not_begin_with_refused_roles(folder):
    replace(folder / "a.yaml", "kind: user\n")
    with pytest.raises(PolicyError, match=r"a\.yaml:1"):
        PolicyHolder(folder)


def test_a_reader_sees_the_old_policy_or_the_new_one_and_never_a_part(folder):
    """Each version of the folder moves the right from one role to the other, in two files: no one ever has both."""
    replace(folder / "a.yaml", role("one"))
    replace(folder / "b.yaml", role("two", kind="nothing"))
    holder = PolicyHolder(folder)
    stop = threading.Event()
    answers = [(True, False), (False, True)]
    seen, wrong = set(), []

    def read():
        while not stop.wait(0.0005):  # leaves the other threads room
            policy = holder.current
            answer = tuple(policy.decide(user(name), "event", ("list",)) for name in ("one", "two"))
            seen.add(answer)
            if answer not in answers:
                wrong.append(answer)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(30):
            kinds = ("nothing", "event") if turn % 2 == 0 else ("event", "nothing")
            replace(folder / "a.yaml", role("one", kind=kinds[0]))
            replace(folder / "b.yaml", role("two", kind=kinds[1]))
            assert holder.reload_if_changed().result is ReloadResult.RELOADED
            if turn < 2:
                until(lambda turn=turn: answers[1 - turn] in seen)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
