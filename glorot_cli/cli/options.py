"""The options that several commands share, and what is said of their values."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeVar

import typer

from glorot_cli.errors import GlorotError, SpecError, printable, shown

SpecPath = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="The spec, YAML or JSON; - reads standard input; or a config.json, a folder with one, "
        "a weight file.",
    ),
]
SpecPaths = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC...",
        help="The specs, YAML or JSON; - reads standard input; or a config.json, a folder with "
        "one, a weight file.",
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Replace the spec's seed: 0 to 2**64 - 1.")
]
SeedsOption = Annotated[
    str | None,
    typer.Option(
        "--seed",
        metavar="SEEDS",
        help="Replace the spec's seed: 0 to 2**64 - 1. Several are a list such as 1,2,5, or a "
        "range such as 0:100, which ends before 100.",
    ),
]
RngOption = Annotated[
    str | None,
    typer.Option(
        "--rng",
        help="Replace the spec's stream: aes-ctr, or the bits of a framework: "
        "keras-numpy (keras 3.15.1, numpy 2.4.6), keras-jax (jax 0.10.2), keras-torch (torch "
        "2.13.0), keras-tensorflow (tensorflow 2.21.0), torch, jax.",
    ),
]
DTypeOption = Annotated[
    str | None, typer.Option("--dtype", help="Replace the spec's dtype, such as bfloat16.")
]
DTypesOption = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="DTYPES",
        help="Replace the spec's dtype, such as bfloat16; several are a list, float32,bfloat16.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Replace one of the params or dims."),
]
FamilyOption = Annotated[
    str | None,
    typer.Option("--family", metavar="FILE", help="Read a config.json by a family of your own."),
]
TinyOption = Annotated[
    bool,
    typer.Option("--tiny", help="Make the model of a config.json tiny, by its family's rule."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Guess no axes and no initializer: fail instead.")
]
InitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--init",
        metavar="GLOB=INITIALIZER",
        help="Start the tensors of these names so, whatever else decides them.",
    ),
]
StartOption = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="DIALECT",
        help="Of a weight file: start what names do not decide as keras, torch or jax does, or "
        "as-found in the file.",
    ),
]
AllOption = Annotated[
    bool, typer.Option("--all", help="On a terminal, do not fold repeated tensors into a row.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Of a torch file: which mapping holds the weights."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Threads; all cores by default. No byte depends on it."),
]
IncludeOption = Annotated[
    list[str] | None, typer.Option("--include", help="Only names that match this glob.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", help="No names that match this glob.")
]
FansOption = Annotated[
    str | None,
    typer.Option("--fans", help="The rule for fans: exact, keras, keras-3.14, torch or jax."),
]
AxesOption = Annotated[
    str | None,
    typer.Option("--axes", help="One letter per axis: I input, O output, B batch, others field."),
]

FilePath = Annotated[
    str, typer.Argument(metavar="FILE", help="A weight file, or a folder of .npy or of shards.")
]
AllStatusOption = Annotated[
    bool, typer.Option("--all", help="Show the tensors too that are as they should be.")
]
CompareOption = Annotated[
    list[str] | None,
    typer.Option(
        "--compare",
        metavar="INITIALIZER",
        help="Show what another start does: a name, or {name: ..., ...}; repeatable.",
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        "--batch", min=2, help="Measure as well, with as many examples, in the framework."
    ),
]
MeasuredSeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, help="With --batch: measure for as many seeds.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:CALLABLE",
        help="With --batch: measure in the torch module that this returns.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace what is there.")]
FalseAlarmOption = Annotated[
    float,
    typer.Option(
        "--false-alarm", help="With --statistics: the chance of any alarm on a good file."
    ),
]


def note_all(messages: Iterable[str], quiet: bool) -> None:
    for message in messages:
        note(message, quiet)


def note(message: str, quiet: bool) -> None:
    if not quiet:
        print(f"note: {printable(message)}", file=sys.stderr)


Known = TypeVar("Known", bound=str)


def choice(option: str, value: str | None, known: Sequence[Known]) -> Known | None:
    found = next((each for each in known if each == value), None)
    if found is None and value is not None:
        raise GlorotError(f"{option}: expected {', '.join(known)}, found {shown(value)}")
    return found


def folds(show_all: bool) -> bool:
    return sys.stdout.isatty() and not show_all


def initializers(texts: Sequence[str] | None) -> list[str | Mapping[str, object]]:
    """Read the values of --compare; commas part names, but within brackets arguments.

    Raises:
        GlorotError: if a value is no name and no mapping with one.
    """
    found: list[str | Mapping[str, object]] = []
    for text in texts or ():
        for part in _OUTSIDE.split(text):
            part = part.strip()
            if part.startswith("{"):
                found.append(_mapping(part))
            elif part:
                found.append(part)
    return found


# A comma that no closing bracket follows without an opening one before it.
_OUTSIDE = re.compile(r",(?![^{]*\})")


def _mapping(text: str) -> Mapping[str, object]:
    from glorot_cli.spec.source import parse

    try:
        value = parse(text, "--compare").data
    except SpecError as error:
        raise GlorotError(f"--compare: {error.message}") from None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise GlorotError(
            f"--compare: expected a name, or a mapping such as {{name: orthogonal, gain: 2}}, "
            f"found {shown(text)}"
        )
    return value
