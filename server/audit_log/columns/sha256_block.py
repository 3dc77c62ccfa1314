"""One block of SHA-256 by the instructions that processors have for it; other code than this can't say them."""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils

from server.audit_log.columns.instructions import Lowered, lowered

_NUMBER: Final = ir.IntType(32)
_BYTES: Final = ir.VectorType(ir.IntType(8), 16)
_WORDS: Final = ir.VectorType(_NUMBER, 4)
_CLEAR: Final = "llvm.x86.avx.vzeroupper"
"""The instructions are of a time when registers were half as wide: a hundred times as slow where the other half of any
has something in it."""
_STEPS: Final = 16
_MESSAGE_STEPS: Final = 4


def _cube_root_fraction(number: int) -> int:
    """The first 32 bits behind the point."""
    root = int((number << 96) ** (1 / 3))
    while root**3 > number << 96:
        root -= 1
    while (root + 1) ** 3 <= number << 96:
        root += 1
    return root % 2**32


_PRIMES: Final = [number for number in range(2, 312) if all(number % each for each in range(2, number))]
_ROUND_KEYS: Final = list(map(_cube_root_fraction, _PRIMES))
"""K of FIPS 180-4."""


@lowered
def sha256_block(_context: Any, state: Any, data: Any, _at: Any) -> Lowered:
    """Take the 64 bytes of data from `at` on into a state: eight numbers in the order F E B A H G D C. Nobody looks
    whether so many are there."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = zip(signature.args, arguments[:2], strict=False)
        words, start = (context.make_array(kind)(context, builder, array).data for kind, array in arrays)
        _Writer(builder).take(words, builder.gep(start, [arguments[2]]))
        return context.get_dummy_value()

    return types.void(state, data, types.uint64), lower


class _Writer:
    """Writes the code, four of the 64 rounds a step."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def take(self, state: Any, block: Any) -> None:
        """Take the block at an address into the state at another."""
        builder = self._builder
        clear = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), _CLEAR)
        builder.call(clear, [])
        places = [self._at(state, 4 * half, _WORDS) for half in (0, 1)]
        before = [builder.load(place, align=4) for place in places]
        abef, cdgh = before
        message = [self._big_endian(self._at(block, 16 * step, _BYTES)) for step in range(_MESSAGE_STEPS)]
        for step in range(_STEPS):
            if step >= _MESSAGE_STEPS:
                message.append(self._next(*message[-_MESSAGE_STEPS:]))
            words = builder.add(message[step], ir.Constant(_WORDS, _ROUND_KEYS[4 * step : 4 * step + 4]))
            for two in (words, self._picked(words, words, [2, 3, 2, 3])):
                abef, cdgh = self._called("rnds2", cdgh, abef, two), abef
        for place, half, old in zip(places, (abef, cdgh), before, strict=True):
            builder.store(builder.add(half, old), place, align=4)

    def _at(self, start: Any, number: int, kind: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(start, [ir.Constant(_NUMBER, number)]), kind.as_pointer())

    def _big_endian(self, place: Any) -> Any:
        block = self._builder.load(place, align=1)
        turned = self._picked(block, block, [number ^ 3 for number in range(16)])
        return self._builder.bitcast(turned, _WORDS)

    def _next(self, first: Any, second: Any, third: Any, fourth: Any) -> Any:
        """The four words of the message after these sixteen."""
        early = self._builder.add(self._called("msg1", first, second), self._picked(third, fourth, [1, 2, 3, 4]))
        return self._called("msg2", early, fourth)

    def _picked(self, one: Any, other: Any, places: list[int]) -> Any:
        """These of the members of both."""
        return self._builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_NUMBER, len(places)), places))

    def _called(self, instruction: str, *operands: Any) -> Any:
        kind = ir.FunctionType(_WORDS, [_WORDS] * len(operands))
        function = cgutils.get_or_insert_function(self._builder.module, kind, f"llvm.x86.sha256{instruction}")
        return self._builder.call(function, operands)
