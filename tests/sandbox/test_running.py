"""The sandbox as a program: its version of moto, what it keeps of requests, failures on demand, other partitions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import moto
import pytest

from tests.polling import until
from tests.sandbox.assembly import MOTO, OtherMoto
from tests.sandbox.assembly import sandbox as assemble
from tests.sandbox.refusing import make_bucket, refused, session_of
from tests.sandbox.running import ROOT, Sandbox, running_sandbox
from tests.sandbox.test_web_identity import assume
from tests.sandbox.token_issuer import Issuer, trusting_role


def test_the_installed_moto_is_the_one_whose_insides_are_known() -> None:
    assert moto.__version__ == MOTO, f"the sandbox patches moto {MOTO}: see docs/aws-sandbox.md before another is taken"


def test_another_moto_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moto, "__version__", "5.2.6")
    with pytest.raises(OtherMoto, match=r"5\.2\.5.*5\.2\.6"):
        assemble(None, as_tls=True)


def test_each_request_is_kept_with_its_action_resource_caller_and_outcome(sandbox: Sandbox) -> None:
    make_bucket(sandbox, "kept-calls")
    session = session_of(sandbox, "kept", {"Action": "s3:GetObject", "Resource": "*"})
    sandbox.clear_calls()
    refused(sandbox.client("s3", credentials=session).put_object, Bucket="kept-calls", Key="a b", Body=b"")
    sandbox.client("glue").get_databases()
    wrong = {**session, "SecretAccessKey": "wrong"}
    refused(sandbox.client("athena", credentials=wrong).get_work_group, WorkGroup="primary")
    kept = [(each.action, each.resource, each.caller.rpartition(":")[2], each.outcome) for each in sandbox.calls()]
    group = "arn:aws:athena:us-west-2:unknown:workgroup/primary"
    assert kept == [
        ("s3:PutObject", "arn:aws:s3:::kept-calls/a b", "assumed-role/kept/test", "AccessDenied"),
        ("glue:GetDatabases", "arn:aws:glue:us-west-2:123456789012:catalog", "user/administrator", "OK"),
        ("athena:GetWorkGroup", group, "anonymous", "InvalidSignatureException"),
    ]


def test_the_next_requests_for_an_action_fail_on_demand(sandbox: Sandbox) -> None:
    s3 = sandbox.client("s3")
    make_bucket(sandbox, "on-demand")
    sandbox.fail("s3:PutObject", "SlowDown", status=503, times=2)
    given = {"Bucket": "on-demand", "Key": "k", "Body": b""}
    assert [refused(s3.put_object, **given), refused(s3.create_multipart_upload, Bucket="on-demand", Key="k")] == [
        "SlowDown",
        "SlowDown",
    ]
    assert s3.put_object(**given)
    sandbox.fail("PutObject", "InternalError", status=500)
    sandbox.clear_faults()
    assert s3.put_object(**given)


def test_an_unknown_question_to_the_sandbox_itself_is_not_answered(sandbox: Sandbox) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        sandbox.ask("nothing")
    assert error.value.code == 404
    error.value.close()


def test_a_service_that_the_sandbox_does_not_have_is_refused(sandbox: Sandbox) -> None:
    assert refused(sandbox.client("sqs").list_queues) == "404"


def test_another_partition_has_its_own_arns(issuer: Issuer) -> None:
    with running_sandbox(region="us-gov-west-1") as gov:
        make_bucket(gov, "in-the-government")
        role = trusting_role(gov, issuer, "official")
        assert role.startswith("arn:aws-us-gov:iam::")
        rights = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws-us-gov:s3:::in-the-government"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
        gov.client("iam").put_role_policy(RoleName="official", PolicyName="p", PolicyDocument=document)
        s3 = gov.client("s3", credentials=assume(gov, role, issuer.token())["Credentials"])
        assert s3.list_objects_v2(Bucket="in-the-government")["KeyCount"] == 0


def test_it_says_how_to_use_it_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "tests.sandbox", "--explain"], cwd=ROOT, stdout=out)
        until(lambda: "_sandbox/calls" in said.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    text = said.read_text()
    endpoint = text.partition("AWS_ENDPOINT_URL=")[2].split()[0]
    assert endpoint.startswith("http://127.0.0.1:")
    # boto3 takes the region from this variable alone, and not from AWS_REGION as aws does.
    for name in ("AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=", "AWS_DEFAULT_REGION=us-west-2", "aws-sandbox.md"):
        assert name in text
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(endpoint, timeout=1)
