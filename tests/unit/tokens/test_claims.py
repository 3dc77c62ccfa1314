"""Which user the claims of a token give, and which claims give none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rbac.identities import IdentityKind
from server.errors import Unauthenticated
from server.tokens.claims import check_audience, read_validity, user_of
from tests.tokens_builder import ISSUER, issuer

NO_SKEW = timedelta()
BASE: dict[str, Any] = {"sub": "alice", "roles": ["auditor"], "iat": 1_000, "exp": 2_000}


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def refused(call: Any) -> str:
    with pytest.raises(Unauthenticated) as caught:
        call()
    return caught.value.message


@pytest.mark.parametrize("audience", ["extaudit", ["extaudit"], ["other", "extaudit"]])
def test_the_audience_is_the_text_or_in_the_list(audience: Any) -> None:
    check_audience({"aud": audience}, "extaudit")


@pytest.mark.parametrize(
    "claims",
    [{}, {"aud": None}, {"aud": "Extaudit"}, {"aud": "extaudit "}, {"aud": []}, {"aud": ["extaudit2"]},
     {"aud": {"extaudit": 1}}, {"aud": [["extaudit"]]}, {"aud": "xextauditx"}],
)  # fmt: skip
def test_another_audience_is_refused(claims: dict[str, Any]) -> None:
    assert refused(lambda: check_audience(claims, "extaudit")) == "the token is for another audience"


def test_a_token_counts_from_its_issue_to_its_end_with_the_allowance_on_both_sides() -> None:
    validity = read_validity({"iat": 1_000, "exp": 2_000.5}, timedelta(seconds=30))
    assert (validity.begins, validity.ends) == (at(970), at(2_030.5))


@pytest.mark.parametrize(("not_before", "begins"), [(500, 1_000), (1_500, 1_500)])
def test_nbf_puts_the_beginning_off(not_before: int, begins: int) -> None:
    assert read_validity({"iat": 1_000, "nbf": not_before, "exp": 2_000}, NO_SKEW).begins == at(begins)


@pytest.mark.parametrize("name", ["iat", "exp"])
@pytest.mark.parametrize("value", [None, "1000", True, -1, 1e18, [1_000], {}])
def test_iat_and_exp_are_there_and_are_times(name: str, value: Any) -> None:
    claims = {"iat": 1_000, "exp": 2_000, name: value}
    assert (
        refused(lambda: read_validity(claims, NO_SKEW)) == f"the token must have {name}, a time in seconds since 1970"
    )
    del claims[name]
    assert (
        refused(lambda: read_validity(claims, NO_SKEW)) == f"the token must have {name}, a time in seconds since 1970"
    )


@pytest.mark.parametrize("value", [None, "1000", True, -1])
def test_nbf_is_a_time_where_it_is_there(value: Any) -> None:
    assert "nbf" in refused(lambda: read_validity({"iat": 1_000, "exp": 2_000, "nbf": value}, NO_SKEW))


@pytest.mark.parametrize("life", [0, -1, 24 * 3600 + 1, 24 * 3600 + 0.5])
def test_a_life_is_over_nothing_and_at_most_24_hours(life: float) -> None:
    assert read_validity({"iat": 1_000, "exp": 1_000 + 24 * 3600}, NO_SKEW)
    told = refused(lambda: read_validity({"iat": 1_000, "exp": 1_000 + life}, timedelta(seconds=300)))
    assert told == "the token's exp must come after its iat, by at most 24 hours"


def test_the_claims_give_a_user_of_the_issuer() -> None:
    who = user_of({**BASE, "jti": "t-1"}, issuer(), "d1", qualified=False)
    assert (who.kind, who.name, who.roles) == (IdentityKind.USER, "alice", {"auditor"})
    assert (who.trust_anchor, who.certificate_serial, who.token_id) == (ISSUER, "", "t-1")
    assert (who.not_before, who.expires) == (at(1_000), at(2_000))
    assert who.key == (ISSUER, "user", "alice")


def test_the_user_is_named_with_the_issuer_where_another_could_give_the_name() -> None:
    assert user_of(BASE, issuer(), "d1", qualified=True).name == f"alice@{ISSUER}"


def test_the_name_comes_from_the_configured_claim() -> None:
    settings = issuer(user_claim="email")
    assert user_of({**BASE, "email": "a@id.test"}, settings, "d1", qualified=False).name == "a@id.test"
    assert "name" in refused(lambda: user_of(BASE, settings, "d1", qualified=False))


@pytest.mark.parametrize("name", [None, "", 5, "Node", "proxy", " alice", "a\nb", "a\u202eb", "x" * 129, ["alice"]])
def test_a_name_no_user_may_have_is_refused(name: Any) -> None:
    told = refused(lambda: user_of({**BASE, "sub": name}, issuer(), "d1", qualified=True))
    assert told == "the token's name is not one a user may have"


@pytest.mark.parametrize("kind", ["component", "service"])
def test_no_claim_makes_another_kind_than_user(kind: str) -> None:
    claims = {**BASE, "kind": kind, "trust_anchor": "x", "cluster": "c"}
    assert user_of(claims, issuer(), "d1", qualified=False).kind is IdentityKind.USER


def test_roles_come_from_the_configured_claim_also_a_nested_one() -> None:
    nested = {**BASE, "realm_access": {"roles": ["editor"]}}
    assert user_of(nested, issuer(roles_claim=("realm_access", "roles")), "d", qualified=False).roles == {"editor"}


@pytest.mark.parametrize(
    ("claims", "way"),
    [({}, ("roles",)), ({"a": {}}, ("a", "b")), ({"a": ["b"]}, ("a", "b")), ({"a.b": ["x"]}, ("a", "b"))],
)
def test_a_token_without_the_roles_claim_is_refused(claims: dict[str, Any], way: tuple[str, ...]) -> None:
    told = refused(lambda: user_of({"sub": "alice", **claims}, issuer(roles_claim=way), "d", qualified=False))
    assert told == "the token lacks the claim that roles come from"


@pytest.mark.parametrize("roles", [None, "auditor", 5, {}, [5], ["auditor", None], [["auditor"]], ["r"] * 65])
def test_roles_are_a_list_of_texts(roles: Any) -> None:
    told = refused(lambda: user_of({**BASE, "roles": roles}, issuer(), "d", qualified=False))
    assert told == "the token's roles must be a list of at most 64 texts"


@pytest.mark.parametrize("role", ["Node", "proxy", "ADMIN", " Auth ", "", "a\0", "r" * 129])
def test_a_system_roles_name_is_refused_among_roles(role: str) -> None:
    told = refused(lambda: user_of({**BASE, "roles": ["auditor", role]}, issuer(), "d", qualified=False))
    assert told == "the token claims a role that no user may have"


def test_an_empty_list_of_roles_is_a_user_without_roles() -> None:
    assert user_of({**BASE, "roles": []}, issuer(), "d", qualified=False).roles == frozenset()


def test_traits_come_from_the_configured_claims_alone() -> None:
    claims = {**BASE, "groups": ["a", "b"], "team": "x", "other": ["c"]}
    who = user_of(claims, issuer(traits_claims=("team", "groups", "absent")), "d", qualified=False)
    assert who.traits == (("groups", ("a", "b")), ("team", ("x",)))


@pytest.mark.parametrize("value", [5, None, {"a": "b"}, ["a", 5], [["a"]]])
def test_a_trait_is_a_text_or_a_list_of_texts(value: Any) -> None:
    told = refused(lambda: user_of({**BASE, "groups": value}, issuer(traits_claims=("groups",)), "d", qualified=False))
    assert told == "a claim that traits come from must be a text or a list of texts"


@pytest.mark.parametrize("jti", [None, "", 5, "a b", "é", "j" * 129, "a\n"])
def test_without_a_fit_jti_the_token_id_is_the_digest_of_what_was_signed(jti: Any) -> None:
    assert user_of({**BASE, "jti": jti}, issuer(), "d1", qualified=False).token_id == "sha256:d1"
    assert user_of(BASE, issuer(), "d1", qualified=False).token_id == "sha256:d1"
