"""From what a command line says to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glorot_cli.cli.options import choice, note, note_all
from glorot_cli.errors import GlorotError, SpecError, listed, shown

if TYPE_CHECKING:
    from glorot_cli.derive.models import Model
    from glorot_cli.families import ModelConfig
    from glorot_cli.plan import Plan
    from glorot_cli.spec.source import Source


def planned(
    spec: str,
    seed: int | None = None,
    dtype: str | None = None,
    dims: Sequence[str] | None = None,
    rng: str | None = None,
    *,
    strict: bool = False,
    family: str | None = None,
    tiny: bool = False,
    key: str | None = None,
) -> Plan:
    return plan_and_config(
        spec, seed, dtype, dims, rng, strict=strict, family=family, tiny=tiny, key=key
    )[0]


def plan_and_config(
    spec: str,
    seed: int | None = None,
    dtype: str | None = None,
    dims: Sequence[str] | None = None,
    rng: str | None = None,
    *,
    strict: bool = False,
    family: str | None = None,
    tiny: bool = False,
    text: Source | None = None,
    key: str | None = None,
) -> tuple[Plan, ModelConfig | None]:
    """Plan what a path describes, with the config.json that it is or holds, if any.

    `text` is the spec's where it has been read already, as standard input is for several plans.
    `key` chooses the mapping of weights in a file of torch's.
    """
    from glorot_cli.dtypes import DTYPES
    from glorot_cli.plan import make_plan
    from glorot_cli.spec import load_spec
    from glorot_cli.streams import STREAMS

    if seed is not None and not 0 <= seed < 2**64:
        raise GlorotError(f"--seed: expected an integer from 0 to 2**64 - 1, found {seed}")
    overrides = {
        "seed": seed,
        "dtype": choice("--dtype", dtype, DTYPES),
        "rng": choice("--rng", rng, tuple(STREAMS)),
    }
    given = {key: value for key, value in overrides.items() if value is not None}
    settings = read_settings(dims)
    model = read_model(spec, settings, dtype, family, tiny=tiny)
    if model is not None:
        try:
            plan = make_plan(load_spec(model.spec, given, model.left), strict=strict)
        except SpecError as error:
            error.where = str(model.config.path)
            raise
        return plan.guessed() if model.is_guess else plan, model.config
    readable, is_guess = _readable(spec, key) if text is None else (text, False)
    plan = make_plan(load_spec(readable, given, settings), strict=strict)
    return plan.guessed() if is_guess else plan, None


def read_model(
    spec: str,
    settings: Mapping[str, object],
    dtype: str | None,
    family: str | None,
    *,
    tiny: bool = False,
) -> Model | None:
    """Read a config.json or a folder with one; None if it is neither.

    Raises:
        GlorotError: if it is neither, but has a family or is to be tiny.
    """
    if not spec.endswith((".yaml", ".yml")) and spec != "-":
        from glorot_cli.derive.models import read_model as read

        if (model := read(spec, settings, dtype, family, tiny=tiny)) is not None:
            return model
    if tiny:
        raise GlorotError(f"--tiny is for a config.json with a model_type, and {spec} is none")
    if family is not None:
        raise GlorotError(f"--family is for a config.json with a model_type, and {spec} is none")
    return None


def note_guesses(plan: Plan, quiet: bool) -> None:
    """Say last which tensors have an initializer or axes that no spec chose."""
    found = (("initializer", plan.defaulted), ("axes", plan.ranked))
    guessed = [
        f"the {what} of {len(names)} of {len(plan.tensors)} tensors ({listed(names)})"
        for what, names in found
        if names
    ]
    if guessed:
        note(f"guessed: {', '.join(guessed)}", quiet)
    if plan.guesses:
        note(
            f"{len(plan.guesses)} of {len(plan.tensors)} initializers are guessed from names and "
            f"shapes: {listed(plan.guesses)}; glorot spec shows them all",
            quiet,
        )


def _readable(spec: str, key: str | None = None) -> tuple[str | dict[str, Any], bool]:
    """Make a spec of a weight file or a model's configuration; leave a spec's path as it is.

    The second part tells whether initializers are guessed.
    """
    if not spec.endswith((".yaml", ".yml")) and spec != "-":
        from glorot_cli.derive import comments, derive, describes_weights

        if describes_weights(spec):
            derived, notices = derive(spec, key)
            note_all(notices, quiet=False)
            is_guess = bool(comments(derived))
            derived.pop("seed", None)
            return derived, is_guess
    if key is not None:
        raise GlorotError(f"--key is for the files that torch.save writes, and {spec} is none")
    return spec, False


def read_settings(texts: Sequence[str] | None) -> dict[str, object]:
    """Read what --set gives, each NAME=VALUE."""
    return dict(map(_named, texts or ()))


def _named(text: str) -> tuple[str, object]:
    """Read NAME=VALUE, whose value is YAML's."""
    from glorot_cli.spec.source import parse

    name, equals, value = text.partition("=")
    if not equals or not name or not value.strip():
        raise GlorotError(f"--set: expected a name and a value such as d=1024, found {shown(text)}")
    return name, parse(value, f"--set {name}").data
