"""The whole plan of an external audit storage as a file for Terraform."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from extaudit_cli.terraform.buckets import bucket_blocks, tags
from extaudit_cli.terraform.encoding import terraform_text
from extaudit_cli.terraform.syntax import Block, Json, Reference, Value

if TYPE_CHECKING:
    from extaudit_client import ColumnPlan, GlueTablePlan, InfrastructurePlan, RolePolicyPlan, WorkgroupPlan

PROVIDER: Final[Value] = {"source": "hashicorp/aws", "version": ">= 5.60"}


def storage_text(plan: InfrastructurePlan) -> str:
    """The file; the same plan always gives the same text."""
    head = (
        f"An external audit storage of extaudit, revision {plan.revision}.\n"
        "Apply it with credentials of your own that may make all of this in the account; extaudit never sees them."
    )
    return terraform_text(storage_blocks(plan), head)


def storage_blocks(plan: InfrastructurePlan) -> list[Block]:
    """Every block, the provider's first."""
    return [
        Block("terraform", (), {"required_version": ">= 1.3"}, (Block("required_providers", (), {"aws": PROVIDER}),)),
        Block(
            "provider",
            ("aws",),
            {"region": plan.region, "allowed_account_ids": [plan.account_id]},
            comment="Credentials of another account are refused.",
        ),
        *(block for bucket in plan.buckets for block in bucket_blocks(bucket)),
        _database(plan.glue),
        _table(plan.glue),
        _workgroup(plan.workgroup),
        _role_policy(plan.role_policy),
    ]


def _database(glue: GlueTablePlan) -> Block:
    values: dict[str, Value] = {
        "name": glue.database,
        "description": glue.database_description,
        "tags": tags(glue.database_tags),
    }
    return Block("resource", ("aws_glue_catalog_database", "events"), values)


def _table(glue: GlueTablePlan) -> Block:
    serialization = Block(
        "ser_de_info",
        (),
        {"serialization_library": glue.serialization_library, "parameters": dict(glue.serialization_parameters)},
    )
    described = Block(
        "storage_descriptor",
        (),
        {"location": glue.location, "input_format": glue.input_format, "output_format": glue.output_format},
        (*(_column("columns", column) for column in glue.columns), serialization),
    )
    return Block(
        "resource",
        ("aws_glue_catalog_table", "events"),
        {
            "name": glue.table,
            "database_name": Reference("aws_glue_catalog_database.events.name"),
            "table_type": glue.table_type,
            "parameters": dict(glue.parameters),
        },
        (*(_column("partition_keys", key) for key in glue.partition_keys), described),
        comment="The columns of the events, and one partition for each date, worked out and never listed.",
    )


def _column(block: str, column: ColumnPlan) -> Block:
    return Block(block, (), {"name": column.name, "type": column.type})


def _workgroup(workgroup: WorkgroupPlan) -> Block:
    encryption: dict[str, Value] = {"encryption_option": "SSE_KMS" if workgroup.kms_key_arn else "SSE_S3"}
    if workgroup.kms_key_arn:
        encryption["kms_key_arn"] = workgroup.kms_key_arn
    results = Block(
        "result_configuration",
        (),
        {"output_location": workgroup.output_location},
        (Block("encryption_configuration", (), encryption),),
    )
    configuration = Block(
        "configuration",
        (),
        {
            "enforce_workgroup_configuration": workgroup.enforce_configuration,
            "bytes_scanned_cutoff_per_query": workgroup.scan_limit_bytes,
        },
        (results,),
    )
    return Block(
        "resource",
        ("aws_athena_workgroup", "events"),
        {"name": workgroup.name, "tags": tags(workgroup.tags)},
        (configuration,),
        comment="No query scans more than this, or puts its results elsewhere, whatever it asks for.",
    )


def _role_policy(policy: RolePolicyPlan) -> Block:
    return Block(
        "resource",
        ("aws_iam_role_policy", "extaudit"),
        {
            "name": policy.policy_name,
            "role": policy.role_arn.rpartition("/")[2],
            "policy": Json(json.loads(policy.policy)),
        },
        comment="All that extaudit may do in the account.",
    )
