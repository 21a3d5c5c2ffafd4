"""HDF5: contiguous datasets, allocated early, so that their offsets are known before the data."""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from glorot_cli.dtypes import numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.base import Extent, Output, compact
from glorot_cli.plan import PlannedTensor

# A larger attribute does not fit into an object's header; Keras parts longer lists the same way.
LARGEST_ATTRIBUTE = 64512
_PLACE = re.compile(r"(.+/)?vars/[0-9]+")


def lay_out_keras(output: Output) -> list[Extent]:
    """Lay out `layers/<class>/vars/<i>`, which Keras 3 reads from `.weights.h5`."""
    plan = output.plan
    groups = [keras_place(tensor) for tensor in plan.tensors]
    aliases = {i: t.also_group for i, t in enumerate(plan.tensors) if t.also_group is not None}
    return _write(output, groups, aliases, {})


def keras_place(tensor: PlannedTensor) -> str:
    """Return where Keras looks for a variable; a raw tensor's name may be such a place."""
    if tensor.group is not None:
        return tensor.group
    if _PLACE.fullmatch(tensor.name):
        return tensor.name
    if not tensor.is_raw:
        # Keras's layers say where their variables are.
        raise FormatError(
            f".weights.h5 holds Keras's layers, and {shown(tensor.name)} is of the torch dialect; "
            "write .h5 or .safetensors"
        )
    raise FormatError(
        f"Keras's .weights.h5 holds layers only, and {shown(tensor.name)} is a raw tensor; "
        "write .h5 or .safetensors instead"
    )


def lay_out(output: Output) -> list[Extent]:
    """Lay out a dataset for each tensor at its name.

    Layers get the attributes by which Keras's `load_weights` reads its older layout.
    """
    plan = output.plan
    layers: dict[str, list[PlannedTensor]] = {}
    # Keras matches by order: that of `model.layers`, and what is trained before what is not.
    for tensor in sorted(plan.tensors, key=lambda tensor: tensor.rank):
        if tensor.layer is not None:
            layers.setdefault(tensor.layer, []).append(tensor)
    attributes = _kept_names(output)
    if layers:
        attributes[""] = {"layer_names": list(layers)}
    for layer, tensors in layers.items():
        ordered = sorted(tensors, key=lambda tensor: not tensor.trainable)
        names = [tensor.name.removeprefix(f"{layer}/") for tensor in ordered]
        attributes[layer] = {"weight_names": names}
    return _write(output, [t.name for t in plan.tensors], {}, attributes)


def _kept_names(output: Output) -> dict[str, dict[str, list[str] | str]]:
    """Return the lists and texts of an older file of Keras's, whose tensors have their names here.

    How its model was trained is none of them: its optimizer's state is left out.
    """
    held = {tensor.name for tensor in output.plan.tensors}
    found: dict[str, dict[str, list[str] | str]] = {}
    for group, attributes in output.keras_names.items():
        above = f"{group}/" if group else ""
        for attribute, names in attributes.items():
            kept = names
            if attribute == "weight_names":
                kept = [name for name in names if above + name in held]
                # What an optimizer kept has been left out.
                if not kept and group.partition("/")[0] == "optimizer_weights":
                    continue
            found.setdefault(group, {})[attribute] = kept
    return found


def _write(
    output: Output,
    names: list[str],
    aliases: dict[int, str],
    attributes: Mapping[str, Mapping[str, list[str] | str]],
) -> list[Extent]:
    try:
        return _create(output, names, aliases, attributes)
    except (OSError, RuntimeError) as error:
        # Within the library's own errors the system's stands in prose of several lines.
        found = re.search(r"errno = (\d+)", str(error))
        number = getattr(error, "errno", None) or (int(found[1]) if found else errno.EIO)
        raise OSError(number, os.strerror(number)) from None


def _create(
    output: Output,
    names: list[str],
    aliases: dict[int, str],
    attributes: Mapping[str, Mapping[str, list[str] | str]],
) -> list[Extent]:
    import h5py

    path = output.path
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    # Objects of the library are dear, and a network has few kinds of them.
    types = functools.cache(lambda dtype: h5py.h5t.py_create(_dtype(dtype)))
    spaces = functools.lru_cache(64)(
        lambda shape: h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    )
    extents = []
    # Our own lock is on the file already, and HDF5 would ask for another one where the environment
    # says so: of a file that Python opened it asks for none.
    with path.open("w+b") as raw, h5py.File(raw, "w") as file:
        groups: dict[str, Any] = {"": file["/"].id}
        file.attrs["glorot"] = compact(output.provenance)
        for index, (name, tensor) in enumerate(zip(names, output.plan.tensors, strict=True)):
            parent, _, leaf = name.rpartition("/")
            try:
                dataset = h5py.h5d.create(
                    _group(groups, parent),
                    leaf.encode(),
                    types(tensor.dtype),
                    spaces(tensor.shape),
                    creation,
                )
            except ValueError:
                raise FormatError(
                    f"in HDF5 {shown(name)} would be a dataset and a group; rename a tensor"
                ) from None
            if tensor.dtype == "bfloat16":
                # What Keras writes, and without which it refuses the opaque type.
                h5py.Dataset(dataset).attrs["dtype"] = "bfloat16"
            extents.append(Extent(index, path, dataset.get_offset() or 0))
            if index in aliases:
                above, _, link = aliases[index].rpartition("/")
                _group(groups, above).links.create_hard(link.encode(), file["/"].id, name.encode())
        for group, values in attributes.items():
            for attribute, value in values.items():
                if isinstance(value, str):
                    # Of a length of its own, which an object's header has room for.
                    h5py.Group(_group(groups, group)).attrs[attribute] = value
                else:
                    _write_names(_group(groups, group), attribute, value)
    return extents


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype("V2") if name == "bfloat16" else numpy_dtype(name)


def _group(groups: dict[str, Any], name: str) -> Any:
    import h5py

    if name not in groups:
        parent, _, leaf = name.rpartition("/")
        groups[name] = h5py.h5g.create(_group(groups, parent), leaf.encode())
    return groups[name]


def _write_names(group: Any, attribute: str, values: list[str]) -> None:
    import h5py

    data = np.array([value.encode() for value in values])
    parts = [data]
    while any(part.nbytes > LARGEST_ATTRIBUTE for part in parts):
        parts = np.array_split(data, len(parts) + 1)
    for index, part in enumerate(parts):
        name = attribute if len(parts) == 1 else f"{attribute}{index}"
        space = h5py.h5s.create_simple(part.shape)
        h5py.h5a.create(group, name.encode(), h5py.h5t.py_create(part.dtype), space).write(part)
