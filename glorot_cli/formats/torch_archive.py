"""torch's .pt: a zip file with the pickle of a state_dict, and a record for each storage."""

from __future__ import annotations

from glorot_cli.formats import zip_layout
from glorot_cli.formats.base import Extent, Output, compact
from glorot_cli.formats.torch_pickle import state_dict

# torch takes whatever folder the pickle is in.
_ROOT = "archive"
# What torch reads, and one that it passes over.
_PICKLE, _ORDER, _VERSION = f"{_ROOT}/data.pkl", f"{_ROOT}/byteorder", f"{_ROOT}/version"
_PROVENANCE = f"{_ROOT}/.data/glorot"


def lay_out(output: Output) -> list[Extent]:
    """Write all records but the tensors' bytes, which are aligned as torch aligns them."""
    layout = _layout(output)
    with output.path.open("r+b") as file:
        zip_layout.write(file, layout)
    first = len(layout.members) - len(output.plan.tensors)
    return [Extent(index, output.path, offset) for index, offset in enumerate(layout.data[first:])]


def finish(output: Output) -> None:
    """Put the tensors' checksums into the headers."""
    layout = _layout(output)
    others = len(layout.members) - len(output.plan.tensors)
    with output.path.open("r+b") as file:
        zip_layout.put_checksums(file, layout, [*[None] * others, *output.checksums])


def _layout(output: Output) -> zip_layout.Layout:
    tensors = output.plan.tensors
    return zip_layout.lay_out(
        [
            zip_layout.Member(_PICKLE, state_dict(tensors)),
            zip_layout.Member(_ORDER, b"little"),
            zip_layout.Member(_VERSION, b"3\n"),
            zip_layout.Member(_PROVENANCE, compact(output.provenance).encode()),
            *(
                zip_layout.Member(f"{_ROOT}/data/{index}", b"", tensor.nbytes)
                for index, tensor in enumerate(tensors)
            ),
        ]
    )
