"""Testing each tensor of a file against the distribution that a spec states, whoever drew it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from glorot_cli.checks.pairing import UNCHECKED, VerifiedTensor, pair, plan_of, unchecked
from glorot_cli.distributions import (
    Distribution,
    InverseSoftplus,
    LogUniform,
    Normal,
    NormOf,
    Orthogonal,
    Patched,
    Pieces,
    SingularOf,
    Sparse,
    Uniform,
    inverse_softplus,
    is_random,
)
from glorot_cli.drawing import drawer
from glorot_cli.dtypes import PRECISIONS, Array, numpy_dtype
from glorot_cli.errors import GlorotError
from glorot_cli.formats.blocks import Block, each_block
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile
from glorot_cli.goodness_of_fit import p_values
from glorot_cli.goodness_of_fit.alarms import (
    Alarm,
    distribution_alarms,
    orthogonal_alarms,
    zero_alarms,
)
from glorot_cli.moments import Moments
from glorot_cli.optimizer_state import optimizer_state
from glorot_cli.placed import ByIndex
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.streams.pieces import Layout
from glorot_cli.workers import Progress

# Of each tensor with a distribution: range, mean, variance and distribution.
TESTS = 4
LARGEST_SAMPLE = 1_000_000
# 24! orders of as many elements: two tensors share one by chance in no one's lifetime.
LEADING = 24


@dataclass(frozen=True, slots=True)
class JudgedTensor:
    """Hold what the tests found of one tensor."""

    header: VerifiedTensor
    alarms: list[Alarm] = field(default_factory=list)

    @property
    def status(self) -> str:
        """What the header says, or whether the elements fit."""
        if self.header.status != "equal":
            return self.header.status
        return "alarm" if self.alarms else "fits"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold what `judge_weights` found, and the false-alarm rate that it was asked for.

    It is true if nothing speaks against the spec.
    """

    path: str
    false_alarm: float
    tensors: list[JudgedTensor]

    @property
    def equal(self) -> bool:
        """Whether nothing speaks against the spec, and at least one tensor was tested."""
        statuses = {tensor.status for tensor in self.tensors}
        return statuses <= {"fits", UNCHECKED} and "fits" in statuses

    @property
    def unchecked(self) -> int:
        """How many tensors were compared by shape and dtype alone."""
        return sum(tensor.status == UNCHECKED for tensor in self.tensors)

    def __bool__(self) -> bool:
        return self.equal


