"""The plan: every tensor that a spec means, complete before a byte is drawn."""

from __future__ import annotations

import fnmatch
import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glorot_cli.arguments import InitializerChoice
from glorot_cli.dialects import keras
from glorot_cli.distributions import Distribution, is_random
from glorot_cli.dtypes import ITEM_SIZES
from glorot_cli.errors import KeyPath, SpecError, printable, shown
from glorot_cli.fans import Fans, Shape, check_axes, count_fans, glorot_limit
from glorot_cli.initializers import Kernel, decide
from glorot_cli.spec.model import Spec, TensorEntry

LARGEST_FILE = 2**62
SMALLEST_LIMIT = 2.0**-95


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """Hold all there is to know of a tensor before it is drawn.

    `fans` are by the rule that decides, None where nothing needs them and nothing counts them;
    `layer` and `group` are set for tensors of layers: the layer's name, and the place of the
    tensor's variable in Keras's `.weights.h5`.
    """

    name: str
    shape: Shape
    dtype: str
    initializer: str
    arguments: dict[str, Any]
    distribution: Distribution
    seed: int
    fans: Fans | None = None
    exact_fans: Fans | None = None
    kind: str = "tensors"
    trainable: bool = True
    layer: str | None = None
    group: str | None = None

    @property
    def parameters(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes."""
        return self.parameters * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold the tensors of a spec, in its order, and what they are drawn with."""

    tensors: tuple[PlannedTensor, ...]
    seed: int
    seed_was_drawn: bool
    rng: str
    spec: dict[str, Any]
    notices: tuple[str, ...]

    def __getitem__(self, name: str) -> PlannedTensor:
        """Return the tensor of that name."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)

    def selected(self, include: Sequence[str], exclude: Sequence[str]) -> Plan:
        """Return the plan of the tensors whose names the globs choose."""
        tensors = tuple(t for t in self.tensors if is_selected(t.name, include, exclude))
        return replace(self, tensors=tensors)


def is_selected(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether a name matches one of `include`, if there are any, and none of `exclude`."""
    if include and not any(fnmatch.fnmatchcase(name, glob) for glob in include):
        return False
    return not any(fnmatch.fnmatchcase(name, glob) for glob in exclude)


def make_plan(spec: Spec) -> Plan:
    """Work out every tensor of a spec.

    Raises:
        SpecError: with file, line and column of the first entry that makes no sense.
    """
    seed = secrets.randbits(64) if spec.table.seed is None else spec.table.seed
    try:
        tensors = _checked([*_of_layers(spec, seed), *_of_tensors(spec, seed)])
    except SpecError as error:
        raise spec.source.located(error) from None
    drawn = spec.table.seed is None and any(is_random(t.distribution) for t in tensors)
    return Plan(
        tensors=tensors,
        seed=seed,
        seed_was_drawn=drawn,
        rng=spec.table.rng,
        spec={**spec.canonical(), "seed": seed},
        notices=tuple(_notices(tensors)),
    )


def _of_layers(spec: Spec, seed: int) -> Iterator[PlannedTensor]:
    table = spec.table
    for layer in keras.place_layers(spec.layers, table.input_shape, ("layers",)):
        entry = layer.entry
        variables: dict[str, int] = {}
        for weight in layer.weights:
            index = variables[weight.owner] = variables.get(weight.owner, -1) + 1
            yield _planned(
                name=f"{layer.name}/{weight.name}",
                path=layer.path,
                choice=weight.initializer,
                kernel=Kernel(
                    weight.shape, weight.axes, weight.fused, entry.fans or table.fans or "keras"
                ),
                dtype=entry.dtype or table.dtype,
                seed=seed if entry.seed is None else entry.seed,
                kind=f"{entry.type} {weight.name}",
                trainable=entry.trainable and weight.trainable,
                layer=layer.name,
                group="/".join(filter(None, (layer.group, weight.owner, "vars", str(index)))),
            )


def _of_tensors(spec: Spec, seed: int) -> Iterator[PlannedTensor]:
    for name, entry in spec.tensors.items():
        path = spec.tensor_path(name)
        _check_axes(entry, path)
        yield _planned(
            name=name,
            path=path,
            choice=entry.initializer,
            kernel=Kernel(
                entry.shape, entry.axes, entry.fused, entry.fans or spec.table.fans or "exact"
            ),
            dtype=entry.dtype or spec.table.dtype,
            seed=seed if entry.seed is None else entry.seed,
        )


def _check_axes(entry: TensorEntry, path: KeyPath) -> None:
    if entry.axes is None:
        if entry.fused > 1:
            raise SpecError("fused needs axes, one letter per axis", (*path, "fused"))
        return
    try:
        check_axes(entry.axes, entry.shape, entry.fused)
    except ValueError as error:
        raise SpecError(str(error), (*path, "axes")) from None


def _planned(
    *,
    name: str,
    path: KeyPath,
    choice: InitializerChoice,
    kernel: Kernel,
    dtype: str,
    seed: int,
    **rest: Any,
) -> PlannedTensor:
    _check_name(name, path)
    decided = decide(choice, kernel, path)
    limit = getattr(decided.distribution, "limit", None)
    if limit is not None and limit < SMALLEST_LIMIT:
        raise SpecError(
            f"the limit {limit!r} of {shown(name)} is below 2**-95, too small to draw", path
        )
    tensor = PlannedTensor(
        name=name,
        shape=kernel.shape,
        dtype=dtype,
        initializer=decided.name,
        arguments=decided.arguments,
        distribution=decided.distribution,
        seed=seed if decided.seed is None else decided.seed,
        fans=_fans(kernel, decided.uses_fans),
        exact_fans=_exact(kernel) if decided.uses_fans else None,
        **rest,
    )
    if tensor.nbytes > LARGEST_FILE:
        raise SpecError(f"the shape {shown(kernel.shape)} has too many elements", path)
    return tensor


def _fans(kernel: Kernel, needed: bool) -> Fans | None:
    if not needed and len(kernel.shape) < 2:
        return None
    try:
        return kernel.fans
    except ValueError:
        return None


def _exact(kernel: Kernel) -> Fans | None:
    if kernel.axes is None and len(kernel.shape) > 1:
        return None
    return count_fans("exact", kernel.shape, kernel.axes, kernel.fused)


def _check_name(name: str, path: KeyPath) -> None:
    parts = name.split("/")
    if name != printable(name) or name == "__metadata__":
        raise SpecError(f"expected a printable tensor name, found {shown(name)}", path, at_key=True)
    if any(part in ("", ".", "..") for part in parts):
        raise SpecError(
            f"expected a tensor name without empty, '.' or '..' parts, found {shown(name)}",
            path,
            at_key=True,
        )


def _checked(tensors: list[PlannedTensor]) -> tuple[PlannedTensor, ...]:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise SpecError(f"two tensors are named {shown(tensor.name)}", ("tensors", tensor.name))
        seen.add(tensor.name)
    if sum(tensor.nbytes for tensor in tensors) > LARGEST_FILE:
        raise SpecError("the tensors have too many elements for any file")
    return tuple(tensors)


def _notices(tensors: tuple[PlannedTensor, ...]) -> Iterator[str]:
    """Say where a rule's limit is more than 1 % from the exact one, once for each kind of layer."""
    told: set[str] = set()
    for tensor in tensors:
        fans, exact = tensor.fans, tensor.exact_fans
        if fans is None or exact is None or tensor.kind in told:
            continue
        limit, exact_limit = glorot_limit(fans), glorot_limit(exact)
        if abs(limit - exact_limit) > 0.01 * exact_limit:
            told.add(tensor.kind)
            count = sum(1 for other in tensors if other.kind == tensor.kind)
            more = f" (and {count - 1} more)" if count > 1 else ""
            yield (
                f"{tensor.name}{more}: the framework's fans {tuple(fans)} give the limit "
                f"{limit:.4g}, exact fans {tuple(exact)} give {exact_limit:.4g}; "
                "choose with fans: exact"
            )
