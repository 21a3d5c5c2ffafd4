"""The starts that a whole model in Keras's older layout states itself, in its `model_config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from glorot_cli.derive.derived import Derived
from glorot_cli.derive.keras_config import spec_of_config
from glorot_cli.distributions import Patched
from glorot_cli.errors import FormatError, GlorotError, listed
from glorot_cli.formats.stored import StoredFile
from glorot_cli.formats.texts import parse_json
from glorot_cli.plan import PlannedTensor, make_plan
from glorot_cli.spec import load_spec


class Stated(NamedTuple):
    """Hold what a configuration says of a file's tensors, by their names, and remarks on it."""

    tensors: Mapping[str, PlannedTensor]
    remarks: tuple[str, ...]

    @property
    def initializers(self) -> dict[str, Any]:
        """The initializers, as a spec writes them."""
        return {
            name: {"name": t.initializer, **t.arguments} if t.arguments else t.initializer
            for name, t in self.tensors.items()
            # A bias of which a part starts otherwise starts as its name says.
            if not isinstance(t.distribution, Patched)
        }


def stated_starts(file: StoredFile) -> Stated | None:
    """Return what the model's configuration in a file states; None where there is none."""
    text = file.attributes.get("", {}).get("model_config")
    if not isinstance(text, str):
        return None
    try:
        derived = _derived(text, f"{file.path}: model_config")
        plan = make_plan(load_spec(derived.spec))
    except (GlorotError, RecursionError) as error:
        why = str(error).partition("; ")[0] if isinstance(error, GlorotError) else "nested deeply"
        why = why if str(file.path) in why else f"{file.path}: model_config: {why}"
        return Stated({}, (f"weights start by their names, for their model is not known: {why}",))
    layers: dict[str, list[PlannedTensor]] = {}
    for tensor in sorted(plan.tensors, key=lambda tensor: tensor.rank):
        if tensor.layer is not None:
            layers.setdefault(tensor.layer, []).append(tensor)
    found: dict[str, PlannedTensor] = {}
    shapes = {tensor.name: tensor.shape for tensor in file.tensors}
    for group, attributes in file.attributes.items():
        layer = group.removeprefix("model_weights/")
        # Keras matches by order too, and what is trained comes before what is not.
        ordered = sorted(layers.get(layer, []), key=lambda tensor: not tensor.trainable)
        names = [f"{group}/{name}" for name in attributes.get("weight_names", ())]
        if [shapes.get(name) for name in names] == [tensor.shape for tensor in ordered]:
            found |= zip(names, ordered, strict=True)
    return Stated(found, derived.remarks)


def _derived(text: str, path: str) -> Derived:
    try:
        config = parse_json(text)
    except ValueError:
        config = None
    if not isinstance(config, Mapping) or "class_name" not in config:
        raise FormatError(f"{path}: expected the JSON of a Keras model")
    return spec_of_config(config, path)


def settled(derived: Derived, stated: Stated, file: StoredFile) -> Derived:
    """Take what a configuration states from the guesses, and say where it is from."""
    drawn = {tensor.name: tensor for tensor in make_plan(load_spec(derived.spec)).tensors}
    agreed = set()
    for name, said in stated.tensors.items():
        guess = derived.guesses.get(name)
        if isinstance(said.distribution, Patched):
            # The forget gates' part of a bias is a piece of its own here.
            same = guess is not None and isinstance(guess.initializer, list)
        else:
            same = name in drawn and drawn[name].distribution == said.distribution
        if same:
            agreed.add(name)
    guesses = {name: guess for name, guess in derived.guesses.items() if name not in agreed}
    remarks = stated.remarks
    if agreed:
        count = (
            "1 initializer is that" if len(agreed) == 1 else f"{len(agreed)} initializers are those"
        )
        remarks = (f"{count} of the model_config in {file.path}", *remarks)
    other = [name for name in guesses if name in stated.tensors]
    if other:
        remarks = (
            *remarks,
            f"not as the model_config says, for names say other axes: {listed(other)}",
        )
    return replace(derived, guesses=guesses, remarks=(*derived.remarks, *remarks))
