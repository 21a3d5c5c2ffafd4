"""Specs with values at random: bounds of dtypes, denormals, huge, no numbers, the wrong kinds.

A case plans, draws, inspects and verifies, and at last reads the same weights with other claims.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import random
import re
import struct
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from glorot_cli.dialects.keras.table import LAYERS as KERAS_LAYERS
from glorot_cli.dialects.torch.table import LAYERS as TORCH_LAYERS
from glorot_cli.dtypes import DTYPES, INTEGER_RANGES, INTEGERS, PRECISIONS
from glorot_cli.errors import SpecError
from glorot_cli.initializers import INITIALIZERS
from glorot_cli.signatures import signature_table
from glorot_cli.spec.source import parse
from glorot_cli.streams import STREAMS
from tests.fuzz.commands import LARGEST_DRAWN, Result, run_command

KIND = "values"
ROOT = Path(__file__).parents[2]
Random = random.Random
Spec = dict[str, Any]

NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 0.5, 1.5, -0.0, 1e-3, 1e3, float("nan"), float("inf"), float("-inf"),
    2**31, 2**32, 2**40 - 1, 2**53 + 1, 2**63, 2**64 - 1, 10**30, 10**309, 10**399, 1e-170, 1e160,
    1e-200, 1e200, 1e308, -1e308, 1.7976931348623157e308, 5e-324, 1e-323, 2.2250738585072014e-308,
    *(end for ends in INTEGER_RANGES.values() for end in (*ends, ends[0] - 1, ends[1] + 1)),
    *(p.largest * share for p in PRECISIONS.values() for share in (1.0, 0.15, 0.16, -1.0)),
    *(p.smallest * share for p in PRECISIONS.values() for share in (0.5, 0.51, 1.0, 2.0, -1.0)),
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, "", " ", "a", "{i}", "i", "d", "1/0", "sqrt(-1)", "0.5", "2**3", "((1",
    "1e400", "2**53 + 1", "log(0)", "exp(1000)", "1e308 * 10", "\ud800", "\x1b[31m", "x" * 300,
    [], {}, [[]], [1], [2, 3], [1] * 33, [None], [None, 3], "same", "valid", "relu", "tanh",
    "glorot_uniform", "orthogonal", {"name": "normal", "std": 1e-5}, {"name": "zeros"},
    {"type": "LSTMCell", "units": 3}, [{"type": "Dense", "units": 3}],
)  # fmt: skip
KEYS = (
    "seed", "dtype", "name", "units", "repeat", "layers", "inputs", "shape", "axes", "initializer",
    "type", "tie", "skip", "fans", "fused", "trainable", "kernel_initializer", "bias_initializer",
    "rng", "dialect", "dims", "outputs", "input_shape", "entries", "shared", "when", "cells", "",
)  # fmt: skip
SHAPES: dict[str, tuple[str | None, ...]] = {
    "[]": (None,), "[1]": (None, "O"), "[5]": (None, "O"), "[2, 1]": ("IO", "OI"),
    "[4, 4]": ("IO", "OI", None), "[3, 40]": ("IO", "OI"), "[2, 3, 4]": ("BIO", "HIO", "OIH"),
    "[3, 3, 4, 4]": ("HWIO", "OIHW", None),
}  # fmt: skip
SMALL = (1, 2, 3, 4, 8)
SCALES = (0.1, 1, 2, 0.5)


def value(rng: Random) -> Any:
    """Return a value that an argument may not expect."""
    return copy.deepcopy(rng.choice(NUMBERS if rng.random() < 0.75 else OTHERS))


@functools.cache
def bases() -> tuple[Spec, ...]:
    """Return the sample specs and those of the documents."""
    files = [path for path in sorted(ROOT.glob("sample_specs/**/*")) if path.is_file()]
    texts = [(path.read_text("utf-8"), path.name) for path in files]
    for name in ("spec", "recipes", "initializers", "framework-bits"):
        page = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
        found = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
        texts += [(text, f"{name}.yaml") for text in found]
    specs = []
    for text, name in texts:
        with contextlib.suppress(SpecError):
            data = parse(text, name).data
            if isinstance(data, dict) and len(text) < 10_000:
                specs.append(data)
    return tuple(specs)


def _arguments(
    rng: Random, function: Callable[..., object], share: float, usual: tuple[Any, ...]
) -> Spec:
    """Give a function's required arguments and a share of the others, most of them as usual."""
    odd = rng.choice((0.1, 0.2, 0.5))
    return {
        name: value(rng) if rng.random() < odd else rng.choice(_known(field.annotation) or usual)
        for name, field in signature_table(function).model_fields.items()
        if field.is_required() or rng.random() < share
    }


