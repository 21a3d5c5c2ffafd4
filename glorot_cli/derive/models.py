"""What a config.json stands for, alone or in a folder with weights: the spec it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glorot_cli.derive import check_start, derive_stored
from glorot_cli.derive.derived import Derived
from glorot_cli.errors import GlorotError, listed, suggestion
from glorot_cli.families import (
    NAME,
    Family,
    ModelConfig,
    family_of,
    keys_of,
    known_types,
    read_config,
    spec_of_config,
    tiny_settings,
)
from glorot_cli.plan import Plan, make_plan
from glorot_cli.spec import load_spec


@dataclass(frozen=True, slots=True)
class Model:
    """Hold what a config.json, or a folder with one, comes to.

    `config` has the settings that were asked for; `left` are those that are the spec's to take;
    `derived` is there where initializers are guessed from the names of weights.
    """

    spec: Mapping[str, Any]
    config: ModelConfig
    left: Mapping[str, object]
    derived: Derived | None = None


def read_model(
    path: str,
    settings: Mapping[str, object],
    dtype: str | None = None,
    family: str | None = None,
    *,
    tiny: bool = False,
    start: str | None = None,
    with_state: bool = False,
) -> Model | None:
    """Read a config.json, or a folder with one; None if it is anything else.

    Of a folder the weights' own provenance comes first, then a model type that is known, then the
    names of the weights. A family that the user brings comes before all of these, and so
    does the known type of a model that is to be `tiny`.

    Raises:
        GlorotError: if the configuration means no spec.
    """
    place = Path(path)
    found = read_config(place / NAME if place.is_dir() else place)
    if found is None:
        is_asked = family is not None or tiny or settings or start is not None
        return None if is_asked else _of_config_beside(place, dtype, with_state=with_state)
    config = found.with_settings(settings, dtype)
    if family is None and not tiny and _holds_weights(place):
        # A configuration alone needs none of what reads weights, which takes long to import.
        from glorot_cli.derive.weights import carried_spec
        from glorot_cli.formats.reading import read_headers

        stored = read_headers(place)
        carried = carried_spec(stored)
        if carried is not None:
            check_start(start, place)
            return Model({k: v for k, v in carried.items() if k != "seed"}, config, settings)
        if config.model_type not in known_types():
            derived = derive_stored(stored, start, _std_in(config), with_state=with_state)
            return Model(derived.spec, config, settings, derived)
    chosen = family_of(config, None if family is None else Path(family))
    _check_settings(found, chosen, settings)
    check_start(start, config.path)
    config = found.with_settings(chosen.with_aliases(found, settings), dtype)
    if tiny:
        config = config.with_settings(tiny_settings(config, chosen))
    return Model(spec_of_config(config, chosen), config, {})


def _of_config_beside(place: Path, dtype: str | None, *, with_state: bool) -> Model | None:
    """Read a lone file of weights by the config.json beside it, if it means the same tensors.

    Of a configuration of no known type only the std of kernels is taken.
    """
    beside = place.parent / NAME
    if not place.name.endswith((".safetensors", ".safetensors.index.json")) or not beside.is_file():
        return None
    from glorot_cli.derive.weights import carried_spec
    from glorot_cli.formats.reading import read_headers

    try:
        config = read_config(beside)
        stored = read_headers(place)
        if config is None or carried_spec(stored) is not None:
            return None
        config = config.with_settings({}, dtype)
        if config.model_type not in known_types():
            derived = derive_stored(stored, None, _std_in(config), with_state=with_state)
            return Model(derived.spec, config, {}, derived)
        spec = spec_of_config(config, family_of(config))
        meant = make_plan(load_spec(spec))
    except GlorotError:
        return None
    if {t.name: t.shape for t in meant.tensors} != {t.name: t.shape for t in stored.tensors}:
        return None
    said = f"initializers are those of {config.model_type}, which {beside} says"
    return Model(spec, config, {}, Derived(spec, remarks=(said,)))


def _std_in(config: ModelConfig) -> float | None:
    """Return the std of kernels that a configuration of any type may say."""
    for key in ("initializer_range", "init_std", "initializer_std"):
        _, found = config.get(key)
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < 10:
            return float(found)
    return None


def _holds_weights(place: Path) -> bool:
    if not place.is_dir():
        return False
    from glorot_cli.formats import shards
    from glorot_cli.formats.base import INDEX, MANIFEST, TORCH_NAMES

    named = any((place / name).is_file() for name in (INDEX, MANIFEST, *TORCH_NAMES))
    return named or bool(shards.names_in(place))


def _check_settings(config: ModelConfig, family: Family, settings: Mapping[str, object]) -> None:
    """Check that each setting is of a key that there is, or that decides something."""
    known = keys_of(family)
    for key in settings:
        if key not in known and not config.get(key)[0]:
            raise GlorotError(
                f"--set {key}: neither {config.path} nor {family.model_type} has such a key; "
                f"{suggestion(key, {*known, *config.data})}"
            )


def texts_beside(config: ModelConfig) -> dict[str, bytes]:
    """Return what goes beside a model's weights: its configuration, and that of generation.

    Raises:
        GlorotError: if the latter cannot be read.
    """
    from glorot_cli.formats import shards

    texts = {shards.CONFIG: config.written()}
    generation = config.path.parent / shards.GENERATION
    if generation.is_file():
        try:
            texts[shards.GENERATION] = generation.read_bytes()
        except OSError as error:
            raise GlorotError(f"cannot read {generation}: {error.strerror}") from None
    return texts


def misfit(plan: Plan, path: str) -> str | None:
    """Say how a plan's tensors differ from those that a configuration means, if it is known.

    Of a configuration of no known type, or none at all, nothing is said.
    """
    try:
        config = read_config(Path(path))
        if config is None or config.model_type not in known_types():
            return None
        meant = make_plan(load_spec(spec_of_config(config, family_of(config))))
    except GlorotError as error:
        return f"the spec's tensors are not checked against the configuration: {error}"
    wanted = {tensor.name: tensor.shape for tensor in meant.tensors}
    found = {tensor.name: tensor.shape for tensor in plan.tensors}
    other = [
        f"{name} is {list(found[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    kinds = {
        "missing": [name for name in wanted if name not in found],
        "unknown to it": [name for name in found if name not in wanted],
        "of another shape": other,
    }
    parts = [f"{len(names)} {kind}: {listed(names, 2)}" for kind, names in kinds.items() if names]
    if not parts:
        return None
    return f"{path} is of {config.model_type} with other tensors than the spec's; " + "; ".join(
        parts
    )
