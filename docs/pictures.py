"""Draw the pictures of the documents: python docs/pictures.py, from the repository's root."""

from __future__ import annotations

import sys

from glorot_cli.cli import main

COMMANDS = (
    "plot sample_specs/mlp.yaml --seed 42 -o docs/mlp.svg",
    "plot sample_specs/lenet5.yaml --seed 42 --gains "
    "--compare he_uniform,lecun_uniform,random_normal --batch 256 -o docs/gains.svg",
)

if __name__ == "__main__":
    sys.exit(max(main([*command.split(), "--force"]) for command in COMMANDS))
