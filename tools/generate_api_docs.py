"""Generates docs/api.md, the reference of the contract, out of the protos; `--check` says whether it is fresh."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
CONTRACT = PROTOS / "extaudit" / "v1"
PAGE = ROOT / "docs" / "api.md"
PACKAGE = "extaudit.v1"

# Field numbers in descriptor.proto that make up the path of a source location.
FILE_MESSAGES, FILE_ENUMS, FILE_SERVICES = 4, 5, 6
MESSAGE_FIELDS, ENUM_VALUES, SERVICE_METHODS = 2, 2, 2
SYNTAX = 12

INTRODUCTION = f"""# API reference

Package `{PACKAGE}`. Generated from the protos by `make docs`; change the comments there, not this page.
Every error carries a `google.rpc.ErrorInfo` with the domain `extaudit` and a reason from [ErrorReason](#errorreason).
"""


@dataclass(frozen=True, slots=True)
class ProtoFile:
    """One proto and its comments by source path."""

    descriptor: FileDescriptorProto
    comments: Mapping[tuple[int, ...], str]

    def comment(self, *path: int) -> str:
        """Give the comment of what is at this path as one paragraph a line; empty when there is none."""
        return self.comments.get(path, "")


def read_protos() -> list[ProtoFile]:
    """Compile the protos in memory; those with services come first, each half sorted by name."""
    names = sorted(path.relative_to(PROTOS).as_posix() for path in CONTRACT.glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        options = ["-I.", "--include_source_info", f"--descriptor_set_out={image}"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *names], cwd=PROTOS, check=True)  # noqa: S603 - our own words
        files = FileDescriptorSet.FromString(image.read_bytes()).file
    return [
        ProtoFile(file, comments_of(file)) for file in sorted(files, key=lambda file: (not file.service, file.name))
    ]


def comments_of(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Index a file's comments by path; the file's own comment is the one above its `syntax` line."""
    return {
        tuple(location.path): "\n".join(line.strip() for line in location.leading_comments.strip().splitlines())
        for location in file.source_code_info.location
        if location.leading_comments
    }


def page(files: list[ProtoFile]) -> str:
    """Write the whole page."""
    lines = [INTRODUCTION, *contents(files)]
    for file in files:
        lines += ["", f"## {Path(file.descriptor.name).name}", "", file.comment(SYNTAX)]
        for number, service in enumerate(file.descriptor.service):
            lines += service_section(file, service, (FILE_SERVICES, number))
        for number, message in enumerate(file.descriptor.message_type):
            lines += message_section(file, message, (FILE_MESSAGES, number))
        for number, enum in enumerate(file.descriptor.enum_type):
            lines += enum_section(file, enum, (FILE_ENUMS, number))
    return "\n".join(lines).rstrip() + "\n"


def contents(files: list[ProtoFile]) -> Iterator[str]:
    """List every RPC with its shape, linked."""
    yield from ("| RPC | request | response |", "|---|---|---|")
    for file in files:
        for service in file.descriptor.service:
            for method in service.method:
                request = streamed(method.input_type, method.client_streaming)
                response = streamed(method.output_type, method.server_streaming)
                name = f"{service.name}.{method.name}"
                yield f"| [{name}](#{anchor(name)}) | {request} | {response} |"


def service_section(file: ProtoFile, service: ServiceDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
    """Describe a service and its methods."""
    yield from ("", f"### {service.name}", "", file.comment(*path))
    for number, method in enumerate(service.method):
        yield from ("", f"#### {service.name}.{method.name}", "", f"`{signature(method)}`", "")
        yield file.comment(*path, SERVICE_METHODS, number)


def message_section(file: ProtoFile, message: DescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
    """Describe a message and its fields."""
    yield from ("", f"### {message.name}", "", file.comment(*path))
    if message.field:
        yield from ("", "| field | type | number | meaning |", "|---|---|---|---|")
    for number, field in enumerate(message.field):
        meaning = cell(file.comment(*path, MESSAGE_FIELDS, number))
        yield f"| `{field.name}` | {field_type(message, field)} | {field.number} | {meaning} |"


def enum_section(file: ProtoFile, enum: EnumDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
    """Describe an enum and its values."""
    yield from ("", f"### {enum.name}", "", file.comment(*path), "", "| value | number | meaning |", "|---|---|---|")
    for number, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {cell(file.comment(*path, ENUM_VALUES, number))} |"


def signature(method: MethodDescriptorProto) -> str:
    """Write a method as the proto does."""
    request = ("stream " if method.client_streaming else "") + short(method.input_type)
    response = ("stream " if method.server_streaming else "") + short(method.output_type)
    return f"rpc {method.name}({request}) returns ({response})"


def field_type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """Write a field's type, with what makes it plural or exclusive."""
    entry = next(
        (nested for nested in message.nested_type if field.type_name.endswith(f".{message.name}.{nested.name}")), None
    )
    if entry is not None and entry.options.map_entry:
        key, value = entry.field
        return f"map of {linked(key)} to {linked(value)}"
    text = linked(field)
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {text}"
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"{text}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return text


def linked(field: FieldDescriptorProto) -> str:
    """Write a type's name; ours as a link."""
    if not field.type_name:
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    return link(field.type_name)


def link(type_name: str) -> str:
    """Link a message or enum of ours; name any other in full."""
    name = short(type_name)
    return f"[{name}](#{anchor(name)})" if type_name.startswith(f".{PACKAGE}.") else f"`{name}`"


def streamed(type_name: str, is_stream: bool) -> str:
    """Link a message, saying whether it is a stream of it."""
    return ("stream of " if is_stream else "") + link(type_name)


def short(type_name: str) -> str:
    """Leave our own package's name out."""
    return type_name.removeprefix(f".{PACKAGE}.").removeprefix(".")


def anchor(heading: str) -> str:
    """Give the anchor that renderers make of a heading of letters and dots."""
    return heading.replace(".", "").lower()


def cell(text: str) -> str:
    """Fit a comment into one cell of a table."""
    return text.replace("\n", " ").replace("|", "\\|")


def main() -> int:
    """Generate or check; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when docs/api.md isn't fresh")
    fresh = page(read_protos())
    if not parser.parse_args().check:
        PAGE.write_text(fresh)
        return 0
    if PAGE.exists() and PAGE.read_text() == fresh:
        return 0
    print("docs/api.md is stale; run: make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