def judge_weights(
    path: str | os.PathLike[str],
    plan: Plan | None = None,
    *,
    false_alarm: float = 1e-3,
    kept: Sequence[str] = (),
    key: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """Test whether a file's tensors follow the distributions of a plan, or of its own provenance.

    The chance of any alarm on a good file is at most `false_alarm`: it is shared out equally among
    the tensors and their tests, whose p-values are bounds. Elements may be off by one rounding.
    `kept` and `key` are as for `verify_weights`.

    Raises:
        FormatError: if the file cannot be read.
    """
    check_rate(false_alarm)
    return judge_stored(
        read_headers(path, key), plan, false_alarm, kept=kept, workers=workers, progress=progress
    )


def check_rate(false_alarm: float) -> None:
    """Check that a false-alarm rate is a chance.

    Raises:
        GlorotError: if it is not.
    """
    if not 0.0 < false_alarm < 1.0:
        raise GlorotError(f"--false-alarm: expected a chance between 0 and 1, found {false_alarm}")


def judge_stored(
    file: StoredFile,
    plan: Plan | None,
    false_alarm: float,
    *,
    kept: Sequence[str],
    workers: int | None,
    progress: Progress | None,
) -> Evidence:
    """Do as `judge_weights` does, for a file whose headers are read."""
    trusted, plan = plan is None, plan or plan_of(file, None)
    pairing = pair(file, plan, unchecked(file, plan, kept, trusted=trusted))
    planned = [tensor for _, tensor in pairing.pairs]
    drawn = sum(_tested(tensor.distribution) for tensor in planned)
    threshold = false_alarm / (TESTS * max(1, drawn))
    takers = [_taker(tensor, threshold) for tensor in planned]
    each_block(
        file,
        [stored for stored, _ in pairing.pairs],
        lambda block: takers[block.tensor].take(block),
        workers=workers,
        progress=progress,
    )
    _find_twins([each for taker in takers for each in taker.kernels()])
    alarms = {taker.tensor.name: taker.alarms for taker in takers}
    tensors = [JudgedTensor(v, alarms.get(v.name, [])) for v in pairing.found.values()]
    # An optimizer's state is no weights, which a spec could have named.
    state = optimizer_state(tensor.name for tensor in file.tensors)
    tensors += [JudgedTensor(extra) for extra in pairing.extra if extra.name not in state]
    return Evidence(os.fspath(file.path), false_alarm, tensors)


def _tested(law: Distribution) -> int:
    """Return how many samples are tested for a tensor."""
    if isinstance(law, Patched):
        return _tested(law.law)
    if isinstance(law, Pieces):
        each = sum(map(_tested, law.laws))
        return each * law.count if len(law.laws) == 1 else each
    return is_random(law) and not isinstance(law, Orthogonal)


def _taker(tensor: PlannedTensor, threshold: float) -> _Taker | _KernelsTaker:
    if isinstance(_parted(tensor.distribution)[0], Pieces):
        return _KernelsTaker(tensor, threshold)
    return _Taker(tensor, threshold)


class _KernelsTaker:
    """Gather a tensor of several kernels, and test each by itself."""

    def __init__(self, tensor: PlannedTensor, threshold: float) -> None:
        pieces, patch = _parted(tensor.distribution)
        self.tensor = tensor
        self._layout = Layout(pieces, tensor.shape)
        patches = {} if patch is None else self._patches(*patch[:2])
        self._takers = []
        for number in range(pieces.count):
            law = pieces.law(number)
            if patch is not None and number in patches:
                law = Patched(law, *patches[number], patch[2])
            kernel = tensor._replace(
                name=f"{tensor.name}, kernel {number}",
                shape=self._layout.kernel_shape,
                distribution=law,
            )
            self._takers.append(_taker(kernel, threshold))

    def _patches(self, start: int, stop: int) -> dict[int, tuple[int, int]]:
        """Return the elements of each kernel that are among some of the tensor's."""
        found: dict[int, tuple[int, int]] = {}
        count = np.arange(stop - start)
        for kernel, at, places in self._layout.parts(start, stop - start):
            low, _ = found.get(kernel, (at, at))
            found[kernel] = low, at + count[places].size
        return found

    def take(self, block: Block) -> None:
        """Take a block, and give each kernel its elements of it."""
        for kernel, at, places in self._layout.parts(block.first, block.values.size):
            self._takers[kernel].take(block._replace(first=at, values=block.values[places]))

    def kernels(self) -> Iterator[_Taker]:
        """Give the kernels' own takers."""
        for taker in self._takers:
            yield from taker.kernels()

    @property
    def alarms(self) -> list[Alarm]:
        """What the tests of the kernels found."""
        return [
            alarm._replace(message=f"kernel {number}: {alarm.message}")
            for number, taker in enumerate(self._takers)
            for alarm in taker.alarms
        ]


# The largest element of a unit vector, as the coarsest dtype rounds it.
_ROUNDED_GAIN = 1.25


class _Part(NamedTuple):
    first: int
    values: Array
    moments: Moments | None


class _Taker:
    """Gather a tensor's blocks, and test them once all are there; keep no more than is needed."""

    def __init__(self, tensor: PlannedTensor, threshold: float) -> None:
        self.tensor = tensor
        self.threshold = threshold
        self.distribution, self.patch = _parted(tensor.distribution)
        self._logarithm: Callable[[Array], Array] | None = None
        if isinstance(self.distribution, LogUniform | InverseSoftplus):
            self.distribution, self._logarithm = _by_logarithm(self.distribution)
        self.alarms: list[Alarm] = []
        self.content: tuple[object, ...] | None = None
        self.order: tuple[object, ...] | None = None
        self._left = tensor.parameters
        self._parts: list[_Part] = []
        self._bad = 0
        self._leading: Array | None = None
        self._lock = threading.Lock()
        self._step = -(-tensor.parameters // LARGEST_SAMPLE)

    def kernels(self) -> Iterator[_Taker]:
        """Give this one, which stands for a tensor of one kernel."""
        yield self

    def take(self, block: Block) -> None:
        """Take a block, and test the tensor if it is the last."""
        values = np.asarray(block.values, block.values.dtype.newbyteorder("="))
        part = self._taken(block.first, values)
        with self._lock:
            if part is not None:
                self._parts.append(part)
            self._left -= values.size
            done = self._left == 0
        if done:
            self._parts.sort(key=lambda part: part.first)
            self.alarms += self._test()
            self._parts.clear()

    def _taken(self, first: int, values: Array) -> _Part | None:
        if not is_random(self.distribution):
            return self._mismatch(first, values)
        if self.patch is not None:
            values = self._outside(first, values)
        whole = isinstance(self.distribution, Orthogonal | Sparse)
        wide = values.astype(np.float64 if values.itemsize > 4 else np.float32, copy=whole)
        if self._logarithm is not None:
            wide = self._logarithm(wide)
        if first == 0:
            self._leading = wide[:LEADING].copy()
        if whole:
            return _Part(first, wide, None)
        if not wide.size:
            return None
        moments = Moments.of(wide, self.distribution.mean(self.tensor.shape))
        return _Part(first, wide[-first % self._step :: self._step].copy(), moments)

    def _outside(self, first: int, values: Array) -> Array:
        """Return the elements outside the patch, and count those within that are not its value."""
        assert self.patch is not None
        start, stop = (min(max(end - first, 0), values.size) for end in self.patch[:2])
        held = np.array(self.patch[2]).astype(values.dtype)
        self._bad += int(np.count_nonzero(values[start:stop] != held))
        return np.concatenate((values[:start], values[stop:]))

    def _mismatch(self, first: int, values: Array) -> _Part | None:
        """Return the first element that is not as a constant distribution has it."""
        expected = np.empty(values.size, numpy_dtype(self.tensor.dtype))
        if isinstance(self.distribution, NormOf):
            # Another seed has other norms; none is below 0, or no number.
            expected[:] = np.nan_to_num(np.abs(values), posinf=0.0)
        elif isinstance(self.distribution, SingularOf):
            # Or another such vector, whose elements are within its length of 1.
            expected[:] = np.clip(np.nan_to_num(values), -1.0, 1.0)
        else:
            drawer(self.tensor)(first, expected)
        precision = PRECISIONS.get(self.tensor.dtype)
        a, b = expected.astype(np.float64), values.astype(np.float64)
        if precision is None:
            wrong = expected != values
        else:
            allowed = np.abs(a)
            if isinstance(self.distribution, ByIndex):
                # A framework computes the formula in the tensor's dtype.
                reach = self.distribution.reach(self.tensor.shape, first, a.size)
                allowed += 2.0 * (1.0 + reach) * allowed.max()
            # A constant may be infinite, near which nothing is.
            allowed[np.isinf(a)] = 0.0
            with np.errstate(invalid="ignore"):
                close = np.abs(a - b) <= allowed * 2.0**-precision.fraction
            wrong = ~(close | (a == b))
        if not wrong.any():
            return None
        at = int(np.argmax(wrong))
        self._bad += int(np.count_nonzero(wrong))
        return _Part(first + at, np.array([a[at], b[at]]), None)

    def _test(self) -> Iterator[Alarm]:
        shape = self.tensor.shape
        if not is_random(self.distribution):
            if self._parts:
                first, (expected, found), _ = self._parts[0]
                at = [int(i) for i in np.unravel_index(first, shape)]
                text = f"expected {expected:.6g} at {at}, found {found:.6g}; {self._bad:,} differ"
                yield Alarm("value", text, 0.0)
            return
        if self._bad:
            assert self.patch is not None
            yield Alarm("value", f"{self._bad:,} elements are not {self.patch[2]:.6g}", 0.0)
        if not self._parts:
            return
        values = np.concatenate([part.values for part in self._parts])
        self._remember(values)
        if isinstance(self.distribution, Orthogonal):
            if self.patch is None:
                yield from orthogonal_alarms(
                    self.distribution, values.reshape(shape), self.tensor.dtype
                )
            elif float(np.abs(values).max()) > self.distribution.gain * _ROUNDED_GAIN:
                # Without the patch its rows and columns are not what they were; none is longer.
                yield Alarm(
                    "limit", f"an element lies beyond the gain {self.distribution.gain!r}", 0.0
                )
            return
        distribution: p_values.Continuous
        if isinstance(self.distribution, Sparse):
            yield from zero_alarms(self.distribution, values.reshape(shape))
            values = values[values != 0.0]
            distribution = Normal(0.0, self.distribution.stddev)
            if not values.size:
                return
            moments = Moments.of(values, 0.0)
            values = values[:: -(-values.size // LARGEST_SAMPLE)]
        else:
            distribution = self.distribution
            moments = self._parts[0].moments or Moments.of(values, 0.0)
            for part in self._parts[1:]:
                moments = moments.merged(part.moments or moments)
        yield from distribution_alarms(
            distribution, moments, values, self.tensor.dtype, self.threshold
        )

    def _remember(self, values: Array) -> None:
        """Keep what tells whether another tensor has the same elements, or the same words."""
        if values.min() == values.max():  # its dtype has no others there, or an alarm says so
            return
        dtype = self.tensor.dtype
        moments = tuple((p.moments.total, p.moments.squares) for p in self._parts if p.moments)
        digest = hashlib.sha256(np.ascontiguousarray(values).data).digest()
        self.content = (dtype, self.tensor.parameters, digest, moments)
        # A kernel that begins with zeros has no order.
        if self._leading is not None and np.unique(self._leading).size > LEADING // 2:
            self.order = tuple(np.argsort(self._leading, kind="stable").tolist())


def _parted(distribution: Distribution) -> tuple[Any, tuple[int, int, float] | None]:
    if isinstance(distribution, Patched):
        return distribution.law, (
            distribution.start,
            distribution.stop,
            distribution.value,
        )
    return distribution, None


def _by_logarithm(
    law: LogUniform | InverseSoftplus,
) -> tuple[Uniform, Callable[[Array], Array]]:
    """Return what to test instead: values that are spread evenly, and how they are reached."""
    of = law if isinstance(law, LogUniform) else law.of
    logs = of.logarithm
    # Far enough from 0 that a rounding of an element is no more than one of the values.
    far = 2.0
    if isinstance(law, InverseSoftplus):
        # Above 0 softplus is no steeper than its value; below, its logarithm is the element.
        far += max(0.0, -inverse_softplus(of.low))

    def logarithm(values: Array) -> Array:
        with np.errstate(all="ignore"):
            x = np.logaddexp(0.0, values) if isinstance(law, InverseSoftplus) else values
            result: Array = np.log(x.astype(np.float64)) - logs.low + far
        return result

    return Uniform(far, far + 2.0 * logs.half), logarithm


def _find_twins(takers: Sequence[_Taker]) -> None:
    """Raise an alarm for tensors with the content of another, or its words scaled."""
    contents: dict[object, str] = {}
    orders: dict[object, str] = {}
    for taker in takers:
        is_copy = taker.tensor.copy_of is not None
        if taker.content is None or taker.tensor.parameters < 2 or is_copy:
            continue
        name = taker.tensor.name
        twin = contents.setdefault(taker.content, name)
        other = orders.setdefault(taker.order, name) if taker.order is not None else name
        if twin != name:
            if taker.tensor.parameters * PRECISIONS[taker.tensor.dtype].itemsize >= 8:
                taker.alarms.append(Alarm("identical", f"the same elements as {twin}", 0.0))
        elif other != name:
            text = f"the same random numbers as {other}, scaled"
            taker.alarms.append(Alarm("shared", text, 0.0))
