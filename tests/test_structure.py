"""The house: which module may import which, and which heavy library only where it is used."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import glorot_cli

ROOT = Path(glorot_cli.__file__).parent
SPEC = ROOT.parent / "sample_specs" / "mlp.yaml"

# Each may import what stands above it, and nothing below.
ORDER = [
    "child",
    "hdf5_reader",
    "torch_reader",
    "exits",
    "errors",
    "workers",
    "dtypes",
    "elementary",
    "expressions",
    "array_expressions",
    "fans",
    "renames",
    "optimizer_state",
    "placed",
    "moments",
    "distributions",
    "arguments",
    "signatures",
    "params",
    "repeats",
    "products",
    "initializers",
    "streams",
    "dialects",
    "spec",
    "families",
    "plan",
    "formats",
    "drawing",
    "writing",
    "goodness_of_fit",
    "checks",
    "effects",
    "pictures",
    "derive",
    "recording",
    "report",
    "cli",
    "__main__",
]
FILES = sorted(ROOT.rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the dotted names that a module imports, and whether inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # names for annotations, which nothing imports when the program runs
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield from ((f"{module}.{alias.name}", inside) for alias in node.names)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, inside or function)


@functools.cache
def imported(module: str) -> list[tuple[str, bool]]:
    return list(imports(ast.parse(MODULES[module].read_text("utf-8"))))


def users(library: str, *, outside_functions: bool = False) -> set[str]:
    return {
        module
        for module in MODULES
        for name, inside in imported(module)
        if name.split(".")[0] == library and not (outside_functions and inside)
    }


def test_every_module_has_its_place() -> None:
    assert {module.split(".")[0] for module in MODULES} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__"])
def test_imports_go_one_way(module: str) -> None:
    unit = module.split(".")[0]
    above = {*ORDER[: ORDER.index(unit) + 1], "__version__"}
    for name, _ in imported(module):
        if name.split(".")[0] == "glorot_cli":
            assert name.split(".")[1] in above, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_a_package_holds_no_circle(module: str) -> None:
    seen: set[str] = set()

    def walk(current: str, trail: tuple[str, ...]) -> None:
        assert current not in trail, f"{trail} -> {current}"
        if current in seen:
            return
        seen.add(current)
        for name, inside in imported(current):
            parts = name.removeprefix("glorot_cli.").split(".")
            for depth in range(len(parts), 0, -1):
                inner = ".".join(parts[:depth])
                if name.startswith("glorot_cli.") and inner in MODULES and not inside:
                    walk(inner, (*trail, current))
                    break

    if module != "__init__":
        walk(module, ())


def test_only_report_imports_rich() -> None:
    assert users("rich") == {"report.terminal"}
    assert users("rich", outside_functions=True) == set()


def test_only_cli_imports_typer() -> None:
    assert {module.split(".")[0] for module in users("typer")} == {"cli"}
    assert users("click") == set()


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    for library in ("h5py", "safetensors", "ml_dtypes", "matplotlib", "distributed"):
        assert users(library, outside_functions=True) == set(), library


def test_only_recording_imports_torch_and_nothing_loads_recording() -> None:
    for library in ("torch", "transformers"):
        assert {module.split(".")[0] for module in users(library)} <= {"recording"}, library
    for module in MODULES:
        if module.split(".")[0] != "recording":
            names = {name for name, inside in imported(module) if not inside}
            assert not any(name.startswith("glorot_cli.recording") for name in names), module


def test_formats_draw_nothing_and_streams_know_no_format() -> None:
    for module in MODULES:
        names = {name for name, _ in imported(module)}
        if module.startswith("formats"):
            assert not any(name.startswith("glorot_cli.streams") for name in names), module
        if module.startswith("streams"):
            assert not any(name.startswith("glorot_cli.formats") for name in names), module


def test_no_module_is_named_as_one_of_the_standard_library() -> None:
    names = {part for module in MODULES for part in module.split(".")}
    assert not names & sys.stdlib_module_names - {"__init__", "__main__"}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[module].read_text("utf-8")))


# What drawing a spec by the native stream into a file does without.
NOT_NEEDED = (
    "streams.keras_", "streams.torch_", "streams.jax_", "streams.mersenne", "streams.philox",
    "streams.threefry", "gains", "effects", "pictures", "derive", "families", "record", "cloud",
    "stores", "writing.cluster", "writing.sharding", "writing.checkpoint", "formats.hdf5",
    "formats.npz", "formats.keras_archive", "formats.torch_file", "hdf5_reader", "torch_reader",
)  # fmt: skip


def test_the_main_job_imports_no_room_that_it_does_not_need(tmp_path: Path) -> None:
    script = (
        "import sys; from glorot_cli.cli import main\n"
        f"code = main(['init', {str(SPEC)!r}, '-o', 'w.safetensors', '--seed', '1', '-q'])\n"
        "print(*sys.modules)\nsys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    loaded = {name for name in done.stdout.split() if name.startswith("glorot_cli.")}
    assert "glorot_cli.writing.fill" in loaded
    rooms = tuple(f"glorot_cli.{room}" for room in NOT_NEEDED)
    assert sorted(name for name in loaded if name.startswith(rooms)) == []
    assert not {"h5py", "torch", "jax", "keras", "distributed", "obstore"} & {*done.stdout.split()}
