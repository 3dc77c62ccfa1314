"""The calls that a page makes by grpcurl, made as grpcurl makes them: by what reflection tells, with messages in JSON.

The lines go through a shell as they stand; the program itself isn't needed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.docs.console_blocks import shown

_RECORDED = """grpcurl() {
  for word; do [ "$word" != @ ] || word=$(cat); printf '%s\\0' "$word"; done
  printf '\\n'
}
"""
"""A function in the program's place that prints its words, those of stdin in place of `@`."""


@dataclass(frozen=True)
class Call:
    """One call: files of TLS, where to, what (a method, or `list`) and its messages in JSON."""

    ca: Path
    cert: Path
    key: Path
    address: str
    method: str
    messages: tuple[str, ...]


def calls(page: str) -> list[Call]:
    """The calls of a page's blocks."""
    found = "\n".join(block for block in shown(page, "") if "grpcurl" in block)
    told = subprocess.run(["bash", "-euc", _RECORDED + found], check=True, capture_output=True, text=True).stdout
    return [_call(line.split("\0")[:-1]) for line in told.splitlines()]


def answers(call: Call, folder: Path, address: str) -> list[Any]:
    """What a call gives from a server at another address: messages as JSON has them, or the names of services."""
    ca, cert, key = ((folder / file).read_bytes() for file in (call.ca, call.cert, call.key))
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert)) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if call.method == "list":
            return list(database.get_services())
        service, _, name = call.method.partition("/")
        method = descriptor_pool.DescriptorPool(database).FindServiceByName(service).methods_by_name[name]
        request, answer = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
        made = channel.stream_stream(f"/{call.method}", request.SerializeToString, answer.FromString)
        sent = [json_format.Parse(message, request()) for message in call.messages]
        return [json_format.MessageToDict(message) for message in made(iter(sent), timeout=60)]


def _call(words: list[str]) -> Call:
    options = dict(zip(words[:-2:2], words[1:-2:2], strict=True))
    assert options.keys() <= {"-cacert", "-cert", "-key", "-d"}, options
    files = (Path(options[name]) for name in ("-cacert", "-cert", "-key"))
    return Call(*files, words[-2], words[-1], tuple(_messages(options.get("-d", "{}"))))


def _messages(text: str) -> Iterator[str]:
    """The JSON values in a text, one after the other."""
    while text := text.strip():
        _, end = json.JSONDecoder().raw_decode(text)
        yield text[:end]
        text = text[end:]
