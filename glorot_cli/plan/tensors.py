"""What a plan holds: each tensor, complete before a byte of it is drawn."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from glorot_cli.distributions import Constant, Distribution
from glorot_cli.dtypes import bytes_of
from glorot_cli.errors import UnknownTensorError, shown, suggestion
from glorot_cli.fans import Fans, Shape
from glorot_cli.initializers.steps import Step
from glorot_cli.streams import DEFAULT
from glorot_cli.streams.replay import Replay

# What a plan calls the initializer of a tensor that is not drawn, but copied from a base.
KEPT = "kept"
# The kind of what no layer holds.
RAW = "tensors"


class Owner(NamedTuple):
    """Hold what a tensor belongs to, as its planned tensor has it."""

    family: str
    skipped: bool = False
    kind: str = RAW
    trainable: bool = True
    layer: str | None = None
    group: str | None = None
    also_group: str | None = None
    rank: tuple[int, ...] = ()
    kept: bool = False

    @property
    def is_raw(self) -> bool:
        """Whether no layer holds the tensor."""
        return self.kind == RAW


class PlannedTensor(NamedTuple):
    """Hold all there is to know of a tensor before it is drawn.

    `fans` are by the rule that decides, None where there are none; `exact` is the law by exact
    fans, where the law depends on fans; `decided_by` says what chose the initialiser. `family` is
    the name before indices were filled in. A tied tensor (`tied_to`) or a skipped one stands in
    the plan only; a tied one that is stored is a `copy_of` another, whose words it takes. `rng` is
    the stream; `seed`, `position`, `fma` and `replay` are as in its request. The rest is set for
    tensors of layers: the layer's name, the variable's place in Keras's `.weights.h5` (`group`, and
    a second name of it, `also_group`), and its `rank` in the order of Keras's `model.layers`.
    One that is `kept` is never drawn, but copied from a base.
    """

    name: str
    shape: Shape
    dtype: str
    initializer: str
    arguments: dict[str, object]
    distribution: Distribution
    seed: int
    fans: Fans | None = None
    exact: tuple[Fans, Distribution] | None = None
    decided_by: str = "its entry"
    steps: tuple[Step, ...] = ()
    kind: str = RAW
    family: str = ""
    trainable: bool = True
    tied_to: str | None = None
    copy_of: str | None = None
    skipped: bool = False
    rng: str = DEFAULT
    position: tuple[int, ...] = ()
    fma: bool = True
    replay: Replay | None = None
    layer: str | None = None
    group: str | None = None
    also_group: str | None = None
    rank: tuple[int, ...] = ()
    kept: bool = False

    @property
    def is_raw(self) -> bool:
        """Whether no layer holds the tensor."""
        return self.kind == RAW

    @property
    def likeness(self) -> tuple[int, ...]:
        """A key that tensors of one plan share only if tables and documents show the same of them.

        Their names apart.
        """
        shown = (
            self.shape, self.dtype, self.initializer, self.arguments, self.distribution, self.fans,
            self.decided_by, self.trainable, self.tied_to, self.skipped,
        )  # fmt: skip
        return tuple(map(id, shown))

    def as_kept(self, decided_by: str = "its base") -> PlannedTensor:
        """Return the tensor as one that is not drawn, but copied from a base."""
        return self._replace(
            initializer=KEPT,
            arguments={},
            distribution=Constant(0.0),
            fans=None,
            exact=None,
            decided_by=decided_by,
            steps=(),
            kept=True,
        )

    @property
    def parameters(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes."""
        return bytes_of(math.prod(self.shape), self.dtype)


class Totals(NamedTuple):
    """Count the elements of a plan's tensors, those that train, and the bytes."""

    parameters: int
    trainable: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold the tensors of a spec, in its order, and what they are drawn with.

    `tensors` are those that a file holds; `entries` also those that are tied or skipped; `guesses`
    names those whose initializer a convention chose, for there was no spec; `defaulted` those whose
    initializer is the one of specs that name none, `ranked` those whose axes are their rank's, and
    `overridden` those that an override decided. `has_one_seed` says that each tensor is drawn with
    `seed`, which decides nothing else.
    """

    tensors: tuple[PlannedTensor, ...]
    entries: tuple[PlannedTensor, ...]
    seed: int
    seed_was_drawn: bool
    rng: str
    spec: dict[str, Any]
    notices: tuple[str, ...]
    guesses: tuple[str, ...] = ()
    defaulted: tuple[str, ...] = ()
    ranked: tuple[str, ...] = ()
    has_one_seed: bool = False
    overridden: tuple[str, ...] = ()
    # Filled when a tensor is first asked for by its name.
    _by_name: dict[str, PlannedTensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __getitem__(self, name: str) -> PlannedTensor:
        """Return the tensor of that name.

        Raises:
            GlorotError: if there is none; it is a KeyError as well.
        """
        if not self._by_name:
            self._by_name.update((tensor.name, tensor) for tensor in self.tensors)
        if name in self._by_name:
            return self._by_name[name]
        hint = suggestion(str(name), list(self._by_name), listed=3)
        raise UnknownTensorError(f"no tensor is named {shown(name)}; {hint}")

    def totals(self) -> Totals:
        """Count what a file of the plan holds."""
        parameters = trainable = nbytes = 0
        for tensor in self.tensors:
            count = math.prod(tensor.shape)
            parameters += count
            nbytes += bytes_of(count, tensor.dtype)
            if tensor.trainable:
                trainable += count
        return Totals(parameters, trainable, nbytes)

    def guessed(self, names: Container[str]) -> Plan:
        """Return the plan whose tensors of these names start by a guess, but for overrides."""
        left = frozenset(self.overridden)
        guesses = (t.name for t in self.tensors if t.name in names and t.name not in left)
        return replace(self, guesses=tuple(guesses))

    def of(self, names: Container[str]) -> Plan:
        """Return the plan of the tensors of some names."""
        tensors = tuple(tensor for tensor in self.tensors if tensor.name in names)
        return replace(self, tensors=tensors, entries=tensors)

    def keeping(self, names: Container[str]) -> Plan:
        """Return the plan as it is where the tensors of some names are not drawn."""

        def kept(tensors: tuple[PlannedTensor, ...]) -> tuple[PlannedTensor, ...]:
            return tuple(t.as_kept() if t.name in names else t for t in tensors)

        return replace(self, tensors=kept(self.tensors), entries=kept(self.entries))

    def selected(self, include: Sequence[str], exclude: Sequence[str]) -> Plan:
        """Return the plan of the tensors whose names the globs choose."""
        if not include and not exclude:
            return self

        def chosen(tensors: Iterable[PlannedTensor]) -> tuple[PlannedTensor, ...]:
            return tuple(t for t in tensors if is_selected(t.name, include, exclude))

        return replace(self, tensors=chosen(self.tensors), entries=chosen(self.entries))


def is_selected(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether a name matches one of `include`, if there are any, and none of `exclude`."""
    if include and not any(fnmatch.fnmatchcase(name, glob) for glob in include):
        return False
    return not any(fnmatch.fnmatchcase(name, glob) for glob in exclude)
