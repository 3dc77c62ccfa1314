"""What AWS has to trust, as policy and as a file for Terraform: every value comes back as it was planned."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import ssl
import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from extaudit_cli.aws.thumbprint import IssuerUnreachable, thumbprint
from extaudit_cli.aws.trust import Trust, means_the_same
from extaudit_cli.terraform.syntax import Json, Reference
from extaudit_cli.terraform.web_identity import trust_text
from extaudit_client import Identity, Integration, WebIdentity

from server.integrations.integration import RoleArn
from tests.jwks_server import JwksServer
from tests.terraform_reader import read

ISSUER = "https://audit.example.com:8443/extaudit"
_PATH = "".join(map(chr, range(0x21, 0x7F))).replace("/", "")
_ROLE_NAME = string.ascii_letters + string.digits + "_+=,.@-"
_NAME = string.ascii_letters + string.digits + "_.@+-"


def trust(role_arn: str = "arn:aws:iam::111122223333:role/audit", name: str = "ours", issuer: str = ISSUER) -> Trust:
    then = datetime(2026, 11, 28, tzinfo=UTC)
    who = Identity("user", "root", "a", "1")
    trusted = WebIdentity(issuer, "extaudit.aws", f"extaudit:integration:{name}")
    return Trust.of(Integration(name, role_arn, "r", then, then, who, trusted))


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn"])
def test_the_trust_policy_looks_at_audience_and_subject_and_is_of_the_roles_partition(partition: str) -> None:
    planned = trust(f"arn:{partition}:iam::111122223333:role/audit").policy
    assert planned == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": f"arn:{partition}:iam::111122223333:oidc-provider/audit.example.com:8443/extaudit"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        "audit.example.com:8443/extaudit:aud": "extaudit.aws",
                        "audit.example.com:8443/extaudit:sub": "extaudit:integration:ours",
                    }
                },
            }
        ],
    }


def test_without_an_issuer_or_a_known_role_there_is_nothing_to_trust() -> None:
    with pytest.raises(click.ClickException, match="set issuer_url"):
        trust(issuer="")
    with pytest.raises(click.ClickException, match="no AWS role"):
        trust("")


SAME: list[Any] = [
    lambda policy: policy["Statement"][0].update(Sid="ours"),
    lambda policy: policy.update(Statement=policy["Statement"][0]),
    lambda policy: policy["Statement"][0].update(Action=["sts:AssumeRoleWithWebIdentity"]),
    lambda policy: conditions(policy).update({key: [value] for key, value in conditions(policy).items()}),
]
OTHER: list[Any] = [
    lambda policy: policy["Statement"].append({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}),
    lambda policy: policy["Statement"][0].update(Effect="Deny"),
    lambda policy: policy.update(Version="2008-10-17"),
    lambda policy: policy["Statement"].clear(),
    lambda policy: conditions(policy).popitem(),
    lambda policy: conditions(policy).update(
        {"audit.example.com:8443/extaudit:sub": ["extaudit:integration:ours", "x"]}
    ),
    lambda policy: policy["Statement"][0]["Condition"].update(StringLike={"a": "b"}),
    lambda policy: policy["Statement"][0]["Condition"].update(
        StringLike=policy["Statement"][0]["Condition"].pop("StringEquals")
    ),
]


def conditions(policy: Any) -> Any:
    return policy["Statement"][0]["Condition"]["StringEquals"]


@pytest.mark.parametrize(("change", "same"), [(each, True) for each in SAME] + [(each, False) for each in OTHER])
def test_policies_are_compared_by_what_they_mean(change: Any, same: bool) -> None:
    planned = trust().policy
    changed = copy.deepcopy(planned)
    change(changed)
    assert means_the_same(changed, planned) is same


def random_trust(chance: random.Random) -> Trust:
    """Of names and ARNs with any legal characters, those that mean something to Terraform and JSON most of all."""

    def text(alphabet: str, most: int) -> str:
        return "".join(chance.choices(alphabet, k=chance.randint(1, most)))

    nasty = ["${aws:username}", "%{if}", "$${", "\\", '"', "#", "'", "<<EOT", "*", "~", "{}"]
    parts = [chance.choice([text(_PATH, 20), *nasty]) for _ in range(chance.randint(0, 4))]
    path = "/" + "".join(f"{part}/" for part in parts)
    account = "".join(chance.choices(string.digits, k=12))
    partition = chance.choice(["aws", "aws-us-gov", "aws-cn"])
    made = trust(f"arn:{partition}:iam::{account}:role{path}{text(_ROLE_NAME, 64)}", text(_NAME, 128))
    assert made.role.path == path
    return made


def test_any_legal_names_come_back_from_terraform_and_json_as_they_were_planned() -> None:
    chance = random.Random(7)
    for _ in range(60):
        planned = random_trust(chance)
        digest = chance.choice([None, f"{chance.getrandbits(160):040x}"])
        found = read(trust_text(planned, digest))
        provider = found["resource"][0]["aws_iam_openid_connect_provider"]["extaudit"]
        role = found["resource"][1]["aws_iam_role"]["extaudit"]
        assert found["provider"][0]["aws"]["allowed_account_ids"] == [planned.role.account_id]
        assert provider == {
            "url": planned.issuer,
            "client_id_list": [planned.audience],
            **({"thumbprint_list": [digest]} if digest else {}),
            "tags": dict(planned.provider_tags),
        }
        assert isinstance(role["assume_role_policy"], Json)
        policy: Any = role["assume_role_policy"].value
        principal = policy["Statement"][0]["Principal"]
        assert principal == {"Federated": Reference("aws_iam_openid_connect_provider.extaudit.arn")}
        principal["Federated"] = planned.provider_arn
        assert policy == planned.policy == json.loads(json.dumps(planned.policy))
        arn = RoleArn(planned.role.partition, planned.role.account_id, role["path"], role["name"])
        assert arn == planned.role == RoleArn.parse(str(arn))
        assert role["tags"] == dict(planned.role_tags)


def test_the_thumbprint_is_of_the_last_certificate_that_a_private_issuer_presents(tmp_path: Path) -> None:
    with JwksServer(tmp_path) as server:
        issuer = server.url.removesuffix("/keys?of=1")
        presented = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("localhost", int(issuer.rpartition(":")[2]))))
        assert thumbprint(issuer, server.ca) == hashlib.sha1(presented).hexdigest()
        with pytest.raises(click.ClickException, match=r"isn.t trusted here .*--issuer-ca"):
            thumbprint(issuer, None)
    with pytest.raises(IssuerUnreachable):
        thumbprint(issuer, server.ca)
    assert thumbprint("http://localhost:9", None) is None
