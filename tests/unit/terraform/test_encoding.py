"""The encoder of files for Terraform: every value comes back as it was, whatever is in it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from extaudit_cli.terraform.encoding import quoted, terraform_text
from extaudit_cli.terraform.syntax import Block, Json, Reference

from tests.terraform_reader import literal, read

PIECES = (
    *'"\\$%{}~#/*=<>()[]\'`\n\r\t\0\x01\x1b\x7f\x85\xa0 aZ09_-.',
    "${", "%{", "$${", "%%{", "$$${", "${\"", "\\u0041", "\\n", "<<EOT\n", "\nEOT\n", "*/", "//", "é", "e\u0301",
    "\u2028", "\u202e", "\ufeff", "\uffff", "\U0001f600", "\U0010ffff",
)  # fmt: skip
TERRAFORM = shutil.which("terraform") or shutil.which("tofu")
needs_terraform = pytest.mark.skipif(TERRAFORM is None, reason="there is no terraform here")


def hostile_texts(count: int) -> list[str]:
    chance = random.Random(6)
    made = ["".join(chance.choices(PIECES, k=chance.randrange(12))) for _ in range(count)]
    return [*PIECES, "", *made]


def random_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(4 if depth > 3 else 7)
    text = "".join(chance.choices(PIECES, k=chance.randrange(6)))
    match kind:
        case 0 | 1:
            return text
        case 2:
            return chance.choice([True, False, 0, -1, 2**53, 10**12])
        case 3:
            return Reference(chance.choice(["aws_s3_bucket.long_term.id", "var.x[0].y", "local"]))
        case 4:
            return [random_value(chance, depth + 1) for _ in range(chance.randrange(4))]
        case 5:
            names = ["".join(chance.choices(PIECES, k=2)) for _ in range(chance.randrange(4))] + ["for", "plain-name_1"]
            return {name: random_value(chance, depth + 1) for name in chance.sample(names, k=min(3, len(names)))}
        case _:
            return random_value(chance, depth + 1) if depth else Json(random_value(chance, depth + 1))


def run_terraform(folder: Path, *arguments: str, given: str | None = None) -> str:
    assert TERRAFORM is not None
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        [TERRAFORM, *arguments], cwd=folder, env=environment, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ("${x}", '"$${x}"'),
        ("%{if}", '"%%{if}"'),
        ("%{if x}", r'"\u0025{if x}"'),
        ("$${x}$%{", r'"$\u0024{x}$\u0025{"'),
        ("$ % $$ { $x", '"$ % $$ { $x"'),
        ("a\nb\r\t\0\x7f", r'"a\nb\r\t\u0000\u007f"'),
        ("é\U0001f600", r'"\u00e9\U0001f600"'),
    ],
)
def test_a_string_is_written_so_that_nothing_in_it_means_anything(value: str, written: str) -> None:
    assert quoted(value) == written


def test_any_string_comes_back_as_it_was_and_is_one_line_of_ascii() -> None:
    for text in hostile_texts(2000):
        written = quoted(text)
        assert written.isascii()
        assert written.isprintable()
        assert literal(written) == text


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        quoted("a\ud800")


def test_any_value_comes_back_from_another_parser_as_it_was() -> None:
    chance = random.Random(7)
    attributes = {f"a{number}": random_value(chance) for number in range(150)}
    inner = Block("inner", ("label",), {"x": random_value(chance)}, comment='${a}\n"}\u2028\r')
    text = terraform_text([Block("output", ("x",), attributes, (inner, Block("empty")))], 'a "comment\n}\r${b}')
    assert text.isascii()
    [output] = read(text)["output"]
    assert output["x"] == attributes | {"inner": [{"label": {"x": inner.attributes["x"]}}], "empty": [{}]}


@pytest.mark.parametrize("name", ["", "a b", 'a"', "a.b", "1a", "a\n", "é", "a=", "${a}"])
def test_what_is_no_name_is_never_written_as_one(name: str) -> None:
    for make in (lambda: Block(name), lambda: Block("a", (name,)), lambda: Block("a", (), {name: 1})):
        with pytest.raises(ValueError, match="no name"):
            make()
    with pytest.raises(ValueError, match="no reference"):
        Reference(f"a.{name}" if name != "a.b" else "a..b")


def test_the_layout_is_that_of_terraform_fmt() -> None:
    block = Block(
        "resource",
        ("aws_iam_role", "this"),
        {
            "name": "a",
            "tags": {"for": "1", "long-name": "2", "dotted.name": "3"},
            "path": "/",
            "empty": {},
            "one": ["a"],
            "more": ["a", Reference("b.c")],
            "assume_role_policy": Json({"Statement": [{"Effect": "Allow", "Sid": "A"}]}),
        },
        (Block("timeouts", (), {"create": "1m"}), Block("timeouts")),
        comment="Why.\nAnd how.",
    )
    assert terraform_text([block, Block("terraform")], comment="The head.") == LAYOUT


LAYOUT = """\
# The head.

# Why.
# And how.
resource "aws_iam_role" "this" {
  name = "a"
  tags = {
    "for"         = "1"
    long-name     = "2"
    "dotted.name" = "3"
  }
  path  = "/"
  empty = {}
  one   = ["a"]
  more = [
    "a",
    b.c,
  ]
  assume_role_policy = jsonencode({
    Statement = [
      {
        Effect = "Allow"
        Sid    = "A"
      },
    ]
  })

  timeouts {
    create = "1m"
  }

  timeouts {}
}

terraform {}
"""


@needs_terraform
def test_terraform_fmt_changes_nothing(tmp_path: Path) -> None:
    chance = random.Random(8)
    attributes = {f"a{'x' * (number % 7)}{number}": random_value(chance) for number in range(150)}
    text = LAYOUT + "\n" + terraform_text([Block("output", ("x",), attributes, (Block("a"), Block("b")))], "c")
    assert run_terraform(tmp_path, "fmt", "-", given=text) == text


@needs_terraform
def test_terraform_itself_has_the_same_values(tmp_path: Path) -> None:
    # Terraform brings every string to Unicode's normal form C.
    texts = [unicodedata.normalize("NFC", text) for text in hostile_texts(300)]
    pairs = {f"k{number}{text}": text for number, text in enumerate(texts)}
    outputs = [Block("output", ("x",), {"value": texts}), Block("output", ("y",), {"value": Json(pairs)})]
    (tmp_path / "main.tf").write_text(terraform_text(outputs))
    run_terraform(tmp_path, "apply", "-auto-approve")
    found = json.loads(run_terraform(tmp_path, "output", "-json"))
    assert found["x"]["value"] == texts
    assert json.loads(found["y"]["value"]) == pairs
