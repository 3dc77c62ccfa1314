"""Setting the trust up in an account: what is there is compared, what is lacking is made, nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from extaudit_cli.aws.admin import Admin
from extaudit_cli.aws.problems import AwsProblem
from extaudit_cli.aws.setup_rows import Outcome, Row
from extaudit_cli.aws.trust import ROLE_DESCRIPTION, Policy, Trust, means_the_same
from server.integrations.integration import RoleArn

_ABSENT: Final = "NoSuchEntity"
_MOST_THUMBPRINTS: Final = 5
_REMEDY: Final = "left as it is; --update-trust makes it as planned"
_WOULD: Final = {
    Outcome.CREATED: Outcome.WOULD_CREATE,
    Outcome.SET: Outcome.WOULD_SET,
    Outcome.UPDATED: Outcome.WOULD_UPDATE,
}


@dataclass(frozen=True, slots=True)
class Setup:
    """One run. `thumbprint` is None where AWS needs none; `update_trust` lets what is otherwise be made as planned."""

    admin: Admin
    trust: Trust
    thumbprint: str | None
    dry_run: bool
    update_trust: bool

    def run(self) -> Iterator[Row]:
        """Look at each part and do what is to be done, one after the other.

        Raises:
            AwsProblem: AWS refuses or can't be asked, or a role of that name can't be the integration's. What was done
                until then stays, and another run goes on from there.
        """
        yield from self._provider()
        yield from self._role()

    def _provider(self) -> Iterator[Row]:
        arn = self.trust.provider_arn
        found = self.admin.find("iam", "get_open_id_connect_provider", _ABSENT, OpenIDConnectProviderArn=arn)
        planned = {"url": self.trust.issuer, "client_id": self.trust.audience, "thumbprint": self.thumbprint}
        if found is None:
            yield self._done(Row("identity-provider", arn, Outcome.CREATED, planned), self._create_provider)
            return
        yield Row("identity-provider", arn, Outcome.EQUAL)
        yield self._client_id(found.get("ClientIDList", []))
        if self.thumbprint is not None:
            yield self._thumbprints(self.thumbprint, found.get("ThumbprintList", []))

    def _client_id(self, found: list[str]) -> Row:
        name, arn, audience = "identity-provider.client-id", self.trust.provider_arn, self.trust.audience
        if audience in found:
            return Row(name, arn, Outcome.EQUAL, audience, found)
        row = Row(name, arn, Outcome.SET, audience, found)
        add = "add_client_id_to_open_id_connect_provider"
        return self._done(row, lambda: self._call(add, OpenIDConnectProviderArn=arn, ClientID=audience))

    def _thumbprints(self, thumbprint: str, found: list[str]) -> Row:
        name, arn = "identity-provider.thumbprint", self.trust.provider_arn
        if thumbprint in (each.lower() for each in found):
            return Row(name, arn, Outcome.EQUAL, thumbprint, found)
        if not self.update_trust:
            return Row(name, arn, Outcome.DIFFERS, thumbprint, found, _REMEDY)
        if len(found) >= _MOST_THUMBPRINTS:
            raise AwsProblem(f"{arn} has {len(found)} thumbprints already, and can have no more; remove old ones first")
        row = Row(name, arn, Outcome.UPDATED, thumbprint, found)
        put = "update_open_id_connect_provider_thumbprint"
        return self._done(
            row, lambda: self._call(put, OpenIDConnectProviderArn=arn, ThumbprintList=[*found, thumbprint])
        )

    def _create_provider(self) -> None:
        given: dict[str, Any] = {"ThumbprintList": [self.thumbprint]} if self.thumbprint is not None else {}
        self._call(
            "create_open_id_connect_provider",
            Url=self.trust.issuer,
            ClientIDList=[self.trust.audience],
            Tags=_tags(self.trust.provider_tags),
            **given,
        )

    def _role(self) -> Iterator[Row]:
        role = self.trust.role
        found = self.admin.find("iam", "get_role", _ABSENT, RoleName=role.name)
        if found is None:
            planned = {"trust": self.trust.policy, "description": ROLE_DESCRIPTION, "tags": self.trust.role_tags}
            yield self._done(Row("role", str(role), Outcome.CREATED, planned), self._create_role)
            return
        there = found["Role"]
        _require_same(role, there["Arn"])
        yield Row("role", str(role), Outcome.EQUAL)
        yield self._trust(_document(there["AssumeRolePolicyDocument"]))
        yield _beside("role.description", role, ROLE_DESCRIPTION, there.get("Description"))
        tags = {each["Key"]: each["Value"] for each in there.get("Tags", [])}
        yield _beside("role.tags", role, self.trust.role_tags, {k: tags[k] for k in self.trust.role_tags if k in tags})

    def _trust(self, found: Policy) -> Row:
        name, arn, planned = "role.trust", str(self.trust.role), self.trust.policy
        if means_the_same(found, planned):
            return Row(name, arn, Outcome.EQUAL, planned, found)
        if not self.update_trust:
            return Row(name, arn, Outcome.DIFFERS, planned, found, _REMEDY)
        put = {"RoleName": self.trust.role.name, "PolicyDocument": json.dumps(planned)}
        row = Row(name, arn, Outcome.UPDATED, planned, found)
        return self._done(row, lambda: self._call("update_assume_role_policy", **put))

    def _create_role(self) -> None:
        self._call(
            "create_role",
            RoleName=self.trust.role.name,
            Path=self.trust.role.path,
            Description=ROLE_DESCRIPTION,
            AssumeRolePolicyDocument=json.dumps(self.trust.policy),
            Tags=_tags(self.trust.role_tags),
        )

    def _done(self, row: Row, do: Callable[[], object]) -> Row:
        """Do what the row says, unless nothing is to be done."""
        if self.dry_run:
            return Row(row.name, row.subject, _WOULD[row.outcome], row.planned, row.found)
        do()
        return row

    def _call(self, method: str, **parameters: Any) -> None:
        self.admin.call("iam", method, **parameters)


def _require_same(role: RoleArn, found: str) -> None:
    if found != str(role):
        raise AwsProblem(
            f"the account has a role {role.name} already, with another path: {found}; names of roles are unique in an "
            "account, so give the integration that ARN, or another name"
        )


def _beside(name: str, role: RoleArn, planned: Any, found: Any) -> Row:
    outcome = Outcome.EQUAL if found == planned else Outcome.BESIDE
    return Row(name, str(role), outcome, planned, found)


def _document(found: Any) -> Policy:
    """A policy as AWS gives it: read already, or as text with characters of URLs."""
    document: Policy = json.loads(unquote(found)) if isinstance(found, str) else found
    return document


def _tags(tags: Any) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
