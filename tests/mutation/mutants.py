"""Small faults planted in a module's source, one at a time, and named by text: so a name outlives edits elsewhere.

Left alone, because a change there says nothing about the tests: annotations, docstrings, what stands inside a `raise`
or an f-string (sentences for people), assertions of our own invariants (a weaker one can only be seen to differ where
the program is broken already), and the flags of a class statement (`frozen=True`).
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, Final, NamedTuple, cast

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "src" / "outvote"
RAFT_SUBJECTS: Final = ("protocols/raft",)  # in a survey of its own
SUBJECTS: Final = ("protocols/pbft", "core", "machines")  # what the survey covers, but for
# No replica runs these: the simulator's checkers and schedules, and what `outvote check` tries a user's class with,
# whose tests start processes of their own (one for everything that it has to find in a class).
INSTRUMENTS: Final = ("insight", "rounds", "determinism")
TEXT_CHARACTERS_MAX: Final = 110  # of one side of a mutation; longer ones are shown around the difference

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}
_CALLS: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One fault. `key` names it in the table of explanations."""

    module: str  # below outvote: "core.quorums"
    function: str  # qualified; "" for the module's own level
    operator: str
    change: str  # "before → after", with a number behind if the function holds several equal ones
    source: str  # the line of the source, stripped
    lines: range  # of the statement
    outermost: str  # the function whose code holds it; "" if it runs at import
    names: tuple[str, ...]  # what the statement defines, if it runs at import: whoever reads it may notice
    site: int  # its place among the sites of its module

    @property
    def key(self) -> str:
        return f"{self.module}:{self.function}: {self.change}"


class Site(NamedTuple):
    """A place in a tree: what to assign where, and the part of the tree in which the change is shown."""

    operator: str
    holder: Any  # a node, or a list of nodes
    field: str | int
    new: Any
    shown: ast.AST
    words: str | None  # instead of the shown part: "drop: ..." and the like
    statement: ast.stmt
    function: str
    outermost: str

    def swap(self) -> Any:
        """Assign the new value; returns the old one."""
        if isinstance(self.field, int):
            old, self.holder[self.field] = self.holder[self.field], self.new
        else:
            old = getattr(self.holder, self.field)
            setattr(self.holder, self.field, self.new)
        return old


class _Place(NamedTuple):
    statement: ast.stmt
    function: str
    outermost: str


