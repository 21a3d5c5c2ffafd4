"""ONNX: the initializers of a graph, in the file itself or in files beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import FormatError, listed, printable, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.stored import StoredFile, StoredTensor, check_shape
from glorot_cli.formats.table import ONNX
from glorot_cli.formats.texts import MOST_TENSORS
from glorot_cli.workers import BLOCK_BYTES

# What a protobuf message can hold.
LARGEST_FILE = 2**31 - 1
# Inputs that are no weights, by the names that ONNX's operators give them.
_NO_WEIGHTS = frozenset((
    "axes", "axis", "batch_dims", "condition", "cond", "depth", "ends", "indices", "k",
    "max_output_boxes_per_class", "max_trip_count", "M", "max", "min", "output_shape", "pads",
    "ratio", "repeats", "roi", "scales", "score_threshold", "shape", "sizes", "split", "starts",
    "steps", "target_shape", "training_mode", "size", "delta", "limit", "start",
    "signal_length", "frame_length", "frame_step", "dft_length", "sequence_lens",
))  # fmt: skip
# Scales and zero points are named so in every domain.
_QUANTISATION = ("scale", "zero_point", "zeropoint")
# A normalisation's scale is a weight.
_NORMALISATIONS = (
    "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization",
    "RMSNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization",
)  # fmt: skip
_DTYPES = {
    "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8",
    "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "BOOL": "bool",
    "FLOAT8E4M3FN": "float8_e4m3fn", "FLOAT8E5M2": "float8_e5m2",
    "FLOAT8E4M3FNUZ": "float8_e4m3fnuz", "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "COMPLEX64": "complex64", "COMPLEX128": "complex128",
}  # fmt: skip
_ITEM_BITS = {
    "float32": 32, "float64": 64, "float16": 16, "bfloat16": 16, "int8": 8, "int16": 16,
    "int32": 32, "int64": 64, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "bool": 8,
    "float8_e4m3fn": 8, "float8_e5m2": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8,
    "complex64": 64, "complex128": 128,
}  # fmt: skip


def read_headers(path: Path) -> StoredFile:
    """Read the initializers that are weights.

    Raises:
        FormatError: if the onnx package is missing, or the file is damaged.
    """
    graph = _graph(path)
    no_weights = _not_weights(graph)
    tensors: list[StoredTensor] = []
    left, texts = [], []
    for each in graph.initializer:
        if each.name in no_weights:
            left.append(each.name)
            continue
        tensor = _stored(path, each)
        if tensor is None:
            texts.append(each.name)
        else:
            tensors.append(tensor)
    _check_names(path, tensors)
    notices = []
    if left:
        notices.append(
            f"left out {len(left)} initializers that hold shapes, indices, scales or zero points: "
            f"{listed(list(map(shown, left)))}"
        )
    others = [*texts, *(each.values.name for each in graph.sparse_initializer)]
    if others:
        notices.append(
            f"left out {len(others)} initializers that are sparse or hold texts or less than a "
            f"byte each: {listed(list(map(shown, others)))}"
        )
    return StoredFile(path, ONNX, None, tensors, tuple(notices))


def _graph(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise FormatError(
            f"{path}: reading ONNX needs the extra: pip install 'glorot[onnx]'"
        ) from None
    if path.stat().st_size > LARGEST_FILE:
        raise FormatError(f"{path}: expected an ONNX file below 2 GiB, its weights beside it")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not an ONNX file: {printable(str(error))[:200]}") from None
    if not model.HasField("graph"):
        raise FormatError(f"{path}: not an ONNX file: it has no graph")
    if len(model.graph.initializer) > MOST_TENSORS:
        raise FormatError(f"{path}: expected at most {MOST_TENSORS} initializers")
    return model.graph


def _check_names(path: Path, tensors: Iterable[StoredTensor]) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise FormatError(f"{path}: two initializers are named {shown(tensor.name)}")
        seen.add(tensor.name)


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of those within it."""
    stack = [graph]
    while stack:
        for node in stack.pop().node:
            yield node
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    stack.append(attribute.g)
                stack += attribute.graphs


def _not_weights(graph: Any) -> set[str]:
    """Return the names that are only ever shapes, scales and the like."""
    used: dict[str, bool] = {}
    formal: dict[tuple[str, str], list[str]] = {}
    for node in _nodes(graph):
        key = node.domain, node.op_type
        if key not in formal:
            formal[key] = _formal_names(*key)
        names = formal[key]
        for place, name in enumerate(node.input):
            said = names[place] if place < len(names) else names[-1] if names else ""
            is_weight = not _is_auxiliary(node.op_type, said, name)
            used[name] = used.get(name, False) or is_weight
    return {name for name, is_weight in used.items() if not is_weight}


