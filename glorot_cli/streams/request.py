"""What a stream is asked to draw, and what the frameworks' streams refuse alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from glorot_cli.distributions import (
    Constant,
    Derived,
    Distribution,
    InverseSoftplus,
    LogUniform,
    Normal,
    Ones,
    Orthogonal,
    Patched,
    Pieces,
    Sparse,
    TruncatedNormal,
    Uniform,
)
from glorot_cli.dtypes import Array
from glorot_cli.fans import Shape
from glorot_cli.placed import ByIndex, Values

if TYPE_CHECKING:
    from glorot_cli.moments import Moments
    from glorot_cli.streams.replay import Replay

# A plan checks what its stream can draw, and needs no NumPy for that.
# It gives the moments of what it drew where they cost no further pass.
Draw = Callable[[int, Array], "Moments | None"]

FRAMEWORK_DTYPES = ("float32", "float64", "float16", "bfloat16")


class Request(NamedTuple):
    """Hold what decides a tensor's bits.

    `position` is where its draw begins in a stream that the tensors of a model share; `fma` is
    whether the framework's processor fuses a multiplication with the addition that follows it;
    `scattered` is whether the elements lie apart in the framework's memory; `replay` says what a
    tensor is made of, where that is known draw by draw.
    """

    law: Distribution
    shape: Shape
    seed: int
    name: str
    dtype: str
    position: tuple[int, ...] = ()
    fma: bool = True
    scattered: bool = False
    replay: Replay | None = None


def law_name(law: Distribution) -> str:
    """Say what a law draws, for a message."""
    match law:
        case Uniform():
            return "uniform"
        case Normal():
            return "normal"
        case TruncatedNormal():
            return "truncated normal"
        case Orthogonal():
            return "orthogonal"
        case Sparse():
            return "sparse"
        case Patched():
            return law_name(law.law)
        case Pieces():
            return " and ".join(dict.fromkeys(map(law_name, law.laws)))
        case LogUniform():
            return "log-uniform"
        case InverseSoftplus():
            return "inverse softplus"
        case Derived() | Constant() | Ones() | ByIndex() | Values():
            return "constant"


def check_framework(request: Request, stream: str, largest_seed: int) -> None:
    """Check what every framework's stream asks of a random tensor.

    Raises:
        ValueError: if the framework refuses the seed or has no such dtype.
    """
    if request.dtype not in FRAMEWORK_DTYPES:
        raise ValueError(
            f"the stream {stream} draws {', '.join(FRAMEWORK_DTYPES)}, not {request.dtype}"
        )
    if request.seed > largest_seed:
        raise ValueError(
            f"the stream {stream} takes seeds up to {largest_seed}, as its framework does, "
            f"found {request.seed}"
        )


def refusal(request: Request, stream: str, can: str) -> ValueError:
    """Return the error for a law that a stream cannot draw."""
    return ValueError(
        f"the stream {stream} cannot draw {law_name(request.law)} values in {request.dtype}; "
        f"it draws {can}"
    )


def lazily(make: Callable[[], Draw]) -> Draw:
    """Return a drawer that is made when it first draws: a seeded generator is not cheap."""
    made: list[Draw] = []
    lock = threading.Lock()

    def draw(first: int, out: Array) -> Moments | None:
        with lock:
            if not made:
                made.append(make())
        return made[0](first, out)

    return draw
