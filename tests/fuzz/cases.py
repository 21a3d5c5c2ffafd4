"""One case: a mutated file, a command line, and what may come of it."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

import yaml

from tests.fuzz import seeds, values
from tests.fuzz.commands import LARGEST_DRAWN, Result, run_command
from tests.fuzz.mutations import HARMED, mutated

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("inspect", "F"),
    ("inspect", "--json", "F"),
    ("inspect", "--sha256", "F"),
    ("inspect", "--headers", "F"),
    ("verify", "F"),
    ("verify", "F", "S"),
    ("verify", "--json", "--statistics", "F", "S"),
    ("diff", "F", "O"),
    ("diff", "--all", "O", "F"),
    ("diff", "--json", "--tolerance", "0.1", "F", "O", "--map", "*=x.*"),
    ("diff", "F", "O", "--map", "*=*:transpose"),
    ("spec", "F"),
    ("spec", "--json", "F"),
    ("plan", "F"),
    ("init", "S", "--base", "F", "-o", "out.safetensors", "--force"),
    ("init", "F", "-o", "out.h5", "--force"),
)
SPEC_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("plan", "F"),
    ("plan", "--json", "F"),
    ("explain", "a/kernel", "--spec", "F"),
    ("init", "F", "-o", "out.safetensors", "--force"),
    ("init", "F", "-o", "out.h5", "--force", "--json"),
    ("init", "F", "-o", "out/", "--force"),
)


def prepare(folder: Path, kind: str) -> list[Path]:
    """Write a kind's seeds, and return the files among them in a fixed order."""
    made = folder / "seeds" / kind
    if not made.exists():
        made.mkdir(parents=True)
        seeds.KINDS[kind](made)
        for name, spec in (("layers", seeds.LAYERS), ("tensors", seeds.TENSORS)):
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    return sorted(path for path in made.rglob("*") if path.is_file())


def run_case(folder: Path, kind: str, seed: int, number: int) -> Result:
    """Run one case in this process, in a folder of its own."""
    if kind == values.KIND:
        return values.run_values(folder, random.Random(f"{seed}/{kind}/{number}"))
    files = prepare(folder, kind)
    rng = random.Random(f"{seed}/{kind}/{number}")
    chosen = rng.choice(files)
    place = folder / "case"
    shutil.rmtree(place, ignore_errors=True)
    root = folder / "seeds" / kind
    relative = chosen.relative_to(root)
    # A file of a folder is read with the others there.
    together = len(relative.parts) > 1
    place.mkdir()
    if together:
        shutil.copytree(root / relative.parts[0], place / relative.parts[0])
    target = place / relative
    target.write_bytes(mutated(rng, chosen.name, chosen.read_bytes()))
    opened = target if chosen.suffix == ".json" and chosen.name != "manifest.json" else None
    path = opened or (place / relative.parts[0] if together else target)
    original = root / path.relative_to(place)
    command = rng.choice(SPEC_COMMANDS if kind == "spec" else COMMANDS)
    spec = folder / ("layers.yaml" if "layers" in str(path) else "tensors.yaml")
    names = {"F": path, "O": original, "S": spec}
    arguments = [str(names.get(word, word)) for word in command]
    result = _run(folder, place, command, arguments)
    if HARMED.exists():
        HARMED.unlink()
        return result._replace(problem=result.problem or "ran what was in a pickle")
    return result


def _run(folder: Path, place: Path, command: tuple[str, ...], arguments: list[str]) -> Result:
    with contextlib.chdir(place):
        if command[0] != "init":
            return run_command(folder, arguments)
        # What a spec asks for may be more than there is room for.
        planned = run_command(folder, ["plan", "--json", arguments[1]])
        if planned.problem or planned.code or not 0 <= planned.bytes <= LARGEST_DRAWN:
            return planned
        return run_command(folder, arguments)
