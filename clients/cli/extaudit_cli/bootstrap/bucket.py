"""A bucket of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from extaudit_client import BucketPlan

from extaudit_cli.aws.admin import Admin
from extaudit_cli.aws.problems import AwsProblem, AwsRefusal
from extaudit_cli.bootstrap.bucket_aspects import Aspect, BucketCalls, aspects
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.rows import Value
from extaudit_cli.bootstrap.things import Attribute, Found, Obstacle, State

NO_LOCATION_CONSTRAINT: Final = "us-east-1"
"""The region whose buckets are made without naming it, and which says nothing when it is asked for."""
_OLD_NAMES: Final = {"EU": "eu-west-1"}
_OTHER_NAME: Final = "choose another name in the draft (extaudit storage apply), or generate a new draft"


class Bucket:
    """A bucket of the plan, made with object lock and without ACLs; everything else is set one by one.

    Every call says whose bucket it must be.
    """

    within = ""

    def __init__(self, admin: Admin, plan: BucketPlan, account_id: str, region: str, patience: Patience) -> None:
        self._admin = admin
        self._plan = plan
        self._region = region
        self._patience = patience
        self._calls = BucketCalls(admin, plan.name, account_id, region, patience)
        self._aspects: Mapping[str, Aspect] = {each.name: each for each in aspects(self._calls, plan)}

    @property
    def name(self) -> str:
        """By its purpose."""
        return f"{self._plan.purpose}-bucket"

    @property
    def subject(self) -> str:
        """Its name."""
        return self._plan.name

    @property
    def planned(self) -> Mapping[str, Value]:
        """Region, object lock, and every aspect."""
        fixed = {"region": self._region, "object-lock": self._plan.object_lock}
        return fixed | {each.name: each.planned for each in self._aspects.values()}

    def look(self) -> Found | None:
        """Compare aspect by aspect; each that can't be looked at says so, and hides no other."""
        if not self._exists():
            return None
        attributes = [self._look_region(), self._look_object_lock()]
        attributes += [_looked(each) for each in self._aspects.values()]
        return Found(tuple(attributes), self._is_ours(attributes))

    def create(self) -> None:
        """Make it in its region."""
        options: dict[str, Any] = {"ObjectOwnership": "BucketOwnerEnforced"}
        if self._plan.object_lock:
            options["ObjectLockEnabledForBucket"] = True
        if self._region != NO_LOCATION_CONSTRAINT:
            options["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
        try:
            self._admin.call("s3", "create_bucket", region=self._region, Bucket=self._plan.name, **options)
        except AwsRefusal as refusal:
            refusal.also_needs(
                "s3:PutBucketObjectLockConfiguration, s3:PutBucketVersioning, s3:PutBucketOwnershipControls"
            )
            if refusal.code == "BucketAlreadyExists":
                raise AwsProblem(f"the bucket name {self.subject} is taken by another account; {_OTHER_NAME}") from None
            raise

    def change(self, attribute: Attribute) -> None:
        """Set one aspect."""
        self._aspects[attribute.name].write(attribute)

    def _exists(self) -> bool:
        try:
            self._calls.ask("head_bucket")
        except AwsRefusal as refusal:
            if refusal.code in ("404", "NoSuchBucket"):
                return False
            if refusal.code in ("403", "AccessDenied"):
                self._check_owner(refusal)
            raise
        return True

    def _check_owner(self, refusal: AwsRefusal) -> None:
        """A bucket that may not be looked at is of somebody else, or the right is missing."""
        try:
            answer = self._admin.call("s3", "list_buckets", region=self._region, Prefix=self.subject)
        except AwsRefusal:
            refusal.add("or else the bucket is of another account, which only s3:ListAllMyBuckets tells apart")
            return
        if self.subject not in [each["Name"] for each in answer.get("Buckets", [])]:
            raise Obstacle(f"the bucket {self.subject} is of another account", _OTHER_NAME)

    def _look_region(self) -> Attribute:
        try:
            found = self._calls.ask("get_bucket_location").get("LocationConstraint") or NO_LOCATION_CONSTRAINT
        except AwsRefusal as refusal:
            return Attribute("region", State.UNKNOWN, self._region, problem=refusal)
        found = _OLD_NAMES.get(found, found)
        if found != self._region:
            raise Obstacle(f"the bucket {self.subject} is in {found}, not in {self._region}", _OTHER_NAME)
        return Attribute("region", State.EQUAL, self._region, found)

    def _look_object_lock(self) -> Attribute:
        """Object lock comes with a bucket; without it what is stored can be deleted, so nothing is begun. Nor is it
        where there is one that isn't planned: what is in such a bucket is to stay."""
        planned = self._plan.object_lock
        try:
            found = self._calls.object_lock() is not None
        except AwsRefusal as refusal:
            return Attribute("object-lock", State.UNKNOWN, planned, problem=refusal)
        if planned and not found:
            raise Obstacle(
                f"the bucket {self.subject} exists and has no object lock, so what is stored in it can be deleted",
                "name another bucket in the draft, which is then made with object lock; a bucket has it from its "
                "making, and what is stored before it is turned on stays without",
            )
        if found and not planned:  # it can have our tags all the same: those of another storage of the cluster
            raise Obstacle(
                f"the bucket {self.subject} has object lock, as one that keeps audit events or recordings, and what "
                "the plan has in it expires",
                _OTHER_NAME,
            )
        return Attribute("object-lock", State.EQUAL, planned, found)

    def _is_ours(self, attributes: list[Attribute]) -> bool:
        """Whether it has our tags; or nothing is in it, and nobody has set what we wouldn't."""
        states = {each.name: each.state for each in attributes}
        if self._plan.tags and states["tags"] is State.EQUAL:
            return True
        untouched = (State.ABSENT, State.EQUAL)
        if any(states[name] not in untouched for name in ("tags", "policy", "lifecycle")):
            return False
        try:
            listed = self._calls.ask("list_object_versions", MaxKeys=1)
        except AwsRefusal:
            return False
        return not listed.get("Versions") and not listed.get("DeleteMarkers")


def _looked(aspect: Aspect) -> Attribute:
    try:
        return aspect.look()
    except AwsRefusal as refusal:
        return Attribute(aspect.name, State.UNKNOWN, aspect.planned, problem=refusal)
