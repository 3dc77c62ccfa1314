"""What a Terraform file is made of: blocks, attributes and values. Values are data, never text of the language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_REFERENCE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]+\])*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """An attribute of something else in the files, such as `aws_s3_bucket.long_term.id`.

    Raises:
        ValueError: it isn't names with dots between, and indices.
    """

    path: str

    def __post_init__(self) -> None:
        if not _REFERENCE.fullmatch(self.path):
            raise ValueError(f"{self.path!r} is no reference")


@dataclass(frozen=True, slots=True)
class Json:
    """Text that Terraform is to make of a value: `jsonencode(…)`. The value may have references in it."""

    value: Value


Value = str | bool | int | Reference | Json | Sequence["Value"] | Mapping[str, "Value"]
"""A string, a number, a list, a map …, or a reference in the place of any of these."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its attributes, then the blocks in it, each in their order. `comment` stands above it.

    Raises:
        ValueError: its type, a label or an attribute's name isn't a name of Terraform's language.
    """

    type: str
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    comment: str = ""

    def __post_init__(self) -> None:
        for name in (self.type, *self.labels, *self.attributes):
            if not is_name(name):
                raise ValueError(f"{name!r} is no name")


def is_name(text: str) -> bool:
    """Whether a text can stand where the language wants a name."""
    return _NAME.fullmatch(text) is not None
