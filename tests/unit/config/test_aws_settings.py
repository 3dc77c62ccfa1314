"""How AWS is reached comes from the settings alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.config import AwsSection, ConfigProblems, load_config
from server.config.aws_environment import shut_out_aws
from tests.aws_traps import set_traps

SHUT = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}
FIT = [
    ("aws_endpoint", "https://aws.internal"),
    ("aws_endpoint", "http://127.0.0.1:5000"),
    ("aws_s3_endpoint", "https://s3.internal:9000/"),
    ("aws_proxy", "http://proxy:3128"),
]
UNFIT = [
    ("aws_endpoint", "http://aws.internal"),
    ("aws_endpoint", "https://aws.internal/path"),
    ("aws_endpoint", "https://user@aws.internal"),
    ("aws_s3_endpoint", "ftp://aws.internal"),
    ("aws_s3_endpoint", "aws.internal"),
    ("aws_proxy", "proxy:3128"),
    ("aws_proxy", "http://proxy"),
    ("aws_proxy", "http://user:word@proxy:3128"),
    ("aws_proxy", "http://proxy:3128/path"),
    ("aws_ca", "nosuch.pem"),
    ("aws_s3_path_style", "sometimes"),
    ("aws_s3_versioning", "optional"),
    ("aws_s3_conditional_writes", "perhaps"),
]


@pytest.mark.parametrize(("name", "value"), FIT)
def test_a_fit_value_is_taken(name: str, value: str) -> None:
    assert getattr(load_config({name: value}, {}).aws, name.removeprefix("aws_")) == value


@pytest.mark.parametrize(("name", "value"), UNFIT)
def test_an_unfit_value_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load_config({name: value}, {})
    [problem] = caught.value.problems
    assert problem.startswith((name.replace("aws_", "aws.", 1), "--aws"))
    assert "user:" not in problem


def test_variables_of_aws_are_taken_out_and_none_is_a_setting(tmp_path: Path) -> None:
    environ: dict[str, str] = {"PATH": "/bin", "BOTOCORE_EXPERIMENTAL__PLUGINS": "x=y", "aws_profile": "z"}
    set_traps(environ.__setitem__, tmp_path, "http://127.0.0.1:1")
    assert load_config({}, environ).aws == AwsSection()
    taken = shut_out_aws(environ)
    left = {name for name in environ if name.upper().startswith(("AWS", "BOTO"))}
    assert left == SHUT
    assert {environ["AWS_CONFIG_FILE"], environ["AWS_SHARED_CREDENTIALS_FILE"]} == {"/dev/null"}
    assert {"AWS_PROFILE", "AWS_ENDPOINT_URL", "BOTOCORE_EXPERIMENTAL__PLUGINS", "aws_profile"} <= set(taken)
    assert environ["PATH"] == "/bin"


def test_a_server_takes_them_out_before_any_library_of_aws_is_loaded(tmp_path: Path) -> None:
    environ = dict(os.environ)
    set_traps(environ.__setitem__, tmp_path, "http://127.0.0.1:1")
    code = (
        "import os, sys; from server.__main__ import serve; told = serve({'grpc_listen': 'no address'}); "
        "left = sorted(each for each in os.environ if each.startswith(('AWS', 'BOTO'))); "
        "print(told, left, 'botocore' in sys.modules)"
    )
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip() == f"2 {sorted(SHUT)} False", done.stderr
