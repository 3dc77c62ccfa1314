"""What tests ask of the sandbox itself, under `/_sandbox/`, a path that no bucket can have. Nobody signs these."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends
from moto.utilities.utils import PARTITION_NAMES

from tests.sandbox.athena_queries import Queries
from tests.sandbox.calls import Calls
from tests.sandbox.faults import Fault, Faults
from tests.sandbox.issuers import Issuers
from tests.sandbox.refusals import Answer

PREFIX = "/_sandbox/"
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Administration:
    """Answers by the last part of the path; a body is a JSON object."""

    def __init__(self, calls: Calls, faults: Faults, issuers: Issuers, queries: Queries) -> None:
        self._queries = queries
        self._calls = calls
        self._faults = faults
        self._issuers = issuers

    def answer(self, path: str, body: bytes) -> Answer:
        """What is asked for, or 404."""
        name = path.removeprefix(PREFIX)
        given = json.loads(body or b"{}")
        found: Any = {}
        if name == "calls":
            found = self._calls.as_json()
        elif name == "clear-calls":
            self._calls.clear()
        elif name == "fail":
            self._faults.add(Fault(**given))
        elif name == "no-conditions":
            self._faults.no_conditions = True
        elif name == "clear-faults":
            self._faults.clear()
        elif name == "expire-sessions":
            found = {"expired": expire_sessions(given.get("role", ""))}
        elif name == "forget-keys":
            self._issuers.forget()
        elif name == "hold-queries":
            self._queries.hold(bool(given["held"]))
        elif name == "account":
            key, secret = make_administrator(given["account"], given.get("partition", "aws"))
            found = {"access_key": key, "secret_key": secret}
        else:
            return Answer(404, [])
        return Answer(200, [("Content-Type", "application/json")], json.dumps(found).encode())


def make_administrator(account: str, partition: str) -> tuple[str, str]:
    """Access key and secret of a user of the account who may do everything."""
    backend = iam_backends[account][partition]
    name = "administrator"
    if name not in backend.users:
        backend.create_user(partition, name)
        backend.put_user_policy(name, "everything", json.dumps(_EVERYTHING))
    # a user has no more than two
    key = next(iter(backend.users[name].access_keys), None) or backend.create_access_key(name)
    return key.access_key_id, key.secret_access_key


def expire_sessions(role: str) -> int:
    """End the sessions of the role of this name, or of every role; gives their number."""
    past = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=1)
    ended = 0
    for backends in list(sts_backends.values()):
        for partition in PARTITION_NAMES:
            for session in backends[partition].assumed_roles:
                if session.expiration > past and role in ("", session.role_arn.rpartition("/")[2]):
                    session.expiration = past
                    ended += 1
    return ended
