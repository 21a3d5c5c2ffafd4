"""Draw the pictures of the documents: python docs/pictures.py, from the repository's root."""

from __future__ import annotations

import shlex
import sys

from glorot_cli.cli import main

NETWORKS = {
    "relu": "--compare glorot_uniform",
    "tanh": "--compare lecun_normal --compare '{name: variance_scaling, scale: 4}'",
    "resnet": "--compare he_normal",
    "transformer": "--compare lecun_normal",
    "gpt2": "--compare glorot_normal",
}
COMMANDS = (
    "plot sample_specs/mlp.yaml --seed 42 -o docs/mlp.svg",
    "plot sample_specs/lenet5.yaml --seed 42 --gains "
    "--compare he_uniform,lecun_uniform,random_normal --batch 256 -o docs/gains.svg",
    *(
        f"plot sample_specs/networks/{name}.yaml --seed 0 --gains {flags} "
        f"-o docs/effects-{name}.svg"
        for name, flags in NETWORKS.items()
    ),
)

if __name__ == "__main__":
    sys.exit(max(main([*shlex.split(command), "--force"]) for command in COMMANDS))