class _Walk:
    """All sites of one module, in the order of its source."""

    def __init__(self) -> None:
        self.sites: list[Site] = []

    def body(self, statements: list[ast.stmt], place: _Place | None, prefix: str, outermost: str) -> None:
        for index, statement in enumerate(statements):
            here = _Place(statement, place.function if place else prefix, outermost)
            self.statement(statements, index, statement, here, prefix)

    def statement(self, owner: list[ast.stmt], index: int, node: ast.stmt, place: _Place, prefix: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{node.name}"
            for defaults in (node.args.defaults, node.args.kw_defaults):
                for position, default in enumerate(defaults):
                    if default is not None:
                        here = place._replace(function=name)
                        self.expression(cast(Any, defaults), position, default, node.args, here)
            self.function(node, name, place.outermost or name)
        elif isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                if not (isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool)):
                    self.expression(keyword, "value", keyword.value, keyword, place._replace(function=node.name))
            self.body(node.body, None, f"{prefix}{node.name}.", place.outermost)
        elif not isinstance(node, ast.Assert | ast.Raise | ast.Import | ast.ImportFrom):
            self.plain(owner, index, node, place, prefix)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, outermost: str) -> None:
        tells = isinstance(node.returns, ast.Name) and node.returns.id == "bool"
        made = len(self.sites)
        for index, statement in enumerate(node.body):
            here = _Place(statement, name, outermost)
            self.statement(node.body, index, statement, here, f"{name}.<locals>.")
        if tells:
            self.negated_returns(node, name, outermost)
        if node.name == "__init__":  # an attribute that is never set is no subtle fault
            self.sites[made:] = [one for one in self.sites[made:] if one.operator != "drop an assignment"]

    def negated_returns(self, node: ast.AST, name: str, outermost: str) -> None:
        for inner in ast.walk(node):
            if not isinstance(inner, ast.Return) or inner.value is None:
                continue
            value = inner.value
            simple = isinstance(value, ast.Constant) or (isinstance(value, ast.Compare) and len(value.ops) == 1)
            if not simple and not (isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)):
                place = _Place(inner, name, outermost)
                self.add("negate a return", inner, "value", ast.UnaryOp(ast.Not(), value), inner, place)

    def plain(self, owner: list[ast.stmt], index: int, node: ast.stmt, place: _Place, prefix: str) -> None:
        """A statement that defines nothing: its own mutations, then those of its expressions and blocks."""
        dropped = None
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            dropped = "drop a call"
        elif isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            dropped = "drop an assignment" if isinstance(targets[0], ast.Attribute | ast.Subscript) else None
        elif isinstance(node, ast.Delete):
            dropped = "drop a call"
        if dropped is not None:  # kept as dead code, so that the function keeps its local and free variables
            new = ast.If(ast.Constant(False), [node], [])
            self.add(dropped, owner, index, new, node, place, f"drop: {ast.unparse(node)}")
        if isinstance(node, ast.Continue | ast.Break):
            other = ast.Break() if isinstance(node, ast.Continue) else ast.Continue()
            words = f"{ast.unparse(node)} → {ast.unparse(other)}"
            self.add("swap continue and break", owner, index, other, node, place, words)
        if isinstance(node, ast.If | ast.While):
            self.forced(node, node.test, place, "if" if isinstance(node, ast.If) else "while")
        for field, value in ast.iter_fields(node):
            if field in ("body", "orelse", "finalbody", "handlers") and isinstance(value, list):
                blocks = [value] if field != "handlers" else [handler.body for handler in value]
                for block in blocks:
                    self.body(block, place, prefix, place.outermost)
            elif field not in ("annotation", "type_comment"):
                self.field(node, field, value, node, place)

    def forced(self, node: Any, test: ast.expr, place: _Place, word: str) -> None:
        if isinstance(test, ast.Constant):
            return
        for value in (True, False) if word != "while" else (False,):
            words = f"{word} {ast.unparse(test)} → {word} {value}"
            self.add("force a condition", node, "test", ast.Constant(value), test, place, words)

    def field(self, holder: Any, name: str, value: Any, shown: ast.AST, place: _Place) -> None:
        if isinstance(value, ast.AST):
            self.expression(holder, name, value, shown, place)
        elif isinstance(value, list):
            for index, one in enumerate(value):
                if isinstance(one, ast.AST):
                    self.expression(value, index, one, shown, place)

    def expression(self, holder: Any, field: str | int, node: ast.AST, shown: ast.AST, place: _Place) -> None:
        """`shown` is the nearest expression around the node, or the statement."""
        if isinstance(node, ast.JoinedStr | ast.expr_context):
            return
        if isinstance(node, ast.Constant):
            self.constant(holder, field, node, shown, place)
            return
        visits: dict[type[ast.AST], Callable[[Any, Any, str | int, _Place], None]] = {
            ast.Compare: self.compare, ast.BoolOp: self.logic, ast.UnaryOp: self.unary, ast.BinOp: self.binary,
            ast.Call: self.call, ast.IfExp: self.choice, ast.comprehension: self.comprehension,
        }
        visit = visits.get(type(node))
        if visit is not None:
            visit(node, holder, field, place)
        operator = _ARITHMETIC.get(type(cast(Any, node))) if isinstance(node, ast.operator) else None
        if operator is not None and isinstance(holder, ast.AugAssign):
            self.add("swap arithmetic", holder, "op", operator(), holder, place)
        around = node if isinstance(node, ast.expr) and not isinstance(node, ast.Starred) else shown
        for name, value in ast.iter_fields(node):
            self.field(node, name, value, around, place)

    def constant(self, holder: Any, field: str | int, node: ast.Constant, shown: ast.AST, place: _Place) -> None:
        if isinstance(node.value, bool):
            self.add("flip a flag", holder, field, ast.Constant(not node.value), shown, place)
        elif isinstance(node.value, int):
            for new in (node.value + 1, node.value - 1):
                self.add("shift a number", holder, field, ast.Constant(new), shown, place)

    def compare(self, node: ast.Compare, _holder: Any, _field: str | int, place: _Place) -> None:
        for index, operator in enumerate(node.ops):
            self.add("shift a comparison", node.ops, index, _COMPARISONS[type(operator)](), node, place)

    def logic(self, node: ast.BoolOp, holder: Any, field: str | int, place: _Place) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add("swap and, or", node, "op", other, node, place)
        whole = ast.unparse(node)
        for index, operand in enumerate(node.values):
            left = [one for position, one in enumerate(node.values) if position != index]
            new = left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
            words = f"without {ast.unparse(operand)} in {_shortened(whole)}"
            self.add("drop a condition", holder, field, new, node, place, words)

    def unary(self, node: ast.UnaryOp, holder: Any, field: str | int, place: _Place) -> None:
        if isinstance(node.op, ast.Not):
            words = f"{ast.unparse(node)} → {ast.unparse(node.operand)}"
            self.add("drop a not", holder, field, node.operand, node, place, words)

    def binary(self, node: ast.BinOp, _holder: Any, _field: str | int, place: _Place) -> None:
        operator = _ARITHMETIC.get(type(node.op))
        if operator is not None:
            self.add("swap arithmetic", node, "op", operator(), node, place)

    def call(self, node: ast.Call, _holder: Any, _field: str | int, place: _Place) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            new = ast.Name(_CALLS[node.func.id], ast.Load())
            self.add("swap min, max, any, all", node, "func", new, node, place)

    def choice(self, node: ast.IfExp, _holder: Any, _field: str | int, place: _Place) -> None:
        for value in (True, False):
            self.add("force a condition", node, "test", ast.Constant(value), node, place)

    def comprehension(self, node: ast.comprehension, _holder: Any, _field: str | int, place: _Place) -> None:
        for index, test in enumerate(node.ifs):
            words = f"for ... if {ast.unparse(test)} → for ... if "
            for value in (True, False):
                self.add("force a condition", node.ifs, index, ast.Constant(value), test, place, f"{words}{value}")

    def add(
        self, operator: str, holder: Any, field: str | int, new: Any, shown: ast.AST, place: _Place,
        words: str | None = None,
    ) -> None:
        self.sites.append(
            Site(operator, holder, field, new, shown, words, place.statement, place.function, place.outermost)
        )


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS_MAX else f"{text[: TEXT_CHARACTERS_MAX - 4]} ..."


