"""What a weight file of any origin holds: statistics of each tensor, and what it fits."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from glorot_cli.checks.claims import by_stored_name, claimed_plan, kept_names, read_claim
from glorot_cli.checks.known_starts import Candidates, Start, known_starts
from glorot_cli.checks.spectra import Spectrum, spectra
from glorot_cli.dtypes import ITEM_SIZES, PRECISIONS, Array
from glorot_cli.errors import GlorotError
from glorot_cli.fans import FanRule, Fans, Shape, check_axes, count_fans
from glorot_cli.formats.blocks import Block, each_tensor
from glorot_cli.formats.elements import Elements
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.goodness_of_fit.agreement import agrees
from glorot_cli.goodness_of_fit.candidates import (
    EMBEDDINGS,
    SMALLEST_EMBEDDING,
    fits,
    named_distributions,
)
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.layers import torch_starts
from glorot_cli.goodness_of_fit.p_values import Continuous
from glorot_cli.goodness_of_fit.sketch import MANY, SAMPLE, Sketch
from glorot_cli.goodness_of_fit.structures import (
    EXACT,
    structured,
    without_zeros,
    zero_rows,
    zero_runs,
)
from glorot_cli.moments import Moments
from glorot_cli.plan import PlannedTensor, is_selected
from glorot_cli.streams.block_moments import block_moments
from glorot_cli.workers import BLOCK_BYTES

# So many elements of a uniform distribution are not orthogonal by chance, nor by design.
_MANY = 4096
# So many float32 stay in cache while they are looked at several times.
_CHUNK = 1 << 17
# Elements of all tensors together that `samples` keeps, but so many of each in any case.
MOST_KEPT = 1 << 25
FEWEST_KEPT = 256


@dataclass(frozen=True, slots=True)
class InspectedTensor:
    """Hold what a file holds under a name.

    `moments`, `histogram` and `fits` are None where there are no numbers to read, or only headers
    were read. `fits` is empty if the elements are of no known distribution. `claim` is the
    initializer that the provenance names, and `agrees` whether the elements could be drawn by it,
    where that can be told. `planned` is the tensor of the provenance's plan; `sample` is there on
    request.

    `start` holds the fits that are named, the best fit and its p-value. `zero_rows` are rows of the
    first axis that hold zeros only, as padding does; the fits are then those of the rest.
    """

    name: str
    shape: Shape
    dtype: str
    nbytes: int
    fans: Fans | None
    moments: Moments | None = None
    histogram: list[int] | None = None
    start: Start | None = None
    zero_rows: tuple[int, ...] = ()
    claim: str | None = None
    agrees: bool | None = None
    sha256: str | None = None
    spectrum: Spectrum | None = None
    planned: PlannedTensor | None = field(default=None, compare=False, repr=False)
    sample: Array | None = field(default=None, compare=False, repr=False)

    @property
    def fits(self) -> list[Fit] | None:
        """The distributions that are named as the tensor's start, the best defined first."""
        return None if self.start is None else self.start.fits


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold what `inspect_weights` found: the provenance is as the file claims it, or None.

    `notices` are what was not read, and what was chosen.
    """

    path: str
    format: str
    provenance: dict[str, Any] | None
    tensors: list[InspectedTensor]
    notices: tuple[str, ...] = ()


class _Chosen(NamedTuple):
    """A tensor to look at, with what the provenance plans for it."""

    stored: StoredTensor
    planned: PlannedTensor | None
    fans: Fans | None


class _Part(NamedTuple):
    moments: Moments
    sample: Array
    zeros: dict[int, int]


class _Found(NamedTuple):
    moments: Moments
    histogram: list[int]
    sample: Array | None
    candidates: Candidates
    zero_rows: tuple[int, ...]


def inspect_weights(
    path: str | os.PathLike[str],
    *,
    fans: FanRule | None = None,
    axes: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    key: str | None = None,
    headers: bool = False,
    sha256: bool = False,
    spectrum: bool = False,
    samples: bool = False,
    workers: int | None = None,
) -> Inspection:
    """Read a weight file in blocks and say what each tensor holds and which distributions it fits.

    Fans are the plan's where the file says which spec made it. Otherwise `axes` gives the roles of
    kernels of that rank, or `fans` a framework's rule (default: torch's for .safetensors and
    torch's own files, Keras's for the rest). `include` and `exclude` are globs on names; `key`
    chooses the mapping of weights in a file of torch's. `headers` reads no elements; `sha256`
    hashes each tensor's elements, in C order and little-endian; `spectrum` takes the singular
    values of tensors of several axes, outputs against the rest; `samples` keeps up to 32,768 of
    them, in order of size; fewer in a file of over 1,024 tensors.

    Raises:
        FormatError: if the file cannot be read.
    """
    file = read_headers(path, key)
    provenance = read_claim(file)
    planned: dict[str, PlannedTensor] = {}
    kept_from_base: frozenset[str] = frozenset()
    if provenance is not None:
        with contextlib.suppress(GlorotError):
            claimed = by_stored_name(claimed_plan(provenance), file)
            kept_from_base = kept_names(provenance, [each.name for each in claimed.values()])
            kept_from_base |= {each.name for each in claimed.values() if each.kept}
            planned = claimed
    if axes is not None:
        _check_letters(axes)
    rule = fans or ("exact" if axes else file.format.axes)
    chosen = []
    for stored in file.tensors:
        plan = planned.get(stored.name)
        if is_selected(stored.name if plan is None else plan.name, include, exclude):
            given = plan is None or fans is not None or axes is not None
            count = _fans(stored.shape, rule, axes) if given or plan is None else plan.fans
            chosen.append(_Chosen(stored, plan, count))
    found = {} if headers else _read(file, kept_from_base, chosen, workers, samples=samples)
    starts = dict(zip(found, known_starts([f.candidates for f in found.values()]), strict=True))
    digests = _digests(file, [each.stored for each in chosen], workers) if sha256 else {}
    outputs_first = file.format.axes == "torch"
    stored_tensors = [each.stored for each in chosen] if spectrum else []
    values = dict(enumerate(spectra(file, stored_tensors, outputs_first=outputs_first)))
    tensors = []
    for index, (stored, plan, count) in enumerate(chosen):
        result = found.get(index)
        kept = plan is not None and plan.name in kept_from_base
        tensors.append(
            InspectedTensor(
                stored.name if plan is None else plan.name,
                stored.shape,
                stored.dtype,
                stored.nbytes,
                count,
                moments=result and result.moments,
                histogram=result and result.histogram,
                start=starts.get(index),
                zero_rows=result.zero_rows if result is not None else (),
                claim=None if plan is None else "kept" if kept else plan.initializer,
                agrees=None if result is None else result.candidates.agrees,
                sha256=digests.get(index),
                spectrum=values.get(index),
                planned=None if kept else plan,
                sample=result and result.sample,
            )
        )
    return Inspection(os.fspath(file.path), file.format.name, provenance, tensors, file.notices)


def _check_letters(axes: str) -> None:
    try:
        check_axes(axes, (1,) * len(axes))
    except ValueError as error:
        raise GlorotError(f"axes: {error}") from None


def _fans(shape: Shape, rule: FanRule, axes: str | None) -> Fans | None:
    if len(shape) < 2:
        return None
    try:
        if axes is not None:
            check_axes(axes, shape)
        return count_fans(rule, shape, axes)
    except ValueError:
        return None


def _read(
    file: StoredFile,
    kept: frozenset[str],
    chosen: Sequence[_Chosen],
    workers: int | None,
    *,
    samples: bool,
) -> dict[int, _Found]:
    """Take moments and a sample of each tensor that NumPy can read, and name its distributions."""
    readable = [
        (index, each)
        for index, each in enumerate(chosen)
        if each.stored.nbytes and each.stored.dtype in ITEM_SIZES
    ]
    largest = max(FEWEST_KEPT, MOST_KEPT // max(1, len(readable))) if samples else 0
    steps = [-(-math.prod(each.stored.shape) // SAMPLE) for _, each in readable]
    shapes = {stored.name: stored.shape for stored in file.tensors}

    def take(block: Block) -> _Part:
        step, length = steps[block.tensor], _row(readable[block.tensor][1].stored)
        sample = _floats(block.values[-block.first % step :: step].copy())
        zeros = zero_runs(block.values, block.first, length) if length > 1 else {}
        return _Part(_moments(block.values), sample, zeros)

    with Elements(file) as elements:

        def finish(number: int, parts: list[_Part]) -> _Found:
            stored, plan, fans = readable[number][1]
            moments = functools.reduce(Moments.merged, (part.moments for part in parts))
            ordered = np.sort(np.concatenate([part.sample for part in parts]))
            if moments.others:
                ordered = ordered[np.isfinite(ordered)]
            sketch = Sketch(moments, ordered)
            length = _row(stored)
            padding = zero_rows((part.zeros for part in parts), length)
            rest = without_zeros(sketch, len(padding) * length) if padding else None
            named = _named(stored, fans, shapes)
            names = fits(rest or sketch, named, stored.dtype)
            if moments.count <= _MANY or not any(
                fit.distribution.endswith("uniform") for fit in names
            ):
                # No distribution of single elements makes such a structure by chance.
                names = list(structured(elements, stored, sketch)) or names
            drawn = plan is not None and plan.name not in kept
            agreed = agrees(plan, stored, sketch, names) if plan is not None and drawn else None
            tested = (
                stored.dtype in PRECISIONS
                and not moments.others
                and (bool(named) or moments.count >= MANY)
                and all(fit.distribution not in EXACT for fit in names)
            )
            candidates = Candidates(stored.name, moments.count, names, tested, agreed)
            sample = ordered[:: -(-ordered.size // largest) or 1] if largest else None
            zeros = padding if rest is not None else ()
            return _Found(moments, sketch.histogram, sample, candidates, zeros)

        results = each_tensor(
            file, [each.stored for _, each in readable], take, finish, workers=workers
        )
    return {
        index: result
        for (index, _), result in zip(readable, results, strict=True)
        if result is not None
    }


def _row(tensor: StoredTensor) -> int:
    """Return how many elements a row has, of a tensor of floats whose rows may be padding."""
    rows = len(tensor.shape) > 1 and tensor.shape[0] > 1 and tensor.dtype in PRECISIONS
    return math.prod(tensor.shape[1:]) if rows else 0


def _named(
    tensor: StoredTensor, fans: Fans | None, shapes: Mapping[str, Shape]
) -> list[tuple[str, Continuous]]:
    """Return the distributions that names and shapes leave no parameter of."""
    found: list[tuple[str, Continuous]] = list(torch_starts(tensor.name, shapes))
    if fans is not None:
        found += named_distributions(fans)
    table = len(tensor.shape) == 2 and math.prod(tensor.shape) >= SMALLEST_EMBEDDING
    return found + (list(EMBEDDINGS) if table else [])


def _floats(block: Array) -> Array:
    if block.dtype.name == "bfloat16":
        # The upper half of a float32: shifting is faster than the cast.
        words = np.empty(block.size, np.uint32)
        np.left_shift(block.view(np.uint16), np.uint32(16), out=words, dtype=np.uint32)
        return words.view(np.float32)
    if block.dtype.itemsize < 4 or block.dtype.kind == "i":
        block = block.astype(np.float64 if block.dtype.itemsize > 4 else np.float32)
    return np.asarray(block, block.dtype.newbyteorder("="))


def _moments(block: Array) -> Moments:
    found = block_moments(block, 0.0)
    if found is not None and _is_narrow(found):
        closer = block_moments(block, found.total / found.count)
        found = None if closer is None else closer.about(0.0)
    if found is not None:
        return found
    parts = (block[start : start + _CHUNK] for start in range(0, block.size, _CHUNK))
    return functools.reduce(Moments.merged, map(_moments_by_numpy, parts))


def _is_narrow(found: Moments) -> bool:
    """Tell whether the spread is small beside the mean: sums about 0 would lose its digits."""
    mean = found.total / max(1, found.count)
    return found.squares < 1.1 * found.count * mean * mean


def _moments_by_numpy(block: Array) -> Moments:
    extremes = _bfloat16_extremes(block) if block.dtype.name == "bfloat16" else None
    block = _floats(block)
    found = Moments.of(block, 0.0, extremes=extremes)
    if _is_narrow(found):
        centre = float(block.dtype.type(found.total / found.count * found.scale))
        found = Moments.of(block, centre, extremes=extremes).about(0.0)
    return found


def _bfloat16_extremes(block: Array) -> tuple[float, float] | None:
    """Return the smallest and the largest element, found among 16 bits rather than 32.

    Positive floats are ordered as signed integers, negative ones the other way round as unsigned
    ones: with both signs present, the largest integers of the two views are the extremes. None
    where this does not hold, or where there are NaNs.
    """
    if block.dtype.byteorder == ">":
        return None
    high = int(np.maximum.reduce(block.view(np.int16)))
    low = int(np.maximum.reduce(block.view(np.uint16)))
    if high < 0 or low < 0x8000 or high > 0x7F80 or low > 0xFF80:
        return None
    least, most = (np.array([low << 16, high << 16], np.uint32).view(np.float32)).tolist()
    return least, most


def _digests(
    file: StoredFile, tensors: Sequence[StoredTensor], workers: int | None
) -> dict[int, str]:
    """Hash the elements of each tensor, several tensors at a time."""
    with Elements(file) as elements, ThreadPoolExecutor(workers or os.cpu_count()) as pool:

        def digest(tensor: StoredTensor) -> str:
            hashed = hashlib.sha256()
            for piece in _pieces(elements, tensor):
                hashed.update(piece)
            return hashed.hexdigest()

        return dict(enumerate(pool.map(digest, tensors)))


def _pieces(elements: Elements, tensor: StoredTensor) -> Iterator[memoryview]:
    """Give a tensor's bytes in C order, little-endian."""
    if tensor.slabs is not None:
        for slab in tensor.slabs():
            yield np.ascontiguousarray(slab, slab.dtype.newbyteorder("<")).view(np.uint8).data
        return
    swaps = tensor.byte_order == ">"
    for start in range(0, tensor.nbytes, BLOCK_BYTES):
        raw = elements.raw(tensor, start, min(BLOCK_BYTES, tensor.nbytes - start))
        if swaps:
            itemsize = tensor.nbytes // math.prod(tensor.shape)
            raw = raw.reshape(-1, itemsize)[:, ::-1].reshape(-1)
        yield np.ascontiguousarray(raw).data
