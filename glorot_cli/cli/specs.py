"""From what a command line says to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from glorot_cli.cli.options import choice, note, note_all
from glorot_cli.errors import GlorotError, SpecError, listed, shown

if TYPE_CHECKING:
    from glorot_cli.derive import Derived
    from glorot_cli.derive.models import Model
    from glorot_cli.families import ModelConfig
    from glorot_cli.plan import Plan
    from glorot_cli.spec import Spec
    from glorot_cli.spec.source import Source


def _of_model(model: Model, given: Mapping[str, Any]) -> Spec:
    """Read the spec of a config.json; under torch's stream with the draws of transformers."""
    from glorot_cli.plan import make_plan
    from glorot_cli.spec import load_spec

    if given.get("rng") != "torch" or model.derived is not None or "draws" in model.spec:
        return load_spec(model.spec, given, model.left)
    from glorot_cli.derive.model_draws import draws_of_model

    plain = make_plan(load_spec(model.spec, {**given, "rng": "aes-ctr"}, model.left))
    draws = draws_of_model(model.config, plain.entries)
    return load_spec({**model.spec, "torch": "2.13", "draws": draws}, given, model.left)


class Planned(NamedTuple):
    """Hold a plan, the config.json that its spec is or holds, and how a file's spec was come by."""

    plan: Plan
    config: ModelConfig | None
    derived: Derived | None


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
    init: Sequence[str] | None = None,
    start: str | None = None,
    with_state: bool = False,
    text: Source | None = None,
    key: str | None = None,
) -> Planned:
    """Plan what a path describes.

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
        "overrides": [_override(text) for text in init or ()] or None,
    }
    given = {key: value for key, value in overrides.items() if value is not None}
    settings = read_settings(dims)
    model = read_model(spec, settings, dtype, family, tiny=tiny, start=start, with_state=with_state)
    if model is not None:
        try:
            plan = make_plan(_of_model(model, given), strict=strict)
        except SpecError as error:
            error.where = str(model.config.path)
            raise
        config, derived = model.config, model.derived
    else:
        readable, derived = (
            _readable(spec, start, key, with_state=with_state) if text is None else (text, None)
        )
        plan, config = make_plan(load_spec(readable, given, settings), strict=strict), None
    if derived is not None:
        from glorot_cli.derive.guesses import guess_line

        plan = plan.guessed(derived.guesses)
        if strict and (line := guess_line(derived, plan.guesses)) is not None:
            raise GlorotError(f"--strict: {line}; choose with --init, or write a spec")
    return Planned(plan, config, derived)


def read_model(
    spec: str,
    settings: Mapping[str, object],
    dtype: str | None,
    family: str | None,
    *,
    tiny: bool = False,
    start: str | None = None,
    with_state: bool = False,
) -> Model | None:
    """Read a config.json or a folder with one; None if it is neither.

    Raises:
        GlorotError: if it is neither, but has a family or is to be tiny.
    """
    if start is not None:
        from glorot_cli.derive import STARTS

        choice("--start", start, STARTS)
    if not spec.endswith((".yaml", ".yml")) and spec != "-":
        from glorot_cli.derive.models import read_model as read

        model = read(spec, settings, dtype, family, tiny=tiny, start=start, with_state=with_state)
        if model is not None:
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


def note_derived(derived: Derived | None, plan: Plan, quiet: bool) -> None:
    """Say what a file's spec leaves out, and what of it is guessed by names."""
    if derived is None:
        return
    from glorot_cli.derive.guesses import guess_line, notes_of

    for text in notes_of(derived):
        note(text, quiet)
    line = guess_line(derived, plan.guesses)
    if line is not None:
        note(f"{line}; glorot spec shows them all", quiet)


def _readable(
    spec: str, start: str | None, key: str | None, *, with_state: bool
) -> tuple[Any, Derived | None]:
    """Make a spec of a weight file or a model's configuration; leave a spec's path as it is."""
    if not spec.endswith((".yaml", ".yml")) and spec != "-":
        from glorot_cli.derive import derive, describes_weights

        if describes_weights(spec):
            derived = derive(spec, start, key=key, with_state=with_state)
            note_all(derived.notices, quiet=False)
            return {k: v for k, v in derived.spec.items() if k != "seed"}, derived
    if key is not None:
        raise GlorotError(f"--key is for the files that torch.save writes, and {spec} is none")
    if start is not None:
        raise GlorotError(
            f"--start chooses for a file of which only names are known; {spec} says how it starts"
        )
    return spec, None


def _override(text: str) -> dict[str, Any]:
    """Read GLOB=INITIALIZER, whose initializer is YAML's, as a rule."""
    from glorot_cli.spec.source import parse

    glob, equals, value = text.partition("=")
    if not equals or not glob or not value.strip():
        raise GlorotError(
            "--init: expected a glob and an initializer such as '*/kernel=he_normal', "
            f"found {shown(text)}"
        )
    return {glob: parse(value, f"--init {glob}").data}


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
