"""An account of the sandbox, set up as planned, for tests of what the service finds there."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from server.external_storage.iam_policy import iam_policy
from server.external_storage.infrastructure import BucketPlan, InfrastructurePlan
from server.external_storage.planning import infrastructure_plan, wanted_table
from server.integrations.integration import RoleArn
from server.storage.aws.checks.findings import Findings, Stopped
from server.storage.aws.checks.probe import AwsConnectionProbe, run_checks
from server.storage.aws.clients import AwsClients
from server.storage.aws.session import AwsSettings
from server.storage.connection import Check, Outcome, Wanted
from server.storage.spec import ObjectLockMode, StorageOptions, StorageSpec
from tests.sandbox.running import Sandbox
from tests.sandbox.token_issuer import AUDIENCE, SUBJECT, Issuer, trusting_role


def spec_named(name: str, region: str = "us-west-2") -> StorageSpec:
    """A spec whose names nobody else in the sandbox has."""
    return StorageSpec(
        integration_name="production",
        region=region,
        session_recordings_uri=f"s3://{name}-longterm/sessions",
        audit_events_long_term_uri=f"s3://{name}-longterm/events",
        athena_results_uri=f"s3://{name}-transient/query_results",
        athena_workgroup=name,
        glue_database=name,
        glue_table="events",
        policy_name="AuditPolicy",
    )


@dataclass
class Account:
    """A role that holds exactly the planned policy, and what it is for."""

    sandbox: Sandbox
    issuer: Issuer
    spec: StorageSpec
    options: StorageOptions
    plan: InfrastructurePlan
    role_arn: str
    clients: dict[str, Any] = field(default_factory=dict)
    role_clients: AwsClients | None = None
    """Those that `check` uses."""

    def admin(self, service: str) -> Any:
        """The administrator's client of a service."""
        return self.clients.setdefault(service, self.sandbox.client(service))

    @property
    def policy(self) -> dict[str, Any]:
        """The planned policy."""
        document: dict[str, Any] = json.loads(self.plan.role_policy.policy)
        return document

    @property
    def long_term(self) -> str:
        return self.plan.buckets[0].name

    @property
    def transient(self) -> str:
        return self.plan.buckets[1].name

    def put_policy(self, document: dict[str, Any]) -> None:
        """Give the role this policy and no other."""
        name = self.role_arn.rpartition("/")[2]
        self.admin("iam").put_role_policy(
            RoleName=name, PolicyName=self.spec.policy_name, PolicyDocument=json.dumps(document)
        )

    def wanted(self, **changes: Any) -> Wanted:
        """What a test is to find."""
        wanted = Wanted(
            self.spec,
            self.options,
            wanted_table(self.plan.glue),
            self.role_arn,
            self.sandbox.account_id,
            self.issuer.url,
            AUDIENCE,
            SUBJECT,
            str(uuid.uuid4()),
        )
        return replace(wanted, **changes)

    def probe(self, token: str = "", **changes: Any) -> list[Check]:
        """All checks, as the service makes them, with another token or what is wanted changed."""
        checks: list[Check] = []
        probe = AwsConnectionProbe(AwsSettings(endpoint=self.sandbox.endpoint, attempts=1))
        probe.run(self.wanted(**changes), lambda: token or self.issuer.token(), checks.append, lambda: False)
        return checks

    def check(self, stop_after: int = 1000, **changes: Any) -> list[Check]:
        """All checks, with clients that are there already; or the first of them, where the test is stopped."""
        assert self.role_clients is not None
        checks: list[Check] = []
        with contextlib.suppress(Stopped):
            findings = Findings(checks.append, lambda: len(checks) >= stop_after)
            run_checks(self.role_clients, self.wanted(**changes), findings)
        return checks

    def elsewhere(self, **fields: str) -> list[Check]:
        """All checks where the spec names something else, with the policy for it."""
        spec = replace(self.spec, **fields)
        self.put_policy(iam_policy(spec, self.sandbox.partition, self.sandbox.account_id))
        try:
            return self.check(spec=spec)
        finally:
            self.put_policy(self.policy)

    def kept(self) -> list[Any]:
        """Every version, marker and open upload of the long-term bucket."""
        s3, found = self.admin("s3"), []
        for method in ("list_object_versions", "list_multipart_uploads"):
            answer = getattr(s3, method)(Bucket=self.long_term)
            for name in ("Versions", "DeleteMarkers", "Uploads"):
                found += [(name, each["Key"]) for each in answer.get(name) or []]
        return found


