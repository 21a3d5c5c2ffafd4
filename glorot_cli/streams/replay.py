"""What a tensor is made of where every draw of a framework is known: pieces of draws, and steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from glorot_cli.distributions import Distribution
from glorot_cli.dtypes import Array
from glorot_cli.fans import Shape
from glorot_cli.streams.request import Draw, Request

if TYPE_CHECKING:
    from collections.abc import Callable

Operation = Literal["add", "multiply", "divide", "at_least", "at_most"]
OPERATIONS: tuple[Operation, ...] = ("add", "multiply", "divide", "at_least", "at_most")


class Step(NamedTuple):
    """Hold what a framework computed of each element, with a number, in the draw's dtype."""

    operation: Operation
    number: float


class Event(NamedTuple):
    """Hold one random call: what it drew, how many, and what was computed of it afterwards.

    `scattered` is whether the elements lay apart in memory, which decides how normals are drawn.
    """

    law: Distribution
    size: int
    dtype: str
    scattered: bool = False
    steps: tuple[Step, ...] = ()

    def request(self, seed: int, position: tuple[int, ...], fma: bool) -> Request:
        """Return what the stream is asked for."""
        return Request(
            self.law, (self.size,), seed, "", self.dtype, position, fma, scattered=self.scattered
        )


class Part(NamedTuple):
    """Hold a run of a tensor's elements in C order: those of an event, or with none a constant.

    `first` is the element of the event that stands at `start`, `position` where the event begins.
    """

    start: int
    stop: int
    event: Event | None
    position: tuple[int, ...] = ()
    first: int = 0
    value: float = 0.0


class Replay(NamedTuple):
    """Hold the parts of a tensor, which cover it in order.

    `turned` is the shape of what was drawn where the tensor is that matrix transposed.
    """

    parts: tuple[Part, ...]
    turned: Shape | None = None


def drawer(request: Request, draw_event: Callable[[Request], Draw]) -> Draw:
    """Return the function that draws any part of a tensor that is replayed.

    Raises:
        ValueError: if the stream cannot draw one of its events.
    """
    assert request.replay is not None
    replay = request.replay
    parts = [(part, _of_part(part, request, draw_event)) for part in replay.parts]

    if len(parts) == 1 and replay.turned is None:
        (part, whole) = parts[0]
        return lambda first, out: whole(first + part.first, out)

    def draw(first: int, out: Array) -> None:
        last = first + out.size
        for part, fill in parts:
            start, stop = max(part.start, first), min(part.stop, last)
            if start < stop:
                fill(start - part.start + part.first, out[start - first : stop - first])

    return draw if replay.turned is None else _turned(draw, replay.turned, request)


def _of_part(part: Part, request: Request, draw_event: Callable[[Request], Draw]) -> Draw:
    import numpy as np

    from glorot_cli.dtypes import numpy_dtype

    event = part.event
    if event is None:
        return lambda first, out: out.fill(part.value)
    inner = draw_event(event.request(request.seed, part.position, request.fma))
    if event.dtype == request.dtype and not event.steps:
        return inner
    held = numpy_dtype(event.dtype)
    single = np.dtype(np.float32) if held.itemsize < 4 else held

    def draw(first: int, out: Array) -> None:
        values = out if event.dtype == request.dtype else np.empty(out.size, held)
        inner(first, values)
        for step in event.steps:
            # torch computes half precision in float32 and rounds after each operation.
            wide = values.astype(single, copy=False)
            values[...] = _stepped(wide, step, single).astype(held, copy=False)
        if values is not out:
            np.copyto(out, values, casting="unsafe")

    return draw


def _stepped(values: Array, step: Step, held: object) -> Array:
    import numpy as np

    number = np.asarray(step.number).astype(held)  # type: ignore[call-overload]
    apply: Callable[..., Array] = {
        "add": np.add,
        "multiply": np.multiply,
        "divide": np.divide,
        "at_least": np.maximum,
        "at_most": np.minimum,
    }[step.operation]
    return apply(values, number)


def _turned(draw: Draw, shape: Shape, request: Request) -> Draw:
    """Draw a matrix whose transpose the tensor is."""
    import numpy as np

    rows, columns = shape

    def turned(first: int, out: Array) -> None:
        whole = np.empty(rows * columns, out.dtype)
        draw(0, whole)
        out[:] = whole.reshape(rows, columns).T.reshape(-1)[first : first + out.size]

    assert math.prod(request.shape) == rows * columns
    return turned
