"""Plans as the client has them: made by the service's planning, and through the messages."""

from __future__ import annotations

import random

from extaudit_client import InfrastructurePlan
from extaudit_client.infrastructure import plan_from

from server.external_storage.planning import infrastructure_plan
from server.grpc_api.infrastructure_messages import plan_message
from server.integrations.integration import RoleArn
from server.storage.spec import StorageOptions, StorageSpec
from tests.unit.external_storage.specs import ROLE, random_options, random_role, random_spec


def client_plan(
    spec: StorageSpec, options: StorageOptions, role: RoleArn = ROLE, cluster: str = "acme.example.com"
) -> InfrastructurePlan:
    return plan_from(plan_message(infrastructure_plan(spec, options, role, cluster)), "a-revision")


def random_plans(seed: int, count: int) -> list[InfrastructurePlan]:
    """Plans of any legal specs and options; the same seed always gives the same ones."""
    chance, plans = random.Random(seed), []
    for _ in range(count):
        spec = random_spec(chance)
        role = random_role(chance, spec.region)
        plans.append(client_plan(spec, random_options(chance, role, spec.region), role))
    return plans
