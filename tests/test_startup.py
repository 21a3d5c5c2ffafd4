"""What a command loads: the program's own modules exactly, and none of what nothing needs.

`python -m tests.test_startup` writes the list of the program's modules anew; read its diff.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "data" / "modules_of_init.txt"
MLP = Path(__file__).parent.parent / "sample_specs" / "mlp.yaml"
SCRIPT = """
import os, runpy, sys
before = set(sys.modules)
leave = os._exit
os._exit = lambda code: (print(*sorted(set(sys.modules) - before), flush=True), leave(code))
sys.argv = ["glorot", *sys.argv[1:]]
runpy.run_module("glorot_cli", run_name="__main__")
"""
# What libraries load when they are asked for more, and commands of the program do not ask for, in
# all supported releases of the libraries (typer 0.15 loads rich, random and logging).
UNNEEDED = {
    "argparse", "asyncio", "concurrent.futures", "csv", "distributed", "email", "filecmp", "hmac",
    "http", "importlib.metadata", "importlib.resources", "matplotlib", "multiprocessing",
    "numpy.f2py", "numpy.fft", "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.testing",
    "socket", "ssl", "tempfile", "unittest", "xml", "zipfile",
}  # fmt: skip


@functools.cache
def modules(*arguments: str) -> frozenset[str]:
    """Return the modules that a command loads, in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GLOROT_KERNELS": "off"},
    )
    return frozenset(ended.stdout.splitlines()[-1].split())


def of_init(folder: Path) -> frozenset[str]:
    """Return the modules that drawing the small spec loads."""
    target = folder / "w.safetensors"
    return modules("init", str(MLP), "-o", str(target), "--seed", "1", "--quiet")


def own(found: frozenset[str]) -> list[str]:
    """Return those of the program."""
    return sorted(name for name in found if name.split(".")[0] == "glorot_cli")


def test_init_loads_these_modules_of_the_program(tmp_path: Path) -> None:
    hint = "run python -m tests.test_startup, and read its diff"
    assert own(of_init(tmp_path)) == MODULES.read_text("utf-8").split(), hint


@pytest.mark.parametrize("command", ["init", "plan", "fans"])
def test_a_command_loads_nothing_that_it_does_not_need(tmp_path: Path, command: str) -> None:
    found = {
        "init": functools.partial(of_init, tmp_path),
        "plan": functools.partial(modules, "plan", str(MLP), "--quiet"),
        "fans": functools.partial(modules, "fans", "3,4", "--axes", "IO"),
    }[command]()
    assert not found & UNNEEDED
    assert command == "init" or not any(name.split(".")[0] == "numpy" for name in found)


def test_what_stands_in_for_a_library_gives_way_to_it() -> None:
    script = (
        "import sys\n"
        "from glorot_cli import __main__\n"
        "__main__._spare_libraries()\n"
        "assert 'hmac' not in sys.modules\n"
        "import secrets\n"
        "from secrets import token_hex\n"
        "assert len(secrets.token_hex(4)) == 8\n"
        "assert sys.modules['secrets'].token_hex is token_hex\n"
        "assert 'hmac' in sys.modules\n"
        "from pydantic import BaseModel\n"
        "class Model(BaseModel):\n"
        "    x: int\n"
        "assert Model(x='3').x == 3\n"
        "assert 'importlib.metadata' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as written:
        names = own(of_init(Path(written)))
    MODULES.write_text("".join(f"{name}\n" for name in names), "utf-8")
