"""How an operation and its outcome are written. Both are bytes that every replica must produce alike.

An operation is msgpack [command name, [arguments in order]]. An outcome is msgpack [kind, detail]: done with a
value, rejected by the user's own code with a reason, failed with the name of an exception's class, or invalid.
Nothing here depends on the interpreter: texts of foreign exceptions are left out, since they differ between versions.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from outvote.errors import Lie, Refused

DONE: Final = 0  # [0, value]
REJECTED: Final = 1  # [1, reason]: the command raised Rejected
FAILED: Final = 2  # [2, class name]: the command raised anything else
INVALID: Final = 3  # [3, reason]: there is no such command, or the arguments do not fit it

NESTING_MAX: Final = 16  # arrays and maps inside each other; below what any interpreter's recursion limit allows
NAME_BYTES_MAX: Final = 255  # of a command's name: one length byte
REASON_CHARACTERS_MAX: Final = 1000  # of a rejection's text: 4 KB at most in UTF-8

_encode = msgspec.msgpack.Encoder().encode
_PAIR: Final = 0x92  # msgpack: an array of two
_decode_reason = msgspec.msgpack.Decoder(str).decode


def _writable(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8, so they are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def header(name: str) -> bytes:
    """The command's name as it stands in an operation, right behind the first byte."""
    return _encode(name)


def encode_operation(name: str, arguments: msgspec.Struct | list[Any] | tuple[Any, ...]) -> bytes:
    """`arguments` is a list, a tuple, or an array_like struct."""
    return _encode((name, arguments))


def split_operation(operation: bytes) -> tuple[bytes, int]:
    """The name's header and the offset of the arguments; (b"", 0) if the operation is not one."""
    if len(operation) < 3 or operation[0] != _PAIR:
        return b"", 0
    first = operation[1]
    if 0xA0 <= first <= 0xBF:
        end = 2 + (first & 31)
    elif first == 0xD9:
        end = 3 + operation[2]
    else:
        return b"", 0
    if end >= len(operation):
        return b"", 0
    return operation[1:end], end


def operation_name(operation: bytes) -> str:
    """The command's name for people; "" if the bytes are not an operation."""
    name, _ = split_operation(operation)
    try:
        return _decode_reason(name)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def encode_done(value: Any) -> bytes:
    """Raises what msgspec raises if the value cannot be written."""
    return _encode((DONE, value))


def encode_rejected(reason: str) -> bytes:
    return _encode((REJECTED, _writable(reason[:REASON_CHARACTERS_MAX])))


def encode_failed(class_name: str) -> bytes:
    return _encode((FAILED, _writable(class_name[:100])))


def encode_invalid(reason: str) -> bytes:
    return _encode((INVALID, reason))


TOO_LARGE: Final = encode_failed("ResultTooLarge")


def outcome_kind(outcome: bytes) -> int:
    """DONE, REJECTED, FAILED or INVALID. Raises Lie if the bytes are no outcome."""
    if len(outcome) < 3 or outcome[0] != _PAIR or outcome[1] > INVALID:
        raise Lie("these bytes are not the outcome of an operation")
    return outcome[1]


def outcome_reason(outcome: bytes) -> str:
    """The detail of an outcome that is not DONE, for people. Raises Lie if the bytes are no outcome."""
    kind = outcome_kind(outcome)
    try:
        detail = _decode_reason(memoryview(outcome)[2:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Lie("an outcome without a readable reason") from error
    return f"the command raised {detail}" if kind == FAILED else detail


def decode_outcome(outcome: bytes, result: Any) -> Any:
    """The value of a done outcome, as an object of the type `result` (or as its msgspec Decoder reads it).

    Raises Refused with the reason if the operation was not done, Lie if the bytes are no outcome of this type."""
    if outcome_kind(outcome) != DONE:
        raise Refused(outcome_reason(outcome))
    decoder = result if isinstance(result, msgspec.msgpack.Decoder) else msgspec.msgpack.Decoder(result)
    try:
        return decoder.decode(outcome[2:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Lie(f"a result that does not have the command's result type: {error}") from error


def nested_too_deep(data: bytes) -> bool:
    """Whether arrays and maps stand inside each other more than NESTING_MAX times; True for truncated bytes too.

    Counted here and not by catching RecursionError, because how deep an interpreter may recurse depends on who
    called it, and replicas must agree."""
    pending: list[int] = []  # values still to come, one entry for each open array or map
    offset = 0
    end = len(data)
    while offset < end:
        first = data[offset]
        size, children = _extent(data, offset, first)
        offset += size
        if children >= 0 and len(pending) >= NESTING_MAX:
            return True
        if children > 0:
            pending.append(children)
            continue
        while pending:
            pending[-1] -= 1
            if pending[-1]:
                break
            pending.pop()
        if not pending:
            break
    return offset > end or bool(pending)


def _extent(data: bytes, offset: int, first: int) -> tuple[int, int]:
    """Bytes of the value's own head (scalars: all of it), and how many values it holds (scalars: -1)."""
    if first <= 0x7F or first >= 0xE0 or first in (0xC0, 0xC1, 0xC2, 0xC3):
        return 1, -1
    if first <= 0x8F:
        return 1, 2 * (first & 15)
    if first <= 0x9F:
        return 1, first & 15
    if first <= 0xBF:
        return 1 + (first & 31), -1
    fixed = _FIXED.get(first)
    if fixed is not None:
        return fixed, -1
    width, extra, factor = _COUNTED[first]
    count = int.from_bytes(data[offset + 1 : offset + 1 + width], "big")
    if factor:
        return 1 + width, factor * count
    return 1 + width + extra + count, -1


_FIXED: Final = {  # marker -> bytes in all
    0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9,
    0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18,
}  # fmt: skip
_COUNTED: Final = {  # marker -> (bytes of the count, bytes between count and data, values per count; 0: bytes)
    0xC4: (1, 0, 0), 0xC5: (2, 0, 0), 0xC6: (4, 0, 0), 0xC7: (1, 1, 0), 0xC8: (2, 1, 0), 0xC9: (4, 1, 0),
    0xD9: (1, 0, 0), 0xDA: (2, 0, 0), 0xDB: (4, 0, 0),
    0xDC: (2, 0, 1), 0xDD: (4, 0, 1), 0xDE: (2, 0, 2), 0xDF: (4, 0, 2),
}  # fmt: skip
