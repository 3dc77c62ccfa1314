"""The administrator's session: AWS credentials as boto3 finds them on this machine, and calls made with them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import click

from extaudit_cli.aws.problems import AwsProblem, AwsRefusal, action_of, unreached

if TYPE_CHECKING:
    from boto3.session import Session

FIRST_REGIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}
)
"""Partition → where its global services are asked when nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose credentials they are, as AWS says."""

    partition: str
    account_id: str
    arn: str
    """ARN of who is logged in."""


@dataclass(slots=True)
class Admin:
    """Calls AWS with the administrator's credentials. Every call is made by `call`, so that every failure is one line
    with AWS's code and the IAM action."""

    session: Session
    region: str
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def call(self, service: str, method: str, /, *, region: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of boto3's client of a service, such as `call("iam", "get_role", RoleName="x")`.

        Raises:
            AwsRefusal: AWS answered with an error.
            AwsProblem: it could not be asked.
        """
        with _told(service) as asking:
            client = self._client(service, region or self.region)
            asking.operation = client.meta.method_to_api_mapping[method]
            answer: dict[str, Any] = getattr(client, method)(**parameters)
            return answer

    def find(self, service: str, method: str, /, *absent: str, region: str = "", **parameters: Any) -> Any:
        """Like `call`, but None where AWS answers with one of the codes `absent`."""
        try:
            return self.call(service, method, region=region, **parameters)
        except AwsRefusal as refusal:
            if refusal.code in absent:
                return None
            raise

    def account(self) -> Account:
        """Ask AWS whose credentials they are."""
        answer = self.call("sts", "get_caller_identity")
        _, partition, *_ = answer["Arn"].split(":")
        return Account(partition, answer["Account"], answer["Arn"])

    def require_account(self, partition: str, account_id: str, what: str) -> Account:
        """Refuse credentials of another account than the one of `what`, before anything is done with them.

        Raises:
            AwsProblem: they are of another account or partition, or AWS can't tell.
        """
        found = self.account()
        if (found.partition, found.account_id) != (partition, account_id):
            raise AwsProblem(
                f"these AWS credentials are of account {found.account_id} ({found.partition}), and {what} is of "
                f"{account_id} ({partition}); use credentials of that account, such as by --aws-profile"
            )
        return found

    def _client(self, service: str, region: str) -> Any:
        from botocore.config import Config

        client = self._clients.get((service, region))
        if client is None:
            settings = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})
            client = self.session.client(service, region_name=region, config=settings)
            self._clients[(service, region)] = client
        return client


def open_admin(profile: str | None, region: str | None, partition: str) -> Admin:
    """Open a session for a partition, with the region that is given, else the configured one, else its first.

    A configured region of another partition is passed over; one that is given is refused.

    Raises:
        AwsProblem: the profile or region can't be used.
    """
    with _told():
        import boto3

        session = boto3.session.Session(profile_name=profile)
        if region is not None and not _is_of(session, region, partition):
            raise AwsProblem(f"--region {region} is not a region of the partition {partition}")
        configured = session.region_name or ""
        chosen = region or (configured if _is_of(session, configured, partition) else FIRST_REGIONS[partition])
        return Admin(session, chosen)


def admin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--aws-profile` and `--region`; the command gets `aws_profile` and `region`."""
    options: list[functools.partial[Any]] = [
        functools.partial(
            click.option,
            "--aws-profile",
            metavar="NAME",
            help="Profile of your AWS configuration. [default: as every AWS tool finds your credentials]",
        ),
        functools.partial(click.option, "--region", metavar="REGION", help="AWS region to ask. [default: yours]"),
    ]
    for option in reversed(options):
        command = option()(command)
    return command


@dataclass(slots=True)
class _Asking:
    """What is asked of AWS while it is asked."""

    service: str
    operation: str = ""

    @property
    def action(self) -> str:
        return action_of(self.service, self.operation) if self.operation else ""


@contextmanager
def _told(service: str = "") -> Iterator[_Asking]:
    """Turn the library's errors into one line."""
    from botocore.exceptions import BotoCoreError, ClientError

    asking = _Asking(service)
    try:
        yield asking
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "")) or "an error without a code"
        request_id = str(error.response.get("ResponseMetadata", {}).get("RequestId", ""))
        raise AwsRefusal(code, asking.action or asking.service, request_id) from None
    except BotoCoreError as error:
        raise unreached(error, asking.action) from None


def _is_of(session: Session, region: str, partition: str) -> bool:
    from botocore.exceptions import UnknownRegionError

    try:
        return bool(region) and session.get_partition_for_region(region) == partition
    except UnknownRegionError:
        return False
