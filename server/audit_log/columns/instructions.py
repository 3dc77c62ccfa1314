"""What compiled code needs and Python has no words for: each is one instruction, or a few, of the processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Lowered: TypeAlias = tuple[Any, Any]
"""The types of what Numba puts in place of a call, and the function that writes its code."""

MULTIPLIES_CARRYLESS: Final = not numba.config.CPU_NAME and binding.get_host_cpu_features().get("pclmul", False)
"""Whether the processor has the instruction of `carryless_product`; code that it lacks ends the process."""
HASHES_SHA256: Final = not numba.config.CPU_NAME and all(map(binding.get_host_cpu_features().get, ("sha", "avx")))
"""The same of the instructions of `sha256_block.sha256_block`."""

_WORD: Final = ir.IntType(64)
_BLOCK: Final = ir.VectorType(ir.IntType(8), 64)
_PAIR: Final = ir.VectorType(_WORD, 2)
_FIRST, _SECOND = (ir.Constant(ir.IntType(32), number) for number in (0, 1))


def lowered(function: Callable[..., Lowered]) -> Callable[..., Any]:
    """For compiled code alone: a call of the function is the code that its second result writes."""
    done: Callable[..., Any] = intrinsic(function)
    return done


@lowered
def carryless_product(_context: Any, _one: Any, _other: Any) -> Lowered:
    """The product of two 64-bit numbers as polynomials over GF(2), in two words, the lower first."""

    def lower(context: Any, builder: Any, signature: Any, factors: Any) -> Any:
        kind = ir.FunctionType(_PAIR, [_PAIR, _PAIR, ir.IntType(8)])
        multiply = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.pclmulqdq")
        pairs = [builder.insert_element(ir.Constant(_PAIR, [0, 0]), factor, _FIRST) for factor in factors]
        product = builder.call(multiply, [*pairs, ir.Constant(ir.IntType(8), 0)])
        words = [builder.extract_element(product, place) for place in (_FIRST, _SECOND)]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), lower


@lowered
def special_bytes(_context: Any, data: Any, _at: Any) -> Lowered:
    """A bit for each of the 64 bytes from `at` on, the lowest for the first: set where it is a quote, a backslash, a
    control character or not ASCII. All of them must be there."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(start, [arguments[1]]), _BLOCK.as_pointer())
        block = builder.load(place, align=1)
        # As signed numbers all that is not ASCII is below zero.
        found = builder.icmp_signed("<", block, _each(32))
        for byte in b'"\\':
            found = builder.or_(found, builder.icmp_signed("==", block, _each(byte)))
        return builder.bitcast(found, _WORD)

    return types.uint64(data, types.uint64), lower


def _each(byte: int) -> Any:
    return ir.Constant(_BLOCK, [byte] * 64)


@lowered
def lowest_bit(_context: Any, _word: Any) -> Lowered:
    """The place of the lowest bit that is set in a word that isn't 0."""

    def lower(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), lower


@lowered
def copy_from(_context: Any, out: Any, _at: Any, _address: Any, _size: Any) -> Lowered:
    """Copy `size` bytes from this address in memory to out[at:]; nobody looks whether there is room."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, address, size = arguments
        target = context.make_array(signature.args[0])(context, builder, array).data
        source = builder.inttoptr(address, target.type)
        cgutils.raw_memcpy(builder, builder.gep(target, [at]), source, size, 1)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int64, types.int64), lower
