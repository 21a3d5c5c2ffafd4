"""Make the golden vectors by the frameworks themselves, or compare fresh random cases with them.

`python tests/golden/make_golden.py` writes vectors.json beside this file. With `--fresh N` it
writes nothing: it draws N random cases for each stream and N / 10 random models for each kind, by
the framework and by glorot, prints the seed of the run, and ends with exit code 1 if any bit
differs; `--seed` repeats a run. TensorFlow may lie in another environment: `--python` names the
interpreter that runs keras-tensorflow, which then needs what glorot needs too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.golden import frameworks  # noqa: E402
from tests.golden.cases import (  # noqa: E402
    BACKENDS,
    STREAMS,
    Array,
    Case,
    digest,
    drawn,
    fixed_cases,
    random_case,
    spec_of,
)
from tests.golden.models import KERAS, TORCH  # noqa: E402
from tests.interop import random_models, random_modules  # noqa: E402

VECTORS = Path(__file__).parent / "vectors.json"


def fixed_models(stream: str) -> list[Case]:
    """Return the models whose vectors are kept: Keras's ten shared out among the backends."""
    if stream == "torch":
        return [{"stream": stream, "seed": 3**i, "spec": spec} for i, spec in enumerate(TORCH)]
    if stream not in BACKENDS:
        return []
    return [
        {"stream": stream, "seed": 5**i, "spec": spec}
        for i, spec in enumerate(KERAS)
        # Of some, all backends.
        if i % len(BACKENDS) == BACKENDS.index(stream) or i in (1, 4)
    ]


def random_model(stream: str, seed: int) -> Case | None:
    """Return a random model, or None where the stream does not draw all of its laws."""
    if stream == "torch":
        spec: Case | None = random_modules.random_spec(seed)
    else:
        spec = frameworks.random_keras_spec(seed, stream.removeprefix("keras-"))
    return None if spec is None else {"stream": stream, "seed": seed, "spec": spec}


def real(case: Case) -> dict[str, Array]:
    """Draw a case or a model by the framework."""
    if "spec" not in case:
        return frameworks.by_framework(case)
    build = frameworks.torch_model if case["stream"] == "torch" else frameworks.keras_model
    return build(case["spec"], case["seed"])


def ours(case: Case) -> dict[str, Array]:
    """Draw a case or a model by glorot."""
    if "spec" not in case:
        return drawn(spec_of(case))
    spec = random_models.plain(case["spec"])
    return drawn({**spec, "rng": case["stream"], "seed": case["seed"]})


def differing(case: Case) -> list[str]:
    """Return the names of the tensors whose bits differ."""
    expected, found = real(case), ours(case)
    names = sorted(expected.keys() | found.keys())
    return [
        name
        for name in names
        if name not in expected
        or name not in found
        or expected[name].tobytes() != found[name].tobytes()
    ]


def vectors(stream: str) -> dict[str, Any]:
    """Return a stream's vectors, and the versions that made them."""

    def kept(case: Case) -> Case:
        return {**case, "digests": {name: digest(array) for name, array in real(case).items()}}

    cases = [kept(case) for case in fixed_cases() if case["stream"] == stream]
    models = [kept(case) for case in fixed_models(stream)]
    return {"versions": frameworks.versions(), "cases": cases, "models": models}


def fresh(stream: str, count: int, seed: int) -> dict[str, Any]:
    """Compare random cases and models, and return those that differ."""
    random = Random(f"{stream} {seed}")
    cases = [random_case(stream, random) for _ in range(count)]
    models: list[Case] = []
    while stream != "jax" and len(models) < count // 10:
        model = random_model(stream, random.randrange(2**32))
        models += [] if model is None else [model]
    found = [(case, differing(case)) for case in (*cases, *models)]
    return {
        "cases": len(cases),
        "models": len(models),
        "tensors": sum(len(case.get("tensors", "x")) for case in cases),
        "differing": [{"case": case, "names": names} for case, names in found if names],
        "versions": frameworks.versions(),
    }


def _child(stream: str, python: str, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {"KERAS_BACKEND": stream.removeprefix("keras-") if "-" in stream else "numpy"}
    command = [python, "-W", "ignore", __file__, "--child", stream, *arguments]
    child = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return result


def main() -> int:
    """Run each stream in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", type=int, metavar="N", help="compare N random cases a stream")
    parser.add_argument("--seed", type=int, help="of the random cases")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=STREAMS)
    parser.add_argument("--python", default=sys.executable, help="runs keras-tensorflow")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        count = chosen.fresh
        made = vectors(chosen.child) if count is None else fresh(chosen.child, count, chosen.seed)
        print(json.dumps(made))
        return 0
    pythons = dict.fromkeys(STREAMS, sys.executable) | {"keras-tensorflow": chosen.python}
    if chosen.fresh is None:
        made = {name: _child(name, pythons[name]) for name in chosen.streams}
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(each, sort_keys=True)}" for name, each in made.items()
        )
        VECTORS.write_text(f"{{\n{lines}\n}}\n", "ascii")
        return 0
    seed = SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    wrong = 0
    for name in chosen.streams:
        found = _child(name, pythons[name], "--fresh", str(chosen.fresh), "--seed", str(seed))
        wrong += len(found["differing"])
        print(f"{name}: {found['cases']} cases of {found['tensors']} tensors, {found['models']} "
              f"models, {len(found['differing'])} differ", flush=True)  # fmt: skip
        for each in found["differing"][:5]:
            print(f"  {json.dumps(each['case'])}: {', '.join(each['names'])}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
