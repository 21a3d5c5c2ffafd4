"""Layers that are said by the shape of their kernel, and the axes that a type or a rank says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from glorot_cli.arguments import Dims, InitializerChoice
from glorot_cli.dialects import Dialect
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.fans import check_axes
from glorot_cli.repeats import Stamped

if TYPE_CHECKING:
    from glorot_cli.spec.model import ShapedEntry, TensorEntry

BY_TYPE: dict[Dialect, dict[str, str]] = {
    "keras": {
        "dense": "IO", "embedding": "IO",
        "conv1d": "WIO", "conv2d": "HWIO", "conv3d": "DHWIO",
        "conv1d_transpose": "WOI", "conv2d_transpose": "HWOI", "conv3d_transpose": "DHWOI",
        "depthwise_conv1d": "WBO", "depthwise_conv2d": "HWBO",
    },
    "torch": {
        "linear": "OI", "dense": "OI", "embedding": "IO",
        "conv1d": "OIW", "conv2d": "OIHW", "conv3d": "OIDHW",
        "conv_transpose1d": "IOW", "conv_transpose2d": "IOHW", "conv_transpose3d": "IODHW",
    },
}  # fmt: skip
BY_RANK: dict[Dialect, dict[int, str]] = {
    "keras": {2: "IO", 3: "WIO", 4: "HWIO", 5: "DHWIO"},
    "torch": {2: "OI", 3: "OIW", 4: "OIHW", 5: "OIDHW"},
}
# The names of a layer's tensors.
PARTS: dict[Dialect, tuple[str, str]] = {
    "keras": ("/kernel", "/bias"),
    "torch": (".weight", ".bias"),
}


class Roles(NamedTuple):
    """Hold the roles of a tensor's axes: as the spec says them, or as its rank suggests."""

    said: str | None
    assumed: str | None


def roles(entry: TensorEntry, dialect: Dialect, path: KeyPath) -> Roles:
    """Return the roles of an entry's axes, checked against its shape.

    Raises:
        SpecError: at the type or the axes that do not fit.
    """
    if entry.shape is None:
        return Roles(None, None)
    axes = entry.axes
    if entry.type is not None:
        known = {name.replace("_", ""): axes for name, axes in BY_TYPE[dialect].items()}
        of_type = known.get(_folded(entry.type))
        if of_type is None:
            hint = suggestion(entry.type, BY_TYPE[dialect])
            raise SpecError(
                f"no axes are known of the type {shown(entry.type)}; {hint}", (*path, "type")
            )
        if axes is None and len(of_type) != len(entry.shape):
            raise SpecError(
                f"expected {len(of_type)} sizes, one for each of the axes {of_type} of a "
                f"{entry.type} kernel, found the shape {list(entry.shape)}",
                (*path, "shape"),
            )
        axes = axes or of_type
    if axes is None:
        return Roles(None, BY_RANK[dialect].get(len(entry.shape)))
    try:
        check_axes(axes, entry.shape, entry.fused)
    except ValueError as error:
        raise SpecError(str(error), (*path, "axes")) from None
    return Roles(axes, None)


def is_shaped(stamped: Stamped) -> bool:
    """Tell whether a layer is said by a shape, not by its class."""
    return "shape" in stamped.item and stamped.item.get("type") not in ("Input", "InputLayer")


def bias_of(entry: ShapedEntry, dialect: Dialect, path: KeyPath) -> ShapedEntry:
    """Return the bias of a layer that has a shape; zeros, if no rule says otherwise.

    Raises:
        SpecError: if the kernel has not one axis of outputs.
    """
    axes = _axes(entry, dialect, path)
    counted = "BO" if _is_depthwise(entry) else "O"
    if axes.count("O") != 1 or ("B" in axes and counted == "O"):
        found = f"the axes {shown(axes)}" if axes else "a shape without axes"
        raise SpecError(
            f"a bias goes with one axis of outputs, found {found}; write it as a tensor of its own",
            (*path, "bias"),
        )
    return entry.model_copy(
        update={
            "shape": (_product(entry, axes, counted),), "axes": None, "type": None, "fused": 1,
            "initializer": InitializerChoice("zeros", (), given=False),
        }
    )  # fmt: skip


def named(stamped: Stamped, ending: str) -> Stamped:
    """Return the place of a tensor of a layer that has a shape."""
    item = {key: value for key, value in stamped.item.items() if key not in ("name", "bias")}
    return stamped._replace(
        item=item, name=f"{stamped.name}{ending}", family=f"{stamped.family}{ending}"
    )


def output_of(entry: ShapedEntry, dialect: Dialect, path: KeyPath) -> Dims | None:
    """Return what comes out of a layer that has a shape, where its axes say it."""
    axes = _axes(entry, dialect, path)
    inputs = "B" if _is_depthwise(entry) else "I"
    field = axes.translate(str.maketrans("", "", f"O{inputs}"))
    if axes.count("O") != 1 or axes.count(inputs) != 1 or not {"B", "I"}.isdisjoint(field):
        return None
    channels = _product(entry, axes, "BO" if inputs == "B" else "O")
    if entry.type is not None and _folded(entry.type) == "embedding":
        return (None, channels)
    open_axes = (None,) * len(field)
    return (*open_axes, channels) if dialect == "keras" else (channels, *open_axes)


def _axes(entry: ShapedEntry, dialect: Dialect, path: KeyPath) -> str:
    found = roles(entry, dialect, path)
    return found.said or found.assumed or ""


def _product(entry: ShapedEntry, axes: str, counted: str) -> int:
    sizes = zip(axes, entry.shape or (), strict=True)
    return math.prod(size for role, size in sizes if role in counted)


def _is_depthwise(entry: ShapedEntry) -> bool:
    return entry.type is not None and _folded(entry.type).startswith("depthwise")


def _folded(kind: str) -> str:
    return kind.replace("_", "").lower()
