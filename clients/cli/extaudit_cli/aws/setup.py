"""Setting the trust up in an account: what is there is compared, what is lacking is made, nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from extaudit_cli.aws.admin import Admin
from extaudit_cli.aws.problems import AwsProblem, AwsRefusal
from extaudit_cli.aws.trust import ROLE_DESCRIPTION, Policy, Trust, means_the_same
from extaudit_cli.bootstrap.rows import Outcome, Report, Row, with_problem
from server.integrations.integration import RoleArn

_ABSENT: Final = "NoSuchEntity"
_MOST_THUMBPRINTS: Final = 5
_REMEDY: Final = "left as it is; --update-trust makes it as planned"
_WOULD: Final = {
    Outcome.CREATED: Outcome.WOULD_CREATE,
    Outcome.SET: Outcome.WOULD_SET,
    Outcome.UPDATED: Outcome.WOULD_UPDATE,
}


@dataclass(slots=True)
class Setup:
    """One run. `thumbprint` is None where AWS needs none; `update_trust` lets what is otherwise be made as planned.

    `told` is called with each row as soon as it is known.
    """

    admin: Admin
    trust: Trust
    thumbprint: str | None
    dry_run: bool
    update_trust: bool
    told: Callable[[Row], None]
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.dry_run)

    def run(self) -> None:
        """Look at each part and do what is to be done, one after the other.

        Raises:
            AwsProblem: AWS refuses or can't be asked, or a role of that name can't be the integration's. The report
                has it too. What was done until then stays, and another run goes on from there.
        """
        for thing, arn, steps in (
            ("identity-provider", self.trust.provider_arn, self._provider),
            ("role", str(self.trust.role), self._role),
        ):
            try:
                for row in steps():
                    self._tell(row)
            except AwsProblem as problem:
                self._tell(with_problem(Row(thing, "", arn, Outcome.FAILED), problem))
                raise

    def _tell(self, row: Row) -> None:
        self.report.rows.append(row)
        self.told(row)

    def _provider(self) -> Iterator[Row]:
        arn = self.trust.provider_arn
        found = self.admin.find("iam", "get_open_id_connect_provider", _ABSENT, OpenIDConnectProviderArn=arn)
        planned = {"url": self.trust.issuer, "client_id": self.trust.audience, "thumbprint": self.thumbprint}
        if found is None:
            yield self._done(Row("identity-provider", "", arn, Outcome.CREATED, planned), self._create_provider)
            return
        yield Row("identity-provider", "", arn, Outcome.EQUAL)
        yield self._client_id(found.get("ClientIDList", []))
        if self.thumbprint is not None:
            yield self._thumbprints(self.thumbprint, found.get("ThumbprintList", []))

    def _client_id(self, found: list[str]) -> Row:
        arn, audience = self.trust.provider_arn, self.trust.audience
        row = Row("identity-provider", "client-id", arn, Outcome.EQUAL, audience, found)
        if audience in found:
            return row
        row = replace(row, outcome=Outcome.SET)
        add = "add_client_id_to_open_id_connect_provider"
        return self._done(row, lambda: self._call(add, OpenIDConnectProviderArn=arn, ClientID=audience))

    def _thumbprints(self, thumbprint: str, found: list[str]) -> Row:
        arn = self.trust.provider_arn
        row = Row("identity-provider", "thumbprint", arn, Outcome.EQUAL, thumbprint, found)
        if thumbprint in (each.lower() for each in found):
            return row
        if not self.update_trust:
            return replace(row, outcome=Outcome.DIFFERS, remedy=_REMEDY)
        if len(found) >= _MOST_THUMBPRINTS:
            raise AwsProblem(f"{arn} has {len(found)} thumbprints already, and can have no more; remove old ones first")
        row = replace(row, outcome=Outcome.UPDATED)
        put = "update_open_id_connect_provider_thumbprint"
        return self._done(
            row, lambda: self._call(put, OpenIDConnectProviderArn=arn, ThumbprintList=[*found, thumbprint])
        )

    def _create_provider(self) -> None:
        given: dict[str, Any] = {"ThumbprintList": [self.thumbprint]} if self.thumbprint is not None else {}
        try:
            self._call(
                "create_open_id_connect_provider",
                Url=self.trust.issuer,
                ClientIDList=[self.trust.audience],
                Tags=_tags(self.trust.provider_tags),
                **given,
            )
        except AwsRefusal as refusal:
            issuer = urlsplit(self.trust.issuer)
            if not refusal.denied and (issuer.scheme != "https" or issuer.port is not None):
                refusal.add(f"AWS takes issuers by https at port 443 alone, and issuer_url is {self.trust.issuer}")
            raise

    def _role(self) -> Iterator[Row]:
        role = self.trust.role
        found = self.admin.find("iam", "get_role", _ABSENT, RoleName=role.name)
        if found is None:
            planned = {"trust": self.trust.policy, "description": ROLE_DESCRIPTION, "tags": self.trust.role_tags}
            yield self._done(Row("role", "", str(role), Outcome.CREATED, planned), self._create_role)
            return
        there = found["Role"]
        _require_same(role, there["Arn"])
        yield Row("role", "", str(role), Outcome.EQUAL)
        yield self._trust(_document(there["AssumeRolePolicyDocument"]))
        yield _beside("description", role, ROLE_DESCRIPTION, there.get("Description"))
        tags = {each["Key"]: each["Value"] for each in there.get("Tags", [])}
        yield _beside("tags", role, self.trust.role_tags, {k: tags[k] for k in self.trust.role_tags if k in tags})

    def _trust(self, found: Policy) -> Row:
        planned = self.trust.policy
        row = Row("role", "trust", str(self.trust.role), Outcome.EQUAL, planned, found)
        if means_the_same(found, planned):
            return row
        if not self.update_trust:
            return replace(row, outcome=Outcome.DIFFERS, remedy=_REMEDY)
        put = {"RoleName": self.trust.role.name, "PolicyDocument": json.dumps(planned)}
        row = replace(row, outcome=Outcome.UPDATED)
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
            return replace(row, outcome=_WOULD[row.outcome])
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


def _beside(attribute: str, role: RoleArn, planned: Any, found: Any) -> Row:
    """What makes no difference to who may assume the role; where it is otherwise it stays."""
    notes = () if found == planned else (f"the {attribute} is of somebody else, and stays",)
    return Row("role", attribute, str(role), Outcome.EQUAL, planned, found, notes=notes)


def _document(found: Any) -> Policy:
    """A policy as AWS gives it: read already, or as text with characters of URLs."""
    document: Policy = json.loads(unquote(found)) if isinstance(found, str) else found
    return document


def _tags(tags: Any) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
