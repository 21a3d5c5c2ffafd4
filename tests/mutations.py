"""Change the code a little, one change at a time, and see whether the tests notice.

python -m tests.mutations --samples 300 --seed 0 [--only fans,plan] [--workers 2]

Each sample is a change of one expression or statement, drawn by the seed from all that there are in
the modules named below. It is made in a copy of the checkout, in a temporary folder; the tests that
cover the module are run there until one fails. Survivors are printed with the line that was
changed: each wants a test, unless the change comes to the same.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
# What covers each module, the quickest first.
COVER: dict[str, tuple[str, ...]] = {
    "fans.py": ("fans", "plan", "pieces", "initializers"),
    "distributions.py": (
        "initializers", "pieces", "holding", "plan", "derived", "starts", "quantile", "tables",
        "values", "precisions", "goodness_of_fit",
    ),
    "dtypes.py": ("dtypes", "holding", "precisions", "aes_ctr", "formats"),
    "expressions.py": ("expressions", "params", "elementary", "repeats", "spec_reference", "docs"),
    "plan": (
        "plan", "rules", "derived", "holding", "pieces", "starts", "placed", "params",
        "streams_seeds", "golden", "mistakes", "plain", "initializers", "repeats", "replay", "cli",
    ),
    "streams": (
        "aes_ctr", "quantile", "slab", "kernels", "framework_kernels", "pieces", "placed",
        "stream_parts", "streams_seeds", "precisions", "golden", "stability", "initializers",
        "derived", "costs",
    ),
    "formats": (
        "format_table", "formats", "reading", "elements", "keras_archive", "torch_files", "shards",
        "foreign", "inspection", "checkpoint", "hostile", "verify", "limits",
    ),
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


class Sample(NamedTuple):
    """Name a change: the module, which of its nodes, and the line that it stands in."""

    module: str
    node: int
    line: int


class Outcome(NamedTuple):
    """Hold what became of a change: its kind, the line before it, and the expression after it."""

    kind: str
    sample: Sample
    before: str
    after: str


def changed(node: ast.AST) -> ast.AST | None:
    """Return a node with a small change, or None where there is none to make."""
    new = copy.deepcopy(node)
    match new:
        case ast.Compare(ops=[only]) if type(only) in _COMPARISONS:
            new.ops = [_COMPARISONS[type(only)]()]
        case ast.BinOp(op=op) if type(op) in _OPERATORS and not _is_text(new):
            new.op = _OPERATORS[type(op)]()
        case ast.BoolOp(op=op):
            new.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.Not()):
            return new.operand
        case ast.UnaryOp(op=ast.USub()):
            return new.operand
        case ast.Constant(value=bool()):
            new.value = not new.value
        case ast.Constant(value=(int() | float()) as value):
            new.value = value + 1
        case ast.If() | ast.IfExp() | ast.While():
            new.test = ast.UnaryOp(ast.Not(), new.test)
        case ast.Return(value=value) if value is not None and not _is_none(value):
            new.value = ast.Constant(None)
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            return ast.copy_location(ast.Pass(), node)
        case _:
            return None
    return new


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that count: no annotations, no type checks, no assertions of a type."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "type_params") or isinstance(tree, ast.Assert):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield child
            yield from nodes(child)


def samples_of(module: str) -> list[Sample]:
    """Return all changes that can be made to a module."""
    tree = ast.parse((ROOT / "glorot_cli" / module).read_text("utf-8"))
    return [
        Sample(module, index, getattr(node, "lineno", 0))
        for index, node in enumerate(nodes(tree))
        if changed(node) is not None
    ]


def mutated(text: str, index: int) -> tuple[str, str]:
    """Return a module's text with one node changed, and what stands for the node now."""
    tree = ast.parse(text)
    old = list(nodes(tree))[index]
    new = changed(old)
    assert new is not None

    class Swap(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else super().generic_visit(node)  # type: ignore[return-value]

    made = ast.unparse(ast.fix_missing_locations(Swap().visit(tree)))
    return made, ast.unparse(new).splitlines()[0]


def cover_of(module: str) -> tuple[str, ...]:
    """Return the files of tests that cover a module, as far as they are there."""
    key = module.split("/")[0]
    files = (f"tests/test_{name}.py" for name in COVER[key])
    return tuple(file for file in files if (ROOT / file).is_file())


class Copy:
    """Keep a copy of the checkout, whose tests run one file after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "build", "dist")
        shutil.copytree(ROOT, folder, dirs_exist_ok=True, ignore=ignored)
        self.sound: set[str] = set()

    def fails(self, file: str, seconds: float) -> bool:
        """Tell whether a file of tests fails, or takes longer than that."""
        command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-p", "no:cacheprovider", file]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            ended = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return True
        return ended.returncode != 0

    def check(self, file: str) -> bool:
        """Tell whether a file of tests passes on the code as it is."""
        if file not in self.sound and not self.fails(file, 600):
            self.sound.add(file)
        return file in self.sound

    def outcome(self, sample: Sample, seconds: float) -> Outcome:
        """Make a change, run the tests that cover its module, and take it back."""
        place = self.folder / "glorot_cli" / sample.module
        text = place.read_text("utf-8")
        made, after = mutated(text, sample.node)
        before = text.splitlines()[sample.line - 1].strip()
        kind = "survived"
        for file in cover_of(sample.module):
            if not self.check(file):
                print(f"left out: {file} fails without a change", flush=True)
                continue
            place.write_text(made, "utf-8")
            try:
                if self.fails(file, seconds):
                    kind = "killed"
                    break
            finally:
                place.write_text(text, "utf-8")
        return Outcome(kind, sample, before, after)


def chosen(count: int, seed: int, only: tuple[str, ...]) -> list[Sample]:
    """Draw samples, as many from each part named in `COVER` as it has a share of the lines."""
    found = [
        sample
        for part in COVER
        if not only or part.removesuffix(".py") in only
        for path in _modules(part)
        for sample in samples_of(path)
    ]
    return random.Random(seed).sample(found, min(count, len(found)))


def _modules(part: str) -> list[str]:
    package = ROOT / "glorot_cli"
    paths = [package / part] if part.endswith(".py") else sorted((package / part).rglob("*.py"))
    return [path.relative_to(package).as_posix() for path in paths]


def run() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help=f"some of {','.join(COVER)}")
    parser.add_argument("--workers", type=int, default=1, help="copies that run side by side")
    parser.add_argument("--seconds", type=float, default=120.0, help="for a file of tests")
    options = parser.parse_args()
    only = tuple(name.removesuffix(".py") for name in options.only.split(",") if name)
    samples = chosen(options.samples, options.seed, only)
    tally: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copies = [Copy(Path(folder) / str(number)) for number in range(options.workers)]

        def work(number: int) -> list[Outcome]:
            outcomes = []
            for sample in samples[number :: options.workers]:
                found = copies[number].outcome(sample, options.seconds)
                outcomes.append(found)
                if found.kind == "survived":
                    place = f"glorot_cli/{sample.module}:{sample.line}"
                    print(f"SURVIVED {place}: {found.before}  ->  {found.after}", flush=True)
            return outcomes

        with ThreadPoolExecutor(options.workers) as pool:
            for outcomes in pool.map(work, range(options.workers)):
                tally.update((o.sample.module.split("/")[0], o.kind) for o in outcomes)
    for part in COVER:
        killed, survived = tally[part, "killed"], tally[part, "survived"]
        if killed or survived:
            print(f"{part}: {killed} of {killed + survived} changes noticed")
    total = sum(tally.values())
    print(f"{sum(n for (_, kind), n in tally.items() if kind == 'killed')} of {total} noticed")
    return 0


if __name__ == "__main__":
    sys.exit(run())