def _change(site: Site) -> str:
    """The shown part before and after; the difference with something around it where that is long."""
    if site.words is not None:
        return " ".join(site.words.split())
    before = " ".join(ast.unparse(site.shown).split())
    old = site.swap()
    after = " ".join(ast.unparse(ast.fix_missing_locations(site.shown)).split())
    site._replace(new=old).swap()
    if max(len(before), len(after)) <= TEXT_CHARACTERS_MAX:
        return f"{before} → {after}"
    first = next(index for index in range(len(before)) if before[index] != after[index : index + 1])
    tail = next(
        index for index in range(1, len(before)) if before[-index] != after[-index] or len(before) - index < first
    )
    start = max(0, first - 30)
    return f"... {before[start : len(before) - tail + 20]} ... → ... {after[start : len(after) - tail + 20]} ..."


def _sites(tree: ast.Module) -> list[Site]:
    walk = _Walk()
    walk.body(tree.body, None, "", "")
    return walk.sites


def _lines(statement: ast.stmt) -> range:
    """Of a compound statement only the head."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno
    return range(statement.lineno, max(statement.lineno, last or 0) + 1)


def _defined(site: Site) -> tuple[str, ...]:
    """A constant or field by its own name, anything else by its function's or class's."""
    statement = site.statement
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    names = tuple(target.id for target in targets if isinstance(target, ast.Name))
    return names or tuple(site.function.strip(".").split(".")[-1:])


def modules(subjects: Sequence[str] = SUBJECTS) -> list[str]:
    """Every module below the subjects, by its name below outvote."""
    paths = [path for subject in subjects for path in sorted((PACKAGE / subject).glob("*.py"))]
    left_out = ("__init__", *INSTRUMENTS)
    return [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in paths if path.stem not in left_out]


def path_of(module: str) -> Path:
    return PACKAGE / f"{module.replace('.', '/')}.py"


def mutants_of(module: str, text: str | None = None) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its source; of the given text, if it is not the file's."""
    text = path_of(module).read_text() if text is None else text
    lines = text.split("\n")
    seen: Counter[tuple[str, str]] = Counter()
    for index, site in enumerate(_sites(ast.parse(text))):
        change = _change(site)
        seen[site.function, change] += 1
        if seen[site.function, change] > 1:
            change = f"{change} ({seen[site.function, change]})"
        line = getattr(site.shown, "lineno", site.statement.lineno)
        yield Mutant(
            module, site.function.removesuffix("."), site.operator, change, lines[line - 1].strip(),
            _lines(site.statement), site.outermost, () if site.outermost else _defined(site), index,
        )


def mutated(mutant: Mutant, text: str | None = None) -> CodeType:
    """The code of the mutant's module with the fault in it."""
    path = path_of(mutant.module)
    tree = ast.parse(path.read_text() if text is None else text)
    _sites(tree)[mutant.site].swap()
    code = compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)
    assert isinstance(code, CodeType)
    return code
