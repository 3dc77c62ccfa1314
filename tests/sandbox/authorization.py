"""Whether the caller may: identity policies, session policies and bucket policies, with their conditions."""

from __future__ import annotations

import json

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from tests.sandbox.asked import Asked
from tests.sandbox.buckets import find_bucket
from tests.sandbox.callers import Caller, Document
from tests.sandbox.conditions import Context
from tests.sandbox.permissions import needed_permissions
from tests.sandbox.policies import Permission, Question, allowed, denied
from tests.sandbox.refusals import Refused, unauthorised

_BY_HEADER = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-acl")
_BY_QUERY = ("prefix", "delimiter", "max-keys")


def authorise(asked: Asked) -> None:
    """Refuse what isn't allowed. `kept["permissions"]` is what had to be."""
    asked.kept["permissions"] = needed = needed_permissions(asked)
    for permission in needed:
        require(asked, permission)


def require(asked: Asked, permission: Permission) -> None:
    """Refuse where the caller may not do this."""
    if not may(asked.caller, permission, request_context(asked)):
        raise access_denied(asked, permission)


def may(caller: Caller | None, permission: Permission, context: Context) -> bool:
    """Whether the caller, or anybody, is allowed this by its own policies or the bucket's, and denied it by none."""
    question = Question(permission, context, caller.principals if caller else ())
    of_a_bucket = permission.action.startswith("s3:") and permission.action != "s3:CreateBucket"
    owner, bucket_policy = _bucket(permission.resource) if of_a_bucket else ("", None)
    by_resource = [bucket_policy] if bucket_policy else []
    if denied(by_resource, question):
        return False
    if caller is None:
        return allowed(by_resource, question)
    identity = caller.documents()
    session = caller.session_policy()
    if denied(identity, question) or (session is not None and denied([session], question)):
        return False
    by_identity = allowed(identity, question) and (session is None or allowed([session], question))
    if owner and owner != caller.account:
        return by_identity and allowed(by_resource, question)
    return by_identity or allowed(by_resource, question)


def caller_context(caller: Caller | None, *, secure: bool) -> dict[str, tuple[str, ...]]:
    """The condition keys that every request carries."""
    found = {"aws:securetransport": ("true" if secure else "false",)}
    if caller is not None:
        found["aws:principalaccount"] = (caller.account,)
        found["aws:principalarn"] = (caller.role_arn or caller.arn,)
        found["aws:principaltype"] = ("AssumedRole" if caller.role else "User",)
    return found


def request_context(asked: Asked) -> Context:
    """The condition keys that a request of this kind carries."""
    found = caller_context(asked.caller, secure=asked.secure)
    if asked.service == "s3":
        found |= {f"s3:{name}": (value,) for name in _BY_HEADER if (value := asked.header(name))}
        found |= {f"s3:{name}": (value,) for name in _BY_QUERY if (value := asked.request.args.get(name)) is not None}
        owner, _ = _bucket(asked.text("Bucket"))
        found |= {"s3:resourceaccount": (owner,), "aws:resourceaccount": (owner,)} if owner else {}
    if asked.service == "sts" and (external := asked.text("ExternalId")):
        found["sts:externalid"] = (external,)
    return found


def access_denied(asked: Asked, permission: Permission) -> Refused:
    """The refusal, in the words of the service."""
    if asked.service == "s3" and not permission.action.startswith("kms:"):
        return Refused("AccessDenied", "Access Denied", 403)
    who = asked.caller.arn if asked.caller else "anonymous"
    return unauthorised(
        "AccessDenied",
        f"User: {who} is not authorized to perform: {permission.action} on resource: {permission.resource}",
        asked.service,
    )


def _bucket(resource: str) -> tuple[str, Document | None]:
    bucket = find_bucket(resource.rpartition(":::")[2].partition("/")[0])
    return ("", None) if bucket is None else (bucket.account_id, json.loads(bucket.policy) if bucket.policy else None)


def leave_bucket_policies_to_the_gate() -> None:
    """moto denies by them whatever their conditions say."""
    FakeBucket.get_permission = lambda *_: PermissionResult.PERMITTED
