"""AssumeRoleWithWebIdentity: moto takes any token for any role; the sandbox only those that the role trusts."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.jwks_server import JwksServer
from tests.sandbox.running import Sandbox, running_sandbox
from tests.sandbox.token_issuer import Issuer, trust_policy, trusting_role
from tests.tokens_builder import MISSING, encoded, hmac_with, jwks, rsa_key


def assume(sandbox: Sandbox, role: str, token: str, **more: Any) -> dict[str, Any]:
    given = {"RoleArn": role, "RoleSessionName": "session", "WebIdentityToken": token, **more}
    answer: dict[str, Any] = sandbox.client("sts").assume_role_with_web_identity(**given)
    return answer


def refused(sandbox: Sandbox, role: str, token: str, **more: Any) -> str:
    with pytest.raises(ClientError) as error:
        assume(sandbox, role, token, **more)
    return str(error.value.response["Error"]["Code"])


def test_moto_gives_a_session_of_no_role_for_no_token(moto: Sandbox) -> None:
    answer = assume(moto, "arn:aws:iam::123456789012:role/there-is-none", "this is no token at all")
    assert answer["Credentials"]["AccessKeyId"]


def test_a_right_token_gives_a_session_with_the_roles_rights(sandbox: Sandbox, issuer: Issuer) -> None:
    role = trusting_role(sandbox, issuer, "right")
    answer = assume(sandbox, role, issuer.token())
    assert answer["SubjectFromWebIdentityToken"] == "integration:main"
    assert answer["Audience"] == "discover.teleport"
    assert answer["Provider"] == f"arn:aws:iam::123456789012:oidc-provider/{issuer.host}"
    seconds = answer["Credentials"]["Expiration"].timestamp() - time.time()
    assert 3300 < seconds <= 3600
    who = sandbox.client("sts", credentials=answer["Credentials"]).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::123456789012:assumed-role/right/session"
    with pytest.raises(ClientError) as error:
        sandbox.client("s3", credentials=answer["Credentials"]).list_buckets()
    assert error.value.response["Error"]["Code"] == "AccessDenied"


def test_an_issuer_over_tls_is_believed_where_its_certificate_is(
    sandbox: Sandbox, secure_issuer: tuple[Issuer, JwksServer]
) -> None:
    issuer, _ = secure_issuer
    role = trusting_role(sandbox, issuer, "secure")
    assert assume(sandbox, role, issuer.token())["Credentials"]
    with running_sandbox() as other:
        role = trusting_role(other, issuer, "secure")
        assert refused(other, role, issuer.token()) == "IDPCommunicationError"


def forged(issuer: Issuer) -> str:
    return rsa_key(issuer.key.kid).token(iss=issuer.url, aud="discover.teleport", sub="integration:main")


def with_public_key_as_secret(issuer: Issuer) -> str:
    signed, _, _ = issuer.token({"alg": "HS256"}).rpartition(".")
    return f"{signed}.{encoded(hmac_with(issuer.key.public_pem)(signed.encode()))}"


def from_now(seconds: int) -> int:
    return int(time.time()) + seconds


WRONG = {
    "forged": (forged, "InvalidIdentityToken"),
    "algorithm none": (lambda issuer: issuer.token({"alg": "none"}).rpartition(".")[0] + ".", "InvalidIdentityToken"),
    "another algorithm": (lambda issuer: issuer.token({"alg": "RS512"}), "InvalidIdentityToken"),
    "public key as secret": (with_public_key_as_secret, "InvalidIdentityToken"),
    "no token": (lambda _: "this is no token", "InvalidIdentityToken"),
    "no key id": (lambda issuer: issuer.token({"kid": MISSING}), "InvalidIdentityToken"),
    "another key id": (lambda issuer: issuer.token({"kid": "another"}), "InvalidIdentityToken"),
    "another issuer": (lambda issuer: issuer.token(iss="https://elsewhere.test"), "InvalidIdentityToken"),
    "another scheme": (lambda issuer: issuer.token(iss=f"http://{issuer.host}"), "InvalidIdentityToken"),
    "expired": (lambda issuer: issuer.token(exp=from_now(-1)), "ExpiredTokenException"),
    "never expires": (lambda issuer: issuer.token(exp=MISSING), "InvalidIdentityToken"),
    "not issued at any time": (lambda issuer: issuer.token(iat=MISSING), "InvalidIdentityToken"),
    "issued later": (lambda issuer: issuer.token(iat=from_now(3000)), "InvalidIdentityToken"),
    "valid later": (lambda issuer: issuer.token(nbf=from_now(3000)), "InvalidIdentityToken"),
    "another audience": (lambda issuer: issuer.token(aud="elsewhere"), "InvalidIdentityToken"),
    "several audiences": (lambda issuer: issuer.token(aud=["discover.teleport", "x"]), "InvalidIdentityToken"),
    "another subject": (lambda issuer: issuer.token(sub="integration:other"), "AccessDenied"),
    "no subject": (lambda issuer: issuer.token(sub=MISSING), "InvalidIdentityToken"),
}


@pytest.fixture(scope="module")
def role_and_issuer(sandbox: Sandbox, secure_issuer: tuple[Issuer, JwksServer]) -> tuple[str, Issuer]:
    return trusting_role(sandbox, secure_issuer[0], "refusing"), secure_issuer[0]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_token_is_refused(sandbox: Sandbox, role_and_issuer: tuple[str, Issuer], name: str) -> None:
    make, code = WRONG[name]
    role, issuer = role_and_issuer
    assert refused(sandbox, role, make(issuer)) == code


@pytest.mark.parametrize(
    ("operator", "subject", "passes"),
    [
        ("StringLike", "integration:*", True),
        ("StringLike", "other:*", False),
        ("ForAnyValue:StringEquals", ["x", "integration:main"], True),
        ("ForAnyValue:StringLike", ["x*"], False),
        ("StringNotEquals", "integration:main", False),
        ("StringEqualsIgnoreCase", "INTEGRATION:MAIN", True),
    ],
)
def test_a_trust_policys_conditions_decide(
    sandbox: Sandbox, issuer: Issuer, operator: str, subject: Any, passes: bool
) -> None:
    role = trusting_role(sandbox, issuer, f"conditions-{uuid.uuid4()}", operator=operator, subject=subject)
    if passes:
        assert assume(sandbox, role, issuer.token())["Credentials"]
    else:
        assert refused(sandbox, role, issuer.token()) == "AccessDenied"


def test_a_role_trusts_only_the_provider_and_action_that_it_names(sandbox: Sandbox, issuer: Issuer) -> None:
    role = trusting_role(sandbox, issuer, "narrow")
    iam = sandbox.client("iam")
    arn = f"arn:aws:iam::123456789012:oidc-provider/{issuer.host}"
    right = trust_policy(arn, issuer.host)
    wrong = [right.replace(arn, f"{arn}x"), right.replace("AssumeRoleWithWebIdentity", "AssumeRole")]
    wrong.append(right.replace('"Allow"', '"Deny"'))
    allowing, denying = (json.loads(each)["Statement"] for each in (right, wrong[-1]))
    wrong.append(json.dumps({"Version": "2012-10-17", "Statement": allowing + denying}))
    for document in wrong:
        iam.update_assume_role_policy(RoleName="narrow", PolicyDocument=document)
        assert refused(sandbox, role, issuer.token()) == "AccessDenied"
    assert refused(sandbox, role.replace("narrow", "there-is-none"), issuer.token()) == "AccessDenied"


def test_the_provider_must_be_of_the_roles_account(sandbox: Sandbox, issuer: Issuer) -> None:
    trusting_role(sandbox, issuer, "of-this-account")
    role = "arn:aws:iam::222222222222:role/of-this-account"
    assert refused(sandbox, role, issuer.token()) == "InvalidIdentityToken"


def test_a_session_lasts_as_long_as_the_role_allows(sandbox: Sandbox, issuer: Issuer) -> None:
    role = trusting_role(sandbox, issuer, "long")
    assert refused(sandbox, role, issuer.token(), DurationSeconds=3601) == "ValidationError"
    sandbox.client("iam").update_role(RoleName="long", MaxSessionDuration=7200)
    expiration = assume(sandbox, role, issuer.token(), DurationSeconds=7200)["Credentials"]["Expiration"]
    assert 6900 < expiration.timestamp() - time.time() <= 7200


def test_keys_are_fetched_again_when_a_token_names_an_unknown_one_and_only_then(
    sandbox: Sandbox, issuer: Issuer
) -> None:
    role = trusting_role(sandbox, issuer, "rotating")
    assume(sandbox, role, issuer.token())
    assume(sandbox, role, issuer.token())
    assert len(issuer.fetched) == 2
    old = issuer.token()
    issuer.key = rsa_key("key-2")
    assume(sandbox, role, issuer.token())
    assert len(issuer.fetched) == 4
    assert refused(sandbox, role, old) == "InvalidIdentityToken"


@pytest.mark.parametrize(
    "document", [{"issuer": "https://elsewhere.test"}, {"jwks_uri": "http://192.0.2.1/keys"}, {"jwks_uri": 1}]
)
def test_an_issuers_document_must_be_its_own(sandbox: Sandbox, issuer: Issuer, document: dict[str, Any]) -> None:
    role = trusting_role(sandbox, issuer, f"documents-{uuid.uuid4()}")
    right = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/.well-known/jwks-oidc"}
    issuer.document = {**right, **document}
    assert refused(sandbox, role, issuer.token()) == "InvalidIdentityToken"


def test_small_keys_are_none(sandbox: Sandbox, issuer: Issuer) -> None:
    role = trusting_role(sandbox, issuer, "small")
    issuer.key = rsa_key("key-1", bits=1024)
    issuer.keys = jwks(issuer.key)
    assert refused(sandbox, role, issuer.token()) == "InvalidIdentityToken"


def test_a_provider_is_reached_by_https_or_on_this_machine(sandbox: Sandbox, moto: Sandbox) -> None:
    far = {"Url": "http://issuer.test", "ClientIDList": ["x"], "ThumbprintList": ["0" * 40]}
    assert moto.client("iam").create_open_id_connect_provider(**far)
    with pytest.raises(ClientError):
        sandbox.client("iam").create_open_id_connect_provider(**far)


def test_an_ended_session_is_refused(sandbox: Sandbox, issuer: Issuer) -> None:
    role = trusting_role(sandbox, issuer, "ended")
    credentials = assume(sandbox, role, issuer.token())["Credentials"]
    assert sandbox.expire_sessions("ended") == 1
    for service, ask, code in (
        ("s3", lambda client: client.list_buckets(), "ExpiredToken"),
        ("sts", lambda client: client.get_caller_identity(), "ExpiredToken"),
        ("athena", lambda client: client.list_work_groups(), "ExpiredTokenException"),
    ):
        with pytest.raises(ClientError) as error:
            ask(sandbox.client(service, credentials=credentials))
        assert error.value.response["Error"]["Code"] == code
