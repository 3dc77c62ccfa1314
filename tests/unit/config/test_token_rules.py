"""The token listener's settings: issuers come from the file alone, and what would weaken the listener is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.config import Config, ConfigProblems, TokenIssuer, load_config

ISSUER = 'issuer = "https://id.test"\n'
AUDIENCE = 'audience = "extaudit"\n'
KEYS = 'jwks_url = "https://id.test/keys"\n'
LISTEN = {"grpc_token_listen": "127.0.0.1:0"}


def load(folder: Path, *entries: str, top: str = "", **flags: object) -> Config:
    file = folder / "extaudit.toml"
    file.write_text(top + "".join(f"[[grpc.token_issuers]]\n{entry}" for entry in entries))
    return load_config({"config": str(file), **LISTEN, **flags}, {})


def problems(folder: Path, *entries: str, top: str = "", **flags: object) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load(folder, *entries, top=top, **flags)
    return caught.value.problems


def test_an_issuer_is_read_from_its_table_with_defaults(tmp_path: Path) -> None:
    [issuer] = load(tmp_path, ISSUER + AUDIENCE + KEYS).grpc.token_issuers
    assert issuer == TokenIssuer(issuer="https://id.test", audience="extaudit", jwks_url="https://id.test/keys")
    assert (issuer.user_claim, issuer.roles_claim, issuer.traits_claims) == ("sub", ("roles",), ())


def test_a_claim_is_one_name_or_a_way_of_names(tmp_path: Path) -> None:
    nested = 'roles_claim = ["realm_access", "roles"]\ntraits_claims = "groups"\n'
    [issuer] = load(tmp_path, ISSUER + AUDIENCE + KEYS + nested).grpc.token_issuers
    assert (issuer.roles_claim, issuer.traits_claims) == (("realm_access", "roles"), ("groups",))


def test_without_the_listener_there_are_no_issuers_and_no_tokens() -> None:
    assert (Config().grpc.token_listen, Config().grpc.token_issuers) == (None, ())


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (AUDIENCE + KEYS, ".issuer (file): must be given"),
        (ISSUER + KEYS, ".audience (file): must be given"),
        (ISSUER + AUDIENCE, " (file): needs either jwks_url or jwks_file"),
        (ISSUER + AUDIENCE + KEYS + 'secret = "x"\n', ".'secret' (file): there is no such setting"),
        (ISSUER + AUDIENCE + KEYS + "roles_claim = 5\n", ".roles_claim (file): must be a text or a list of texts"),
        (ISSUER + AUDIENCE + KEYS + "user_claim = []\n", ".user_claim (file): must be a text that is not empty"),
        (ISSUER + AUDIENCE + KEYS + "roles_claim = []\n", ".roles_claim (file): must name a claim"),
        (ISSUER + AUDIENCE + KEYS + 'jwks_file = "pyproject.toml"\n', " (file): needs either jwks_url or jwks_file"),
        (
            ISSUER + AUDIENCE + 'jwks_file = "nosuch"\n',
            ".jwks_file (file): the file can't be read (No such file or directory)",
        ),
        (ISSUER + AUDIENCE + 'jwks_file = "docs"\n', ".jwks_file (file): is not a regular file"),
        (
            ISSUER + AUDIENCE + KEYS + 'jwks_ca = "pyproject.toml"\n',
            ".jwks_ca (file): the file holds no certificate in PEM",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_issuer_is_told_at_its_place(tmp_path: Path, entry: str, problem: str) -> None:
    assert problems(tmp_path, entry) == ["grpc.token_issuers[0]" + problem]


@pytest.mark.parametrize(
    "url",
    [
        "http://id.test/keys", "ftp://id.test/keys", "https:///keys", "https://a:b@id.test/keys", "https://id.test:x/keys",
        "https://id.test/keys#part", "file:///etc/keys", "id.test/keys", "http://127.0.0.1.test/keys", "https://[::1/keys",
    ],
)  # fmt: skip
def test_keys_are_fetched_by_https_or_from_loopback_only(tmp_path: Path, url: str) -> None:
    told = problems(tmp_path, ISSUER + AUDIENCE + f'jwks_url = "{url}"\n')
    assert told == [
        "grpc.token_issuers[0].jwks_url (file): must be an https URL, or an http URL on loopback, without user, "
        "password and fragment"
    ]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/keys", "http://[::1]/keys", "http://localhost/keys?a=b"])
def test_plain_http_is_enough_on_loopback(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, ISSUER + AUDIENCE + f'jwks_url = "{url}"\n').grpc.token_issuers[0].jwks_url == url


@pytest.mark.parametrize("issuer", ["accounts.test", "http://id.test", "https://id.test?a=b", "https://id.test/#a"])
def test_an_issuer_is_an_https_url(tmp_path: Path, issuer: str) -> None:
    [told] = problems(tmp_path, f'issuer = "{issuer}"\n' + AUDIENCE + KEYS)
    assert told.startswith("grpc.token_issuers[0].issuer (file): must be an https URL")


def test_an_issuer_has_no_at_sign_so_that_names_with_it_are_unmistakable(tmp_path: Path) -> None:
    [told] = problems(tmp_path, 'issuer = "https://id.test/@b"\n' + AUDIENCE + KEYS)
    assert told.startswith("grpc.token_issuers[0].issuer (file): must be a URL of at most")


@pytest.mark.parametrize(
    "spelling", ["https://audit.test", "https://audit.test/", "https://AUDIT.test", "https://audit.test:443"]
)
def test_the_services_own_issuer_is_refused_however_it_is_spelled(tmp_path: Path, spelling: str) -> None:
    entry = f'issuer = "{spelling}"\n' + AUDIENCE + KEYS
    told = problems(tmp_path, entry, issuer_url="https://audit.test")
    assert told == ["grpc.token_issuers[0].issuer (file): is the service's own issuer, whose tokens are never accepted"]


def test_keys_from_the_services_own_issuer_are_refused(tmp_path: Path) -> None:
    entry = ISSUER + AUDIENCE + 'jwks_url = "https://audit.test/.well-known/jwks-oidc"\n'
    told = problems(tmp_path, entry, issuer_url="https://audit.test/")
    assert told == [
        "grpc.token_issuers[0].jwks_url (file): is at the service's own issuer, whose tokens are never accepted"
    ]
    assert load(tmp_path, entry, issuer_url="https://audit.test.example/")


def test_an_issuer_is_listed_once(tmp_path: Path) -> None:
    again = 'issuer = "https://ID.test/"\n' + AUDIENCE + KEYS
    assert problems(tmp_path, ISSUER + AUDIENCE + KEYS, again) == [
        "grpc.token_issuers[1].issuer (file): is listed twice"
    ]


def test_the_example_of_the_page_about_tokens_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "tokens.md").read_text()
    (tmp_path / "extaudit.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    config = load_config({"config": str(tmp_path / "extaudit.toml")}, {})
    assert config.grpc.token_issuers[0].roles_claim == ("realm_access", "roles")


def test_there_are_at_most_sixteen_issuers(tmp_path: Path) -> None:
    entries = [f'issuer = "https://id{n}.test"\n' + AUDIENCE + KEYS for n in range(17)]
    assert len(load(tmp_path, *entries[:16]).grpc.token_issuers) == 16
    assert problems(tmp_path, *entries) == ["grpc.token_issuers (file): must be at most 16"]


def test_listener_and_issuers_come_together(tmp_path: Path) -> None:
    assert problems(tmp_path) == [
        "grpc.token_listen (--grpc-token-listen): needs at least one [[grpc.token_issuers]] in the file"
    ]
    assert problems(tmp_path, ISSUER + AUDIENCE + KEYS, grpc_token_listen=None) == [
        "grpc.token_issuers (file): needs grpc.token_listen as well"
    ]


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("9444", "must be HOST:PORT or [IPv6]:PORT"),
        ("127.0.0.1:9443", "must be another address than grpc.listen"),
    ],
)
def test_the_token_listener_has_an_address_of_its_own(tmp_path: Path, listen: str, problem: str) -> None:
    told = problems(tmp_path, ISSUER + AUDIENCE + KEYS, grpc_token_listen=listen)
    assert told == [f"grpc.token_listen (--grpc-token-listen): {problem}"]


@pytest.mark.parametrize("value", ['"x"', "5", "[1]", "{}"])
def test_issuers_are_a_list_of_tables(tmp_path: Path, value: str) -> None:
    file = tmp_path / "extaudit.toml"
    file.write_text(f"[grpc]\ntoken_issuers = {value}\n")
    with pytest.raises(ConfigProblems) as caught:
        load_config({"config": str(file)}, {})
    assert caught.value.problems == ["grpc.token_issuers (file): must be a list of tables"]


def test_issuers_have_neither_flag_nor_variable() -> None:
    with pytest.raises(ConfigProblems) as caught:
        load_config({"grpc_token_issuers": "x"}, {"EXTAUDIT_GRPC_TOKEN_ISSUERS": "x"})
    assert caught.value.problems == [
        "EXTAUDIT_GRPC_TOKEN_ISSUERS: there is no such setting",
        "--grpc-token-issuers: there is no such setting",
    ]
