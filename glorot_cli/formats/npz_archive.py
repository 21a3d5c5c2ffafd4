"""NumPy's .npz as it is written: a zip of .npy files, stored as they are."""

from __future__ import annotations

from glorot_cli.formats import zip_layout
from glorot_cli.formats.base import Extent, Output, compact
from glorot_cli.formats.npy_header import header_bytes


def lay_out(output: Output) -> list[Extent]:
    """Write all headers, and the provenance as a comment, for a member would be an array."""
    layout = _layout(output)
    with output.path.open("r+b") as file:
        zip_layout.write(file, layout)
    return [
        Extent(index, output.path, start + len(member.start))
        for index, (member, start) in enumerate(zip(layout.members, layout.data, strict=True))
    ]


def finish(output: Output) -> None:
    """Put the tensors' checksums into the headers, which NumPy compares."""
    with output.path.open("r+b") as file:
        zip_layout.put_checksums(file, _layout(output), output.checksums)


def _layout(output: Output) -> zip_layout.Layout:
    members = [
        zip_layout.Member(
            f"{tensor.name}.npy", header_bytes(tensor.shape, tensor.dtype), tensor.nbytes
        )
        for tensor in output.plan.tensors
    ]
    comment = compact(output.provenance).encode() if output.provenance else b""
    return zip_layout.lay_out(members, comment)