def set_up(
    sandbox: Sandbox, issuer: Issuer, name: str, options: StorageOptions | None = None, role_arn: str = ""
) -> Account:
    """Make all that is planned, and a role that holds the planned policy: one that trusts the issuer, or that of an
    ARN."""
    spec, options = spec_named(name, sandbox.region), options or StorageOptions(ObjectLockMode.GOVERNANCE, 30)
    role_arn = role_arn or trusting_role(sandbox, issuer, name)
    role = RoleArn.parse(role_arn)
    assert role is not None
    account = Account(sandbox, issuer, spec, options, infrastructure_plan(spec, options, role, "test"), role_arn)
    for bucket in account.plan.buckets:
        make_bucket(account, bucket)
    make_table(account)
    make_workgroup(account)
    account.put_policy(account.policy)
    return account


def make_bucket(account: Account, bucket: BucketPlan) -> None:
    """Make a bucket as planned."""
    s3 = account.admin("s3")
    s3.create_bucket(
        Bucket=bucket.name,
        ObjectOwnership="BucketOwnerEnforced",
        ObjectLockEnabledForBucket=bucket.object_lock,
        CreateBucketConfiguration={"LocationConstraint": account.spec.region},
    )
    s3.put_public_access_block(Bucket=bucket.name, PublicAccessBlockConfiguration=blocks())
    s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    if bucket.object_lock and bucket.object_lock_days:
        lock(account, bucket.object_lock_mode.value, Days=bucket.object_lock_days)
    if bucket.kms_key_arn:
        rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": bucket.kms_key_arn}
        s3.put_bucket_encryption(
            Bucket=bucket.name,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},
        )


def blocks(**changes: bool) -> dict[str, bool]:
    """Public access blocked in all ways, but for what is given."""
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return dict.fromkeys(names, True) | changes


def lock(account: Account, mode: str, **period: int) -> None:
    """Give the long-term bucket a default retention."""
    account.admin("s3").put_object_lock_configuration(
        Bucket=account.long_term,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": mode, **period}},
        },
    )


def table_input(account: Account) -> dict[str, Any]:
    """The planned table."""
    glue = account.plan.glue
    return {
        "Name": glue.table,
        "TableType": glue.table_type,
        "Parameters": dict(glue.parameters),
        "PartitionKeys": [{"Name": each.name, "Type": each.type} for each in glue.partition_keys],
        "StorageDescriptor": {
            "Columns": [{"Name": each.name, "Type": each.type} for each in glue.columns],
            "Location": glue.location,
            "InputFormat": glue.input_format,
            "OutputFormat": glue.output_format,
            "SerdeInfo": {
                "SerializationLibrary": glue.serialization_library,
                "Parameters": dict(glue.serialization_parameters),
            },
        },
    }


def make_table(account: Account) -> None:
    """Make database and table as planned."""
    glue = account.admin("glue")
    glue.create_database(DatabaseInput={"Name": account.spec.glue_database})
    glue.create_table(DatabaseName=account.spec.glue_database, TableInput=table_input(account))


def make_workgroup(account: Account) -> None:
    """Make the workgroup as planned."""
    plan = account.plan.workgroup
    account.admin("athena").create_work_group(
        Name=plan.name,
        Configuration={
            "EnforceWorkGroupConfiguration": plan.enforce_configuration,
            "BytesScannedCutoffPerQuery": plan.scan_limit_bytes,
            "ResultConfiguration": {"OutputLocation": plan.output_location},
        },
    )


def named(checks: list[Check], outcome: Outcome) -> set[str]:
    """Names of the checks that ended so."""
    return {check.name for check in checks if check.outcome is outcome}
