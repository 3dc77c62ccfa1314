"""The calls about integrations and signing keys: requests from arguments, and answers read."""

from __future__ import annotations

from typing import Any

from extaudit.v1 import integration_service_pb2 as pb
from extaudit.v1.integration_pb2 import AwsOidcIntegration
from extaudit.v1.integration_pb2 import Integration as Message

from extaudit_client.calling import Call
from extaudit_client.integration_rows import Integration, integration_from
from extaudit_client.paging import Listed
from extaudit_client.signing_keys import SigningKey, signing_key_from


def create(name: str, role_arn: str) -> Call[Integration]:
    """Create one. Not repeated: a second call says that it is there already, whoever made it."""
    message = Message(name=name, aws_oidc=AwsOidcIntegration(role_arn=role_arn))
    request = pb.CreateIntegrationRequest(integration=message)
    return Call(lambda stubs: stubs.integrations.CreateIntegration, request, _given, repeatable=False)


def get(name: str) -> Call[Integration]:
    """One of them."""
    return Call(lambda stubs: stubs.integrations.GetIntegration, pb.GetIntegrationRequest(name=name), _given)


def page(page_token: str) -> Call[Listed[Integration]]:
    """One page of all."""
    return Call(
        lambda stubs: stubs.integrations.ListIntegrations,
        pb.ListIntegrationsRequest(page_token=page_token),
        lambda answer: Listed(tuple(map(integration_from, answer.integrations)), answer.next_page_token),
    )


def update(name: str, role_arn: str, revision: str, *, force: bool, reason: str) -> Call[Integration]:
    """Give one another role. Not repeated: a second call is made from a revision that is no more."""
    message = Message(name=name, revision=revision, aws_oidc=AwsOidcIntegration(role_arn=role_arn))
    request = pb.UpdateIntegrationRequest(integration=message, force=force, reason=reason)
    return Call(lambda stubs: stubs.integrations.UpdateIntegration, request, _given, repeatable=False)


def delete(name: str, revision: str) -> Call[None]:
    """Delete one. Not repeated: a second call says that there is none."""
    request = pb.DeleteIntegrationRequest(name=name, revision=revision)
    return Call(lambda stubs: stubs.integrations.DeleteIntegration, request, lambda answer: None, repeatable=False)


def rotate_signing_key(reason: str, *, drop_old: bool) -> Call[list[SigningKey]]:
    """Have the next key sign. Not repeated: once more would rotate again."""
    return Call(
        lambda stubs: stubs.integrations.RotateSigningKey,
        pb.RotateSigningKeyRequest(drop_old=drop_old, reason=reason),
        lambda answer: [signing_key_from(key) for key in answer.keys],
        repeatable=False,
    )


def _given(answer: Any) -> Integration:
    return integration_from(answer.integration)
