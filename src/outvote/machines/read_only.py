"""Which queries may run beside the order: those whose source proves that they change nothing.

A query that writes would part the replicas for ever, since each runs it at another moment; and to compare the whole
state before and after each one would cost more than ordering it. So the source is read, once, by a list of what is
allowed: a method passes if all it calls is known to leave its operands alone, or passes itself, and if all that it
changes was made within it. Whatever is not understood is no proof, and such a query is ordered like a command.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
import types
from collections.abc import Callable, Mapping
from typing import Any, Final

DEPTH_MAX: Final = 12  # calls of one's own functions inside each other; recursion ends here, unproven

# Methods of text, numbers, bytes, dicts, lists, sets and tuples that leave them as they are.
PURE_METHODS: Final = frozenset(
    [
        "as_integer_ratio", "bit_count", "bit_length", "capitalize", "casefold", "center", "conjugate", "copy", "count",
        "decode", "difference", "encode", "endswith", "expandtabs", "find", "get", "hex", "index", "intersection",
        "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isdisjoint", "isidentifier", "islower", "isnumeric",
        "isprintable", "isspace", "issubset", "issuperset", "istitle", "isupper", "items", "join", "keys", "ljust",
        "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust",
        "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase",
        "symmetric_difference", "title", "to_bytes", "translate", "union", "upper", "values", "zfill",
    ]
)  # fmt: skip
# Methods that change what they are called on: allowed on what the method itself has made.
MUTATORS: Final = frozenset(
    [
        "add", "append", "clear", "difference_update", "discard", "extend", "insert", "intersection_update",
        "move_to_end", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "symmetric_difference_update",
        "update",
    ]
)  # fmt: skip
# Built-in functions that give something new and leave their arguments alone.
MAKERS: Final = frozenset(
    [
        "abs", "all", "any", "bin", "bool", "bytes", "chr", "dict", "divmod", "enumerate", "float", "format",
        "frozenset", "hex", "int", "isinstance", "issubclass", "len", "list", "oct", "ord", "pow", "range", "repr",
        "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
    ]
)  # fmt: skip
CHOOSERS: Final = frozenset(["max", "min"])  # change nothing either, and may give back what belongs to the state
PURE_MARK: Final = "outvote_pure"  # an attribute of methods that are known to leave their object as it is
PURE_MODULES: Final = frozenset(["math", "_bisect"])
IMPURE_NAMES: Final = frozenset(["insort", "insort_left", "insort_right"])

_FRESH: Final = (
    ast.Constant, ast.List, ast.Dict, ast.Set, ast.Tuple, ast.ListComp, ast.DictComp, ast.SetComp, ast.JoinedStr,
    ast.BinOp, ast.UnaryOp, ast.Compare,
)  # fmt: skip
_STATEMENTS: Final = (
    ast.Return, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.While, ast.If, ast.Expr, ast.Raise, ast.Pass,
    ast.Break, ast.Continue, ast.Assert, ast.Delete,
)  # fmt: skip
_REFUSED: Final = (ast.Await, ast.Yield, ast.YieldFrom)


class Unproven(Exception):
    """Why a method may change something, as far as can be told."""


def why_not(function: Callable[..., Any], siblings: Mapping[str, Any]) -> str:
    """Empty if the method changes nothing but what it makes itself; else the first thing that is no proof of that.
    `siblings`: everything that its class defines or inherits, by name."""
    try:
        _prove(function, siblings, 0)
    except Unproven as reason:
        return str(reason)
    return ""


def _prove(function: Any, siblings: Mapping[str, Any], depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Unproven(f"{function.__name__} is called too deep inside other calls")
    if not isinstance(function, types.FunctionType):
        raise Unproven(f"{getattr(function, '__name__', function)} is no plain function")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError) as error:
        raise Unproven(f"the source of {function.__name__} cannot be read") from error
    defined = tree.body[0] if tree.body else None
    if not isinstance(defined, ast.FunctionDef):
        raise Unproven(f"{function.__name__} is no plain function")
    _Proof(function, siblings, defined, depth).run()


class _Proof:
    """One function's: which names it has made itself, and whether everything else stays as it is."""

    def __init__(
        self, function: types.FunctionType, siblings: Mapping[str, Any], defined: ast.FunctionDef, depth: int
    ) -> None:
        self.function = function
        self.siblings = siblings
        self.body = defined.body
        self.depth = depth
        given = defined.args
        self.parameters = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        names = [one.arg for one in (*given.posonlyargs, *given.args)]
        self.self_name = names[0] if siblings and names else ""
        self.made = self._names_made()

    def run(self) -> None:
        for statement in self.body:
            self._statement(statement)

    def _names_made(self) -> frozenset[str]:
        """Local names that hold nothing but what was made here. Parts of it may still belong to the state."""
        made: dict[str, bool] = dict.fromkeys(self.parameters, False)

        def bind(target: ast.expr, fresh: bool) -> None:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    made[node.id] = made.get(node.id, True) and fresh and node is target

        for node in (inner for statement in self.body for inner in ast.walk(statement)):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, (ast.Name, ast.Tuple, ast.List)):
                        bind(target, self._is_new(node.value))
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and isinstance(node.target, ast.Name):
                bind(node.target, node.value is not None and self._is_new(node.value))
            elif isinstance(node, (ast.For, ast.comprehension)):
                bind(node.target, False)
        return frozenset(name for name, fresh in made.items() if fresh)

    def _is_new(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            return value.func.id in MAKERS and self._meaning(value.func.id) is getattr(builtins, value.func.id)
        return isinstance(value, _FRESH)

    def _statement(self, node: ast.stmt) -> None:
        if not isinstance(node, _STATEMENTS):
            raise self._unproven(node, "is not understood")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child)
            elif isinstance(child, ast.expr):
                self._expression(child)
        if isinstance(node, (ast.Assign, ast.Delete)):
            for target in node.targets:
                self._target(target)
        elif isinstance(node, (ast.AnnAssign, ast.For)):
            self._target(node.target)
        elif isinstance(node, ast.AugAssign):
            inner = node.target.value if isinstance(node.target, ast.Subscript) else node.target
            if not (isinstance(inner, ast.Name) and inner.id in self.made):
                raise self._unproven(node, "changes what the method has not made")

    def _target(self, target: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            for one in target.elts:
                self._target(one)
        elif isinstance(target, ast.Subscript):
            if not (isinstance(target.value, ast.Name) and target.value.id in self.made):
                raise self._unproven(target, "changes what the method has not made")
        elif not isinstance(target, ast.Name):
            raise self._unproven(target, "is written to")

    def _expression(self, node: ast.expr, called: bool = False) -> None:
        if isinstance(node, _REFUSED):
            raise self._unproven(node, "is not understood")
        if isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id == self.self_name
            held = self.siblings.get(node.attr) if own else None
            if not called and (
                node.attr in MUTATORS or node.attr.startswith("__") or isinstance(held, (types.FunctionType, property))
            ):
                raise self._unproven(node, "is handed on, and may change something when it is called")
            if own:
                return
        elif isinstance(node, ast.Name) and not called and isinstance(node.ctx, ast.Load):
            self._name(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.comprehension):
                self._target(child.target)
                for part in (child.iter, *child.ifs):
                    self._expression(part)
            elif isinstance(child, ast.keyword):
                self._expression(child.value)
            elif isinstance(child, ast.expr):
                self._expression(child, called=isinstance(node, ast.Call) and child is node.func)

    def _name(self, node: ast.Name) -> None:
        """A name that is not called where it stands: a function may be called wherever it is handed to."""
        if node.id == self.self_name and node.id:
            raise self._unproven(node, "is handed on as a whole")
        meaning = self._meaning(node.id)
        if meaning is None or isinstance(meaning, (type, types.ModuleType)) or not callable(meaning):
            return
        if node.id not in MAKERS and not (inspect.isbuiltin(meaning) and meaning.__name__ in CHOOSERS):
            raise self._unproven(node, "is handed on, and may change something when it is called")

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            self._call_of_attribute(node, function)
        elif isinstance(function, ast.Name):
            self._call_of_name(node, function.id)
        else:
            raise self._unproven(node, "calls what cannot be told")

    def _call_of_attribute(self, node: ast.Call, function: ast.Attribute) -> None:
        name, owner = function.attr, function.value
        if isinstance(owner, ast.Name):
            if owner.id == self.self_name and name in self.siblings:
                _prove(self.siblings[name], self.siblings, self.depth + 1)
                return
            if name in MUTATORS and owner.id in self.made:
                return
            meaning = self._meaning(owner.id)
            if isinstance(meaning, types.ModuleType):
                self._call_of(node, getattr(meaning, name, None))
                return
        if name not in PURE_METHODS or self._means_something_else(name):
            raise self._unproven(node, f"calls {name}, which may change something")

    def _means_something_else(self, name: str) -> bool:
        """Whether a class that this function can name has a method of its own by the name of a pure one."""
        return any(
            isinstance(held, type)
            and isinstance(method := inspect.getattr_static(held, name, None), types.FunctionType)
            and not getattr(method, PURE_MARK, False)
            and vars(held).get(name) is method
            and name not in self.siblings
            for held in self.function.__globals__.values()
        )

    def _call_of_name(self, node: ast.Call, name: str) -> None:
        if name in self.parameters or name in self.made:
            raise self._unproven(node, "calls what cannot be told")
        self._call_of(node, self._meaning(name))

    def _call_of(self, node: ast.Call, meaning: Any) -> None:
        if meaning is None:
            raise self._unproven(node, "calls what cannot be told")
        name = getattr(meaning, "__name__", "")
        if getattr(builtins, name, None) is meaning and (name in MAKERS or name in CHOOSERS):
            return
        if isinstance(meaning, type) and meaning is not super:
            if any(isinstance(vars(base).get("__post_init__"), types.FunctionType) for base in meaning.__mro__):
                raise self._unproven(node, "makes an object that does more than hold values")
            made_by = inspect.getattr_static(meaning, "__init__", None)
            plain = hasattr(meaning, "__dataclass_fields__") or issubclass(meaning, Exception)
            if isinstance(made_by, types.FunctionType) and not plain:
                raise self._unproven(node, "makes an object that does more than hold values")
            return
        if inspect.isbuiltin(meaning) and meaning.__module__ in PURE_MODULES and name not in IMPURE_NAMES:
            return
        _prove(meaning, {}, self.depth + 1)

    def _meaning(self, name: str) -> Any:
        """What a global or built-in name stands for; None for a local one, or one that is not there."""
        if name in self.parameters or name in self.function.__code__.co_varnames:
            return None
        if name in self.function.__code__.co_freevars:
            cells = dict(zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=False))
            try:
                return cells[name].cell_contents
            except (KeyError, ValueError):
                return None
        found = self.function.__globals__.get(name)
        return found if found is not None else getattr(builtins, name, None)

    def _unproven(self, node: ast.AST, what: str) -> Unproven:
        return Unproven(f"{ast.unparse(node)[:80]!r} in {self.function.__name__} {what}")
