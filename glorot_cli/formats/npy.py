"""NumPy's .npy: one tensor in a file, or a folder of them with a manifest."""

from __future__ import annotations

import errno
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.base import MANIFEST, Extent, Output
from glorot_cli.formats.npy_header import header_bytes, read_header
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.table import NPY, NPY_FOLDER
from glorot_cli.formats.texts import MOST_TENSORS, TooManyError, parse_json
from glorot_cli.plan import Plan

LARGEST_MANIFEST = 128 << 20


def lay_out(output: Output) -> list[Extent]:
    """Write the header of the plan's only tensor, with the bytes of `np.save`."""
    plan, path = output.plan, output.path
    check_one(plan)
    return [Extent(0, path, _write_header(path, plan.tensors[0].shape, plan.tensors[0].dtype))]


def check_one(plan: Plan) -> None:
    """Check that a plan is of one tensor.

    Raises:
        FormatError: if it is not.
    """
    if len(plan.tensors) != 1:
        raise FormatError(
            f"a .npy file holds one tensor, the plan has {len(plan.tensors)}; "
            "end the output's name in / for a folder of .npy, or choose .safetensors or .h5"
        )


def lay_out_folder(output: Output) -> list[Extent]:
    """Write a header for each tensor at `name.npy`, and the manifest."""
    plan, path = output.plan, output.path
    extents: list[Extent] = []
    manifest: dict[str, dict[str, Any]] = {}
    for index, tensor in enumerate(plan.tensors):
        if tensor.name.startswith(f"{MANIFEST}/"):
            raise FormatError(
                f"a folder of .npy keeps what it holds in {MANIFEST}, where {shown(tensor.name)} "
                "would need a folder; rename the tensor"
            )
        relative = f"{tensor.name}.npy"
        file = path / relative
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            offset = _write_header(file, tensor.shape, tensor.dtype, "xb")
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            _check_folds(tensor.name, manifest)
            raise FormatError(f"{shown(tensor.name)} is a tensor and a folder of others") from None
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
                raise
            raise FormatError(
                f"cannot name a file after the tensor {shown(tensor.name)}: {error.strerror}"
            ) from None
        extents.append(Extent(index, file, offset))
        manifest[tensor.name] = {
            "dtype": tensor.dtype,
            "file": relative,
            "shape": list(tensor.shape),
        }
    text = {"glorot": dict(output.provenance), "tensors": manifest}
    with (path / MANIFEST).open("w", encoding="utf-8") as out:
        json.dump(text, out, ensure_ascii=False, indent=1, sort_keys=True)
        out.write("\n")
    return extents


def _check_folds(name: str, others: Iterable[str]) -> None:
    """Say of a name whose file is there already which other name this disk takes for the same."""
    for other in others:
        if _folded(other) == _folded(name):
            raise FormatError(
                f"{shown(other)} and {shown(name)} are one file on this disk, which ignores case "
                "or the form of accents; rename one, or choose .safetensors or .h5"
            )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", name).casefold())


def _write_header(path: Path, shape: Shape, dtype: str, mode: Literal["wb", "xb"] = "wb") -> int:
    header = header_bytes(shape, dtype)
    with path.open(mode) as file:
        file.write(header)
    return len(header)


def read_headers(path: Path) -> StoredFile:
    """Read one file's header.

    Raises:
        FormatError: if it is not a plain array.
    """
    return StoredFile(path, NPY, None, [_stored(path.stem, path)])


def read_folder(path: Path) -> StoredFile:
    """Read the manifest of a folder and the header of each file that it lists.

    Raises:
        FormatError: if the manifest or a file is not as it should be.
    """
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise FormatError(f"{path} is a folder without a {MANIFEST}")
    if manifest.stat().st_size > LARGEST_MANIFEST:
        raise FormatError(f"{manifest}: expected at most {LARGEST_MANIFEST >> 20} MiB")
    try:
        data = parse_json(manifest.read_bytes())
        files = {name: entry["file"] for name, entry in data["tensors"].items()}
        provenance = json.dumps(data["glorot"])
    except TooManyError as error:
        raise FormatError(f"{manifest}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError(f"{manifest}: expected a manifest of glorot's") from None
    if len(files) > MOST_TENSORS:
        raise FormatError(f"{manifest}: expected at most {MOST_TENSORS} tensors")
    root = path.resolve()
    tensors = []
    seen: dict[Path, str] = {}
    for name, relative in files.items():
        if not isinstance(relative, str) or "\0" in relative:
            raise FormatError(f"{manifest}: expected a file's name, found {shown(relative)}")
        file = (path / relative).resolve()
        if not file.is_relative_to(root):
            raise FormatError(f"{manifest}: {shown(relative)} lies outside the folder")
        if (other := seen.setdefault(file, name)) != name:
            raise FormatError(
                f"{manifest}: {shown(relative)} is the file of {shown(other)} and of {shown(name)}"
            )
        tensors.append(_stored(name, file))
    return StoredFile(path, NPY_FOLDER, provenance, tensors)


def _stored(name: str, path: Path) -> StoredTensor:
    if path.exists() and not path.is_file():
        raise FormatError(f"cannot read {path}: it is not a regular file")
    try:
        with path.open("rb") as file:
            header = read_header(file, str(path))
            size = file.seek(0, 2)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from None
    if header.nbytes != size - header.start:
        raise FormatError(
            f"{path}: its header needs {header.nbytes} bytes, the file has {size - header.start}"
        )
    return StoredTensor(
        name, header.shape, header.dtype.name, header.start, header.nbytes, header.order, path
    )
