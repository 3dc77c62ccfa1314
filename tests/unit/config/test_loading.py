"""Where settings come from, which source wins, and that every problem is told at once without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.config import Config, ConfigProblems, digest, load_config, options
from server.config.settings import Setting, settings


def problems(flags: dict[str, object] | None = None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load_config(flags or {}, environ or {})
    return caught.value.problems


def toml(folder: Path, text: str) -> str:
    file = folder / "extaudit.toml"
    file.write_text(text)
    return str(file)


def test_without_sources_all_defaults_hold() -> None:
    assert load_config({}, {}) == Config()


def test_later_sources_win_over_weaker_ones(tmp_path: Path) -> None:
    file = toml(tmp_path, '[grpc]\nlisten = "127.0.0.1:1"\nmax_concurrent_calls = 1\n[search]\nworkers = 3\n')
    environ = {"EXTAUDIT_GRPC_LISTEN": "127.0.0.1:2", "EXTAUDIT_GRPC_MAX_CONCURRENT_CALLS": "2"}
    config = load_config({"config": file, "grpc_listen": "127.0.0.1:3", "http_listen": None}, environ)
    assert config.grpc.listen == "127.0.0.1:3"
    assert config.grpc.max_concurrent_calls == 2
    assert config.search.workers == 3
    assert config.http.listen == "127.0.0.1:9180"


def test_environment_may_name_the_file_and_a_flag_goes_before_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    weaker = toml(tmp_path, 'cluster_name = "weaker"')
    stronger = toml(tmp_path / "a", 'cluster_name = "stronger"')
    assert load_config({}, {"EXTAUDIT_CONFIG": weaker}).cluster_name == "weaker"
    assert load_config({"config": stronger}, {"EXTAUDIT_CONFIG": weaker}).cluster_name == "stronger"


@pytest.mark.parametrize("setting", settings(), ids=lambda each: each.name)
def test_every_setting_can_be_given_by_file_environment_and_flag(setting: Setting, tmp_path: Path) -> None:
    """Each source must know each setting: a value that breaks it is told under the name of its source."""
    section = f"[{setting.section}]\n" if setting.section else ""
    file = toml(tmp_path, f"{section}{setting.field} = {{}}\n")
    assert [line.split(":")[0] for line in problems({"config": file})] == [f"{setting.name} (file)"]
    assert f"{setting.name} ({setting.variable})" in problems({}, {setting.variable: "\0"})[0]
    assert f"{setting.name} ({setting.flag})" in problems({setting.key: {}})[0]


def test_all_problems_of_all_sources_are_told_together(tmp_path: Path) -> None:
    file = toml(tmp_path, 'unknown = 1\n[grpc]\nlisten = 5\nother = 1\n[journal]\ncut_bytes = "x"\n')
    found = problems(
        {"config": file, "http_listen": "0.0.0.0:9180", "nothing": 1},
        {"EXTAUDIT_LOG_LEVEL": "loud", "EXTAUDIT_GRPC_LISTENS": "x"},
    )
    assert found == [
        "'unknown' (file): there is no such setting",
        "grpc.listen (file): must be a text that is not empty",
        "'grpc.other' (file): there is no such setting",
        "journal.cut_bytes (file): must be a whole number",
        "EXTAUDIT_GRPC_LISTENS: there is no such setting",
        "log.level (EXTAUDIT_LOG_LEVEL): must be debug or info or warning or error",
        "--nothing: there is no such setting",
        "http.listen (--http-listen): needs http.certificate and http.key off loopback",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "EXTAUDIT_ADDRESS",
        "EXTAUDIT_CA",
        "EXTAUDIT_CERT",
        "EXTAUDIT_KEY",
        "EXTAUDIT_SERVICE_HOST",
        "EXTAUDIT_SERVICE_PORT_GRPC",
        "EXTAUDIT_PORT",
        "EXTAUDIT_PORT_9443_TCP_ADDR",
        "EXTAUDIT_GRPC_SERVICE_HOST",
        "OTHER_GRPC_LISTEN",
    ],
)
def test_variables_of_the_client_and_of_kubernetes_are_left_alone(name: str) -> None:
    assert load_config({}, {name: "tcp://10.0.0.1:9443"}) == Config()


@pytest.mark.parametrize(
    "name", ["EXTAUDIT_DATADIR", "EXTAUDIT_TLS", "EXTAUDIT_AUTHENTICATION", "EXTAUDIT_GRPC_INSECURE"]
)
def test_a_misspelt_variable_is_refused(name: str) -> None:
    assert problems({}, {name: "off"}) == [f"{name}: there is no such setting"]


def test_an_empty_variable_counts_as_not_given() -> None:
    assert load_config({}, {"EXTAUDIT_ROLES_DIR": ""}) == Config()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = ", "--config: the file is not TOML, at end of document"),
        ("[a]\nb = 1\nb = 'CANARY'\n", "--config: the file is not TOML, at line 3, column 13"),
        ("a = " + "[" * 100_000, "--config: the file is not TOML"),
        ("#" * (1024 * 1024 + 1), "--config: the file is larger than 1 MiB"),
        ("grpc = 1", "grpc (file): must be a section"),
        ("[data_dir]\nx = 1", "data_dir (file): must be a text that is not empty"),
        ("[other]\nx = 1", "'other' (file): there is no such setting"),
    ],
    ids=["broken", "twice", "deep", "large", "no section", "section for a value", "unknown section"],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert problems({"config": toml(tmp_path, text)}) == [told]


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    file = toml(tmp_path, "")
    tmp_path.chmod(0o755)
    Path(file).chmod(0o640)
    assert load_config({"config": file}, {}) == Config()
    Path(file).chmod(0o660)
    assert problems({"config": file}) == [
        "--config: the file has mode 0660, so that others than its owner could give any right by it: chmod go-w it"
    ]
    tmp_path.chmod(0o700)
    assert load_config({"config": file}, {}) == Config(), "nobody else comes to it"


def test_a_file_that_is_absent_or_not_utf8_is_refused(tmp_path: Path) -> None:
    assert problems({"config": str(tmp_path / "none")}) == [
        "--config: the file can't be read (No such file or directory)"
    ]
    (tmp_path / "latin").write_bytes(b'a = "\xff"')
    assert problems({"config": str(tmp_path / "latin")}) == ["--config: the file is not UTF-8"]


@pytest.mark.parametrize("setting", [each for each in settings() if each.form], ids=lambda each: each.name)
def test_what_a_text_must_be_is_told_in_words(setting: Setting) -> None:
    assert setting.form is not None
    [told] = problems({setting.key: "not like this"})
    assert told == f"{setting.name} ({setting.flag}): must be {setting.form.words}"
    assert setting.form.pattern not in told


@pytest.mark.parametrize("setting", settings(), ids=lambda each: each.name)
def test_no_problem_tells_the_value(setting: Setting, tmp_path: Path) -> None:
    """A key's content where its file's name belongs must not reach the terminal or a log."""
    canary = "-----BEGIN PRIVATE KEY-----\nCANARY\0\n"
    told = "\n".join(problems({setting.key: canary}) + problems({}, {setting.variable: canary}))
    section = f"[{setting.section}]\n" if setting.section else ""
    told += "\n".join(problems({"config": toml(tmp_path, f"{section}{setting.field} = '''CANARY")}))
    assert "CANARY" not in told


def test_paths_in_the_environment_are_split_and_flags_repeat(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\n")
    both = (tmp_path / "a", tmp_path / "b")
    assert load_config({}, {"EXTAUDIT_GRPC_USER_CA": f"{both[0]}:{both[1]}"}).grpc.user_ca == both
    assert load_config({"grpc_user_ca": tuple(map(str, both))}, {}).grpc.user_ca == both
    file = toml(tmp_path, f'[grpc]\nuser_ca = ["{both[0]}", "{both[1]}"]\n')
    assert load_config({"config": file}, {}).grpc.user_ca == both


def test_a_flag_that_is_not_given_leaves_the_weaker_sources_alone(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----\n")
    environ = {"EXTAUDIT_GRPC_USER_CA": str(tmp_path / "ca"), "EXTAUDIT_SEARCH_WORKERS": "7"}
    config = load_config({"grpc_user_ca": (), "search_workers": None}, environ)
    assert (config.grpc.user_ca, config.search.workers) == ((tmp_path / "ca",), 7)


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_path_is_refused_since_it_would_mean_the_working_folder(text: str) -> None:
    assert problems({"data_dir": text}) == ["data_dir (--data-dir): must be a text that is not empty"]


def test_the_digest_changes_with_any_setting_and_only_then() -> None:
    assert digest(load_config({}, {})) == digest(Config())
    changed = {digest(load_config({key: value}, {})) for key, value in [("search_workers", 3), ("data_dir", "other")]}
    assert len(changed | {digest(Config())}) == 3


def test_options_are_flags_of_every_setting() -> None:
    listed = options()
    assert [each.name for each in listed[:5]] == [
        "--config",
        "--data-dir",
        "--cluster-name",
        "--roles-dir",
        "--ready-file",
    ]
    assert {each.key for each in listed} == {"config"} | {each.key for each in settings()}
    assert {each.name for each in listed} >= {"--grpc-listen", "--http-listen", "--journal-quota-bytes"}
    assert [each.name for each in listed if each.multiple] == ["--grpc-host-ca", "--grpc-user-ca"]
    by_key = {each.key: each for each in listed}
    assert by_key["journal_cut_age_seconds"].type is float
    assert by_key["grpc_max_message_bytes"].type is int
    assert by_key["journal_quota_bytes"].default == "536870912 (512 MiB)"


def test_no_setting_turns_security_off() -> None:
    words = ("insecure", "plaintext", "anonymous", "disable", "skip", "verify", "tls", "auth")
    assert [each.name for each in settings() if any(word in each.name for word in words)] == []
