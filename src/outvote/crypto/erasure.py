"""Reed-Solomon erasure coding over GF(2^8): any `data` of `total` shards give the value back.

The field is GF(2)[x] / 0x11d. The first `data` shards are the value itself; parity shard i is the sum of
data shard j times 1 / (i xor j), a Cauchy matrix: every square part of one is invertible, so *any* `data` shards will
do. (Vandermonde matrices in common use are not so for five and more parities, which in a reliable broadcast is a
replica that never delivers.) The payloads are those of ISA-L's `isa_l_rs_cauchy`, byte for byte.

A row times a shard is one `bytes.translate`, a sum of shards one xor of integers: both run in C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from outvote.errors import Lie

_POLYNOMIAL: Final = 0x11D
_LENGTH_BYTES: Final = 4
SHARDS_MAX: Final = 256  # elements of the field: i xor j must not be 0


def _tables() -> tuple[tuple[int, ...], tuple[int, ...]]:
    powers, logarithms, value = [0] * 510, [0] * 256, 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logarithms[value] = exponent
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return tuple(powers), tuple(logarithms)


_POWERS, _LOGARITHMS = _tables()


def _times(a: int, b: int) -> int:
    return _POWERS[_LOGARITHMS[a] + _LOGARITHMS[b]] if a and b else 0


def _inverse(a: int) -> int:
    return _POWERS[255 - _LOGARITHMS[a]]


@cache
def _multiples(factor: int) -> bytes:
    """A table for `bytes.translate`: 256 bytes, 256 of them at most."""
    return bytes(_times(factor, value) for value in range(256))


def _row(index: int, data: int) -> list[int]:
    """How shard `index` is made of the data shards."""
    if index < data:
        return [int(column == index) for column in range(data)]
    return [_inverse(index ^ column) for column in range(data)]


def _combine(row: Sequence[int], shards: Sequence[bytes]) -> bytes:
    total = 0
    for factor, shard in zip(row, shards, strict=True):
        if factor:
            total ^= int.from_bytes(shard if factor == 1 else shard.translate(_multiples(factor)), "big")
    return total.to_bytes(len(shards[0]), "big")


def shard_bytes(size: int, data: int) -> int:
    """How long each shard of a value of `size` bytes is."""
    return -(-(size + _LENGTH_BYTES) // data)


def encode(value: bytes, data: int, total: int) -> tuple[bytes, ...]:
    """`total` shards of equal length, any `data` of which hold the value."""
    assert 1 <= data <= total <= SHARDS_MAX
    size = shard_bytes(len(value), data)
    padded = (len(value).to_bytes(_LENGTH_BYTES, "big") + value).ljust(size * data, b"\0")
    parts = [padded[size * index : size * (index + 1)] for index in range(data)]
    return (*parts, *(_combine(_row(index, data), parts) for index in range(data, total)))


def decode(shards: Mapping[int, bytes], data: int, total: int) -> bytes:
    """The value, from `data` or more shards by index (the lowest are used). Raises Lie if there is none in them.

    Shards that were not made by `encode` may still give *some* value: whoever needs to know encodes it again.
    """
    indices = sorted(shards)[:data]
    if len(indices) < data or indices[0] < 0 or indices[-1] >= total:
        raise Lie(f"{len(indices)} shards of {total}, and {data} are needed")
    held = [shards[index] for index in indices]
    if not held[0] or any(len(shard) != len(held[0]) for shard in held):
        raise Lie("shards of different lengths")
    parts = [shards.get(index, b"") for index in range(data)]
    if indices[-1] >= data:
        inverse = _inverted([_row(index, data) for index in indices])
        parts = [part if index in indices else _combine(inverse[index], held) for index, part in enumerate(parts)]
    padded = b"".join(parts)
    size = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    if size > len(padded) - _LENGTH_BYTES:
        raise Lie("shards whose value is longer than they are")
    return padded[_LENGTH_BYTES : _LENGTH_BYTES + size]


def _inverted(matrix: list[list[int]]) -> list[list[int]]:
    """Gauss-Jordan; the matrix is invertible because it is made of rows of a Cauchy code."""
    size = len(matrix)
    rows = [[*row, *(int(column == index) for column in range(size))] for index, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(index for index in range(column, size) if rows[index][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = _inverse(rows[column][column])
        rows[column] = [_times(scale, value) for value in rows[column]]
        for index in range(size):
            factor = rows[index][column]
            if index != column and factor:
                rows[index] = [
                    value ^ _times(factor, other) for value, other in zip(rows[index], rows[column], strict=True)
                ]
    return [row[size:] for row in rows]
