"""What docs/aws-account.md shows as printed by the story, against what the story printed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.console_blocks import ANY, shown

PAGE = Path(__file__).parents[2] / "docs" / "aws-account.md"
OTHERWISE = ("new events and recordings go to aws-",)
"""How lines begin that the story lacks: it promotes with JSON as output."""
_COMMAND = re.compile(r"^\$ .*(?:\\\n.*)*", re.M)


def not_printed(story: str) -> list[str]:
    """Lines that the page shows below commands, and that the story, with other ids, times and numbers, doesn't have."""
    printed = [_like(line.strip()) for line in story.splitlines()]
    blocks = [block for block in shown(PAGE.read_text(), "") if block.startswith("$ extaudit")]
    lines = [line.strip() for block in blocks for line in _COMMAND.sub("", block).splitlines()]
    looked_for = [line for line in lines if line and not line.startswith(OTHERWISE)]
    return [line for line in looked_for if not any(re.fullmatch(_pattern(line), each) for each in printed)]


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, _like(line).split(ANY)))


def _like(text: str) -> str:
    """Without what differs from run to run; of plans and checks the numbers stay."""
    text = re.sub(r"[0-9a-f]{8}([-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}", "<uuid>", text)
    text = re.sub(r"-[0-9a-f]{4} …$", " …", text)  # a table in which no more of a uuid fits
    text = re.sub(r"aws-[0-9a-f]{16}", "<storage>", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "<address>", text)
    return re.sub(r"\b(\d+ )*[\d.]+ KiB", "<counts>", re.sub(" +", " ", text))
