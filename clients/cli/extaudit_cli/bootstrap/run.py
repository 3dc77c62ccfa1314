"""Looking at all that is planned, and then building it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from extaudit_client import InfrastructurePlan

from extaudit_cli.aws.admin import Admin
from extaudit_cli.aws.problems import AwsProblem, AwsRefusal
from extaudit_cli.bootstrap.bucket import Bucket
from extaudit_cli.bootstrap.glue import GlueDatabase, GlueTable
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.role_policy import RolePolicy
from extaudit_cli.bootstrap.rows import Outcome, Report, Row, with_problem
from extaudit_cli.bootstrap.things import Attribute, Found, Obstacle, State, Thing
from extaudit_cli.bootstrap.workgroup import Workgroup

Look = Found | AwsProblem | Obstacle | None
"""What looking at a thing gave; None where there is no such thing."""


def things(admin: Admin, plan: InfrastructurePlan, patience: Patience) -> list[Thing]:
    """All things of a plan, in the order of the steps."""
    where = f"{plan.region}:{plan.account_id}"
    return [
        *(Bucket(admin, each, plan.account_id, plan.region, patience) for each in plan.buckets),
        Workgroup(admin, plan.workgroup, f"arn:{plan.partition}:athena:{where}:workgroup/{plan.workgroup.name}"),
        GlueDatabase(admin, plan.glue, f"arn:{plan.partition}:glue:{where}:database/{plan.glue.database}"),
        GlueTable(admin, plan.glue),
        RolePolicy(admin, plan.role_policy),
    ]


def names(planned: Sequence[Thing]) -> list[str]:
    """All names that `--update` may be given."""
    return [name for thing in planned for name in (thing.name, *(f"{thing.name}.{each}" for each in thing.planned))]


@dataclass(slots=True)
class Bootstrap:
    """One run. Everything is looked at before anything is changed, so that what stands in the way is told first."""

    things: Sequence[Thing]
    updates: Collection[str]
    """Names of what may be made as planned though it is otherwise, or of somebody else's."""
    dry_run: bool
    told: Callable[[Row], None]
    patience: Patience = field(default_factory=Patience)
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.dry_run)

    def run(self) -> Report:
        """Look, and unless it is a dry run or something stands in the way, build what isn't there."""
        looks = {thing.name: self._look(thing) for thing in self.things}
        blocked = any(isinstance(each, Obstacle) for each in looks.values())
        for thing in self.things:
            look = looks[thing.name]
            if isinstance(look, Obstacle):
                self._tell(Row(thing.name, "", thing.subject, Outcome.FAILED, detail=look.detail, remedy=look.remedy))
            elif blocked and not self.dry_run:
                self._tell(self._not_tried(thing, "nothing is changed while something stands in the way"))
            else:
                self._build(thing, look)
        return self.report

    def _build(self, thing: Thing, look: Found | AwsProblem | None) -> None:
        """Tell of a thing and all its attributes, and do what is to be done."""
        if isinstance(look, AwsProblem):
            self._tell(with_problem(Row(thing.name, "", thing.subject, _unlooked(look)), look))
        elif look is None:
            self._create(thing)
        else:
            self._tell(Row(thing.name, "", thing.subject, Outcome.EQUAL))
            self._attributes(thing, look)

    def _create(self, thing: Thing) -> None:
        if self.dry_run:
            self._tell(Row(thing.name, "", thing.subject, Outcome.WOULD_CREATE))
            for name, planned in thing.planned.items():
                if planned is not None:
                    self._tell(Row(thing.name, name, thing.subject, Outcome.WOULD_SET, planned))
            return
        if thing.within and not self._is_there(thing.within):
            self._tell(self._not_tried(thing, f"{thing.within} is not there"))
            return
        try:
            thing.create()
        except AwsProblem as problem:
            self._tell(with_problem(Row(thing.name, "", thing.subject, Outcome.FAILED), problem))
            return
        self._tell(Row(thing.name, "", thing.subject, Outcome.CREATED))
        self._complete(thing)

    def _complete(self, thing: Thing) -> None:
        """Look at what was just created, and set what it doesn't have from its making."""
        try:
            found = self.patience.until(lambda: self._look_at_new(thing))
        except AwsProblem as problem:
            self._tell(with_problem(Row(thing.name, "", thing.subject, _unlooked(problem)), problem))
            return
        if found is None:
            detail = "it was created, and AWS doesn't show it yet; run the command again"
            self._tell(Row(thing.name, "", thing.subject, Outcome.FAILED, detail=detail))
            return
        for attribute in found.attributes:
            if attribute.state is State.EQUAL and attribute.planned is not None:
                self._tell(_row(thing, attribute, Outcome.SET))
            else:
                self._attribute(thing, attribute, asked=True)

    def _attributes(self, thing: Thing, found: Found) -> None:
        for attribute in found.attributes:
            asked = bool({thing.name, f"{thing.name}.{attribute.name}"} & set(self.updates))
            self._attribute(thing, attribute, asked=asked or (found.ours and attribute.state is State.ABSENT))

    def _attribute(self, thing: Thing, attribute: Attribute, *, asked: bool) -> None:
        """Tell of an attribute, after making it as planned where that is asked."""
        absent = attribute.state is State.ABSENT
        if attribute.state is State.EQUAL:
            self._tell(_row(thing, attribute, Outcome.EQUAL))
        elif attribute.problem is not None:
            self._tell(_row(thing, attribute, _unlooked(attribute.problem)))
        elif attribute.by_hand or not asked:
            self._tell(_row(thing, attribute, Outcome.MISSING if absent else Outcome.DIFFERS))
        elif self.dry_run:
            self._tell(_row(thing, attribute, Outcome.WOULD_SET if absent else Outcome.WOULD_UPDATE))
        else:
            self._change(thing, attribute, Outcome.SET if absent else Outcome.UPDATED)

    def _change(self, thing: Thing, attribute: Attribute, outcome: Outcome) -> None:
        try:
            thing.change(attribute)
        except AwsProblem as problem:
            self._tell(with_problem(_row(thing, attribute, Outcome.FAILED), problem))
        else:
            self._tell(_row(thing, attribute, outcome))

    def _look(self, thing: Thing) -> Look:
        try:
            return thing.look()
        except (AwsProblem, Obstacle) as problem:
            return problem

    def _look_at_new(self, thing: Thing) -> Found | None:
        """What was just made stands in nobody's way: AWS only doesn't show all of it yet."""
        try:
            return thing.look()
        except Obstacle:
            return None

    def _is_there(self, thing: str) -> bool:
        there = (Outcome.EQUAL, Outcome.CREATED)
        return any(row.name == thing and row.outcome in there for row in self.report.rows)

    def _not_tried(self, thing: Thing, why: str) -> Row:
        return Row(thing.name, "", thing.subject, Outcome.NOT_TRIED, detail=why)

    def _tell(self, row: Row) -> None:
        self.report.rows.append(row)
        self.told(row)


def _unlooked(problem: AwsProblem) -> Outcome:
    return Outcome.NOT_LOOKED_AT if isinstance(problem, AwsRefusal) else Outcome.FAILED


def _row(thing: Thing, attribute: Attribute, outcome: Outcome) -> Row:
    name = f"{thing.name}.{attribute.name}"
    remedies = {
        Outcome.DIFFERS: attribute.by_hand or f"left as it is; --update {name} makes it as planned",
        Outcome.MISSING: f"left as it is, since the {thing.name} is none of ours; --update {name} sets it",
    }
    row = Row(
        thing.name,
        attribute.name,
        thing.subject,
        outcome,
        attribute.planned,
        attribute.found,
        remedy=remedies.get(outcome, ""),
        notes=attribute.notes,
    )
    return row if attribute.problem is None else with_problem(row, attribute.problem)
