"""A module that was built under watch: its tensors as state_dict() has them, and its draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from glorot_cli.errors import GlorotError, shown
from glorot_cli.recording.account import Call, Region
from glorot_cli.recording.watch import Extent, Watch, watching

# The roles of a weight's axes, by the class that owns it; transformers' Conv1D keeps (in, out).
_AXES = {
    "Linear": "OI", "Bilinear": "OII", "Embedding": "IO", "EmbeddingBag": "IO", "Conv1d": "OIW",
    "Conv2d": "OIHW", "Conv3d": "OIDHW", "ConvTranspose1d": "IOW", "ConvTranspose2d": "IOHW",
    "ConvTranspose3d": "IODHW", "Conv1D": "IO", "MultiheadAttention": "OI", "RNNBase": "OI",
    "RNNCellBase": "OI",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """Hold a tensor: its name, shape and dtype, and what its elements are, in memory order.

    `where` is its storage, and the first and the last element there, None where they lie apart;
    `turned` is whether it is a matrix whose memory is in the other order; `norm` says of what kind
    of parametrization it is a part, and along which axis.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    regions: list[Region]
    where: tuple[int, int, int] | None
    axes: str | None
    owner: str
    turned: bool = False
    is_contiguous: bool = True
    norm: tuple[str, int | None] | None = None
    known: Any = None


@dataclass(frozen=True, slots=True)
class Module:
    """Hold what a module's construction came to.

    `ties_are_stored` tells whether its checkpoints hold a tied tensor twice, as state_dict() does.
    """

    kind: str
    tensors: list[Recorded]
    calls: list[Call]
    version: str
    reseeded: bool
    ties_are_stored: bool


def watch_module(build: Callable[[], Any]) -> Module:
    """Build a module without memory, and return what its tensors are made of.

    Raises:
        GlorotError: if it is none, or its construction looks at what it drew.
    """
    with watching() as watch:
        made = build()
        if not isinstance(made, torch.nn.Module):
            raise GlorotError(
                f"expected a torch module, found {shown(type(made).__name__)}; "
                "name a function that returns the module, or its class"
            )
        owners = dict(made.named_modules(remove_duplicate=False))
        tensors = [
            _recorded(watch, name, tensor, owners)
            for name, tensor in made.state_dict().items()
            if isinstance(tensor, torch.Tensor)
        ]
    if not tensors:
        raise GlorotError(f"{type(made).__name__} has no tensors in its state_dict()")
    return Module(
        type(made).__name__,
        tensors,
        watch.calls,
        torch.__version__,
        watch.reseeded,
        not hasattr(made, "tie_weights"),
    )


def _recorded(watch: Watch, name: str, tensor: torch.Tensor, owners: Mapping[str, Any]) -> Recorded:
    extent = Extent(tensor)
    stem, _, last = name.rpartition(".")
    owner: Any = owners.get(stem)
    regions = watch.read(tensor)
    known = watch.known(tensor) if not any_drawn(regions) else None
    place = (watch.key(tensor), extent.offset, extent.stop) if extent.is_dense else None
    return Recorded(
        name,
        extent.shape,
        str(tensor.dtype).removeprefix("torch."),
        regions,
        place,
        _axes(owner, last, len(extent.shape)),
        type(owner).__name__ if owner is not None else "",
        turned=extent.is_dense and extent.order == (1, 0),
        is_contiguous=extent.is_contiguous,
        norm=_norm(name, owners),
        known=known,
    )


def any_drawn(regions: list[Region]) -> bool:
    """Tell whether chance has a part in any of the regions."""
    from glorot_cli.recording.account import Constant, Known

    return not all(isinstance(region.value, Constant | Known) for region in regions)


def _axes(owner: Any, parameter: str, rank: int) -> str | None:
    """Return the roles of a parameter's axes by the class of the module that has it."""
    if owner is None or rank < 2 or "weight" not in parameter:
        return None
    for kind in type(owner).__mro__:
        axes = _AXES.get(kind.__name__)
        if axes is not None and len(axes) == rank:
            return axes
    return None


def _norm(name: str, owners: Mapping[str, Any]) -> tuple[str, int | None] | None:
    """Tell of what parametrization a tensor is a part."""
    stem, _, last = name.rpartition(".")
    if last in ("original0", "original1"):
        kind: Any = owners.get(f"{stem}.0")
        if type(kind).__name__ == "_WeightNorm" and last == "original0":
            return "original1", kind.dim
    if last in ("_u", "_v"):
        kind = owners.get(stem)
        if type(kind).__name__ == "_SpectralNorm":
            return last, kind.dim
    if last.endswith("_g"):
        for hook in getattr(owners.get(stem), "_forward_pre_hooks", {}).values():
            if type(hook).__name__ == "WeightNorm" and hook.name == last[:-2]:
                return f"{hook.name}_v", hook.dim
    return None