def _formal_names(domain: str, operator: str) -> list[str]:
    import onnx

    try:
        return [each.name for each in onnx.defs.get_schema(operator, domain).inputs]
    except onnx.defs.SchemaError:
        return []


def _is_auxiliary(operator: str, formal: str, name: str) -> bool:
    if operator in _NORMALISATIONS:
        return False
    said = (formal or name).lower()
    return formal in _NO_WEIGHTS or said.endswith(_QUANTISATION)


def _stored(path: Path, tensor: Any) -> StoredTensor | None:
    """Describe an initializer; None if it holds no numbers of whole bytes."""
    import onnx

    kinds = onnx.TensorProto.DataType
    code = kinds.Name(tensor.data_type) if tensor.data_type in kinds.values() else ""
    dtype = _DTYPES.get(code)
    if dtype is None:
        return None
    where = f"{path}: {shown(tensor.name)}"
    shape = tuple(tensor.dims)
    nbytes = check_shape(where, shape, _ITEM_BITS[dtype] // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        file, offset = _beside(path, where, tensor, nbytes)
        return StoredTensor(tensor.name, shape, dtype, offset, nbytes, "<", file)
    slabs = _Slabs(where, tensor, shape, dtype)
    slabs.check(nbytes)
    return StoredTensor(tensor.name, shape, dtype, None, nbytes, "<", None, slabs)


def _beside(path: Path, where: str, tensor: Any, nbytes: int) -> tuple[Path, int]:
    """Return the file that holds a tensor's bytes, and where they start there.

    Raises:
        FormatError: if it is not in the folder of the ONNX file, or too short.
    """
    said = {entry.key: entry.value for entry in tensor.external_data}
    name = said.get("location", "")
    try:
        offset, length = int(said.get("offset") or 0), int(said.get("length") or nbytes)
    except ValueError:
        raise FormatError(f"{where}: expected whole numbers for offset and length") from None
    root = path.parent.resolve()
    if not name or "\0" in name or not (root / name).resolve().is_relative_to(root):
        raise FormatError(f"{where}: expected a file in its folder, found {shown(name)}")
    file = (root / name).resolve()
    if not file.is_file():
        raise FormatError(f"{where}: there is no file {shown(name)} beside it")
    if length != nbytes or offset < 0 or offset + nbytes > file.stat().st_size:
        raise FormatError(
            f"{where}: it needs {nbytes} bytes from {shown(offset)} on in {shown(name)}, which "
            f"has {file.stat().st_size}"
        )
    return file, offset


class _Slabs:
    """Give the elements of an initializer that is in the file."""

    def __init__(self, where: str, tensor: Any, shape: Shape, dtype: str) -> None:
        self._where = where
        self._tensor = tensor
        self._shape = shape
        self._dtype = dtype

    def check(self, nbytes: int) -> None:
        """Check that the elements are as many as the shape says.

        Raises:
            FormatError: if they are not.
        """
        tensor = self._tensor
        if tensor.HasField("raw_data"):
            found, wanted = len(tensor.raw_data), nbytes
        else:
            fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
            found = sum(len(getattr(tensor, field)) for field in fields)
            wanted = math.prod(self._shape) * (2 if self._dtype.startswith("complex") else 1)
        if found != wanted:
            what = "bytes" if tensor.HasField("raw_data") else "numbers"
            raise FormatError(f"{self._where}: expected {wanted} {what}, found {found}")

    def __call__(self) -> Iterator[Array]:
        """Yield flat arrays of at most 2 MiB.

        Raises:
            FormatError: if they are no numbers that NumPy has.
        """
        try:
            dtype = numpy_dtype(self._dtype)
        except TypeError:
            dtype = np.dtype(np.void)
        if dtype.kind not in "biufV" or dtype == np.dtype(np.void):
            raise FormatError(f"{self._where}: cannot read elements of dtype {self._dtype}")
        if self._tensor.HasField("raw_data"):
            flat = np.frombuffer(self._tensor.raw_data, dtype)
        else:
            flat = self._typed(dtype)
        for at in range(0, flat.size, BLOCK_BYTES // dtype.itemsize):
            yield flat[at : at + BLOCK_BYTES // dtype.itemsize]

    def _typed(self, dtype: np.dtype[Any]) -> Array:
        """Return elements from a field of numbers; narrow floats are there by their bits."""
        tensor = self._tensor
        if self._dtype == "float32":
            return np.array(tensor.float_data, dtype)
        if self._dtype == "float64":
            return np.array(tensor.double_data, dtype)
        if self._dtype == "int64":
            return np.array(tensor.int64_data, dtype)
        if self._dtype in ("uint32", "uint64"):
            return np.array(tensor.uint64_data, dtype)
        words = np.array(tensor.int32_data, np.int32)
        if dtype.kind in "bi":
            return words.astype(dtype)
        return words.astype(f"<u{dtype.itemsize}").view(dtype)
