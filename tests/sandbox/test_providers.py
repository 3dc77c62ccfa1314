"""OpenID Connect providers take one more client id; moto has no such action."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.running import Sandbox

ARN = "arn:aws:iam::123456789012:oidc-provider/clients.test"


def test_a_provider_takes_one_more_client_id_once(sandbox: Sandbox, moto: Sandbox) -> None:
    iam, plain = sandbox.client("iam"), moto.client("iam")
    add = {"OpenIDConnectProviderArn": ARN, "ClientID": "ours"}
    with pytest.raises(ClientError) as missing:
        iam.add_client_id_to_open_id_connect_provider(**add)
    assert missing.value.response["Error"]["Code"] == "NoSuchEntity"
    for client in (iam, plain):
        client.create_open_id_connect_provider(Url="https://clients.test", ClientIDList=["theirs"])
    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(**add)
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=ARN)
    assert found["ClientIDList"] == ["theirs", "ours"]
    with pytest.raises(Exception, match=r"Internal Server Error|syntax error"):  # a page for people, which is no XML
        plain.add_client_id_to_open_id_connect_provider(**add)