def _known(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a closed set, such as those of padding, or none."""
    found: list[Any] = [True, False] if annotation is bool else []
    if typing.get_origin(annotation) is typing.Literal:
        found += typing.get_args(annotation)
    for part in typing.get_args(annotation):
        found += _known(part)
    return tuple(found)


def _initializer(rng: Random) -> Spec:
    name = rng.choice(sorted(INITIALIZERS))
    return {"name": name, **_arguments(rng, INITIALIZERS[name].function, 0.6, SCALES)}


def _layer(rng: Random, table: dict[str, Callable[..., Any]]) -> Spec:
    name = rng.choice(sorted(table))
    layer = {"type": name, **_arguments(rng, table[name], 0.3, SMALL)}
    for key in layer:
        if key.endswith("initializer") and rng.random() < 0.6:
            layer[key] = _initializer(rng)
    return layer


def _tensors(rng: Random) -> Spec:
    shape = rng.choice(sorted(SHAPES))
    entry: Spec = {
        "shape": json.loads(shape),
        "axes": rng.choice(SHAPES[shape]),
        "initializer": _initializer(rng),
    }
    if rng.random() < 0.4:
        entry["dtype"] = rng.choice((*INTEGERS, *DTYPES))
    if rng.random() < 0.3:
        entry["fans"] = rng.choice(("keras", "torch", "jax", "exact"))
    if rng.random() < 0.3:
        entry["seed"] = rng.choice((1, 2**32, 2**64 - 1))
    return {"dtype": rng.choice(DTYPES), "tensors": {"w": entry}}


def _places(root: Any) -> Iterator[tuple[Any, Any]]:
    items = root.items() if isinstance(root, dict) else enumerate(root)
    for key, item in items:
        yield root, key
        if isinstance(item, dict | list):
            yield from _places(item)


def mutate(rng: Random, root: Spec) -> Spec:
    """Replace, add, repeat or leave out some values."""
    root = copy.deepcopy(root)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(root))
        if not places:
            return root
        holder, key = rng.choice(places)
        what = rng.random()
        if what < 0.6:
            holder[key] = value(rng)
        elif what < 0.7:
            holder[key] = _initializer(rng)
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(rng.choice(holder)))
        elif what < 0.9:
            holder[rng.choice(KEYS)] = value(rng)
        else:
            del holder[key]
    return root


def make_spec(rng: Random) -> Spec:
    """Make a spec: one of ours with other values, one or two layers, or a tensor."""
    what = rng.random()
    if what < 0.25:
        spec = mutate(rng, rng.choice(bases()))
    elif what < 0.45:
        layers = [_layer(rng, KERAS_LAYERS) for _ in range(rng.choice((1, 2)))]
        shape = rng.choice(([8], [4, 8], [8, 8, 3], [4, 8, 8, 3], [None, 8], None))
        spec = {"input_shape": shape, "layers": layers}
    elif what < 0.6:
        layers = [_layer(rng, TORCH_LAYERS) for _ in range(rng.choice((1, 2)))]
        spec = {"dialect": "torch", "layers": layers}
    else:
        spec = _tensors(rng)
    if rng.random() < 0.1:
        spec["rng"] = rng.choice(sorted(STREAMS))
    if rng.random() < 0.1:
        spec["initializers"] = [{"*": _initializer(rng)}]
    spec.setdefault("seed", 1)
    return spec


def run_values(folder: Path, rng: Random) -> Result:
    """Run one case, in a folder of its own."""
    place = folder / "values"
    place.mkdir(exist_ok=True)
    spec = make_spec(rng)
    text = yaml.safe_dump(spec, sort_keys=False)
    (place / "x.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.chdir(place):
        result = _chain(folder, rng)
    return result._replace(command=f"{result.command}\n{text}") if result.problem else result


def _chain(folder: Path, rng: Random) -> Result:
    plan = run_command(folder, ["plan", "--json", "x.yaml"])
    if plan.problem or plan.code or not 0 <= plan.bytes <= LARGEST_DRAWN:
        return plan
    if rng.random() < 0.3:
        table = run_command(folder, ["plan", "x.yaml"])
        if table.problem or table.code:
            return _failed(table, "plan prints what it does not print as JSON")
    if rng.random() < 0.1:
        other = run_command(folder, ["plan", "x.yaml", "--compare", "he_normal", "--json"])
        if other.problem:
            return other
    arguments = ["init", "x.yaml", "-o", "w.safetensors", "--force", "--json"]
    drawn = run_command(folder, arguments)
    if drawn.problem or drawn.code:
        # What a plan does not see, such as nothing to draw.
        return drawn
    for command in (["inspect", "--json"], ["verify", "--json"], ["verify", "--statistics"]):
        found = run_command(folder, [*command, "w.safetensors", *_rate(command)])
        if not found.problem:
            found = _judged(found, command)
        if found.problem:
            return found
    _claim_otherwise(rng, Path("w.safetensors"))
    for command in (["inspect", "--json"], ["inspect"], ["verify"]):
        found = run_command(folder, [*command, "w.safetensors"])
        if found.problem:
            return found
    return drawn


def _rate(command: list[str]) -> list[str]:
    """So rare are false alarms that 20,000 cases have none."""
    return ["--false-alarm", "1e-12"] if "--statistics" in command else []


def _failed(result: Result, problem: str) -> Result:
    return result._replace(problem=f"{problem}: {result.err}{result.out[:2000]}")


def _judged(found: Result, command: list[str]) -> Result:
    """Check that a file is known again as what it was drawn as."""
    if command == ["inspect", "--json"]:
        for tensor in json.loads(found.out)["files"][0]["tensors"]:
            statistics = tensor["statistics"] or {"nan": 0, "inf": 0}
            # A constant may become infinite; all of its elements do, then.
            infinite = statistics["inf"] == tensor["parameters"] and tensor["claim"] == "constant"
            if statistics["nan"] or (statistics["inf"] and not infinite):
                return _failed(found, f"not finite: {tensor}")
            if tensor["agrees"] is False and not _few(tensor):
                return _failed(found, f"disagrees with its own claim: {tensor}")
    if command == ["verify", "--json"] and found.code != 0:
        return _failed(found, "not what its provenance says")
    if command == ["verify", "--statistics"] and found.code == 2:
        return _failed(found, "its statistics cannot be tested")
    return found


def _few(tensor: dict[str, Any]) -> bool:
    """Tell whether the dtype's steps leave a distribution no shape that could be known again."""
    statistics = tensor["statistics"]
    precision = PRECISIONS.get(tensor["dtype"])
    if precision is None:
        return False
    largest = max(-statistics["min"], statistics["max"])
    step = max(2.0**-precision.fraction * largest, precision.smallest)
    return bool(statistics["std"] < 4.0 * step)


def _claim_otherwise(rng: Random, path: Path) -> None:
    """Change the provenance of a file, which stays a good one."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    claim = json.loads(header["__metadata__"]["glorot"])
    text = json.dumps(mutate(rng, claim))
    if rng.random() < 0.1:
        depth = rng.choice((100, 480, 2000))
        text = '{"x": ' + "[" * depth + "]" * depth + "}"
    header["__metadata__"]["glorot"] = rng.choice((text, text.replace("1", "1e999", 1)))
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + length :])
