"""Streams: where random words come from, and how an element is made of its word.

A stream's module has `drawer(request)`, which gives the function that fills any part of a tensor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from glorot_cli.streams.request import Draw, Request


class Stream(NamedTuple):
    """Name a stream's module, the version of its bits, and what it is compared with.

    `claims` are the releases whose bits it gives; `dialect` is that of the layers that it draws,
    None for any; `shared` means that the tensors of a model share one stream, in list order;
    `fuses` that its framework fuses multiply and add where the processor can.
    """

    module: str
    version: int = 1
    claims: str | None = None
    dialect: str | None = None
    shared: bool = False
    fuses: bool = False


DEFAULT = "aes-ctr"
STREAMS = {
    "aes-ctr": Stream("aes_ctr"),
    "keras-numpy": Stream("keras_numpy", 1, "keras 3.15.1, numpy 2.4.6, x86-64", "keras"),
    "keras-jax": Stream(
        "keras_jax", 1, "keras 3.15.1, jax 0.10.2, x86-64 CPU", "keras", fuses=True
    ),
    "keras-torch": Stream("keras_torch", 1, "keras 3.15.1, torch 2.13.0, x86-64 CPU", "keras"),
    "keras-tensorflow": Stream(
        "keras_tensorflow", 1, "keras 3.15.1, tensorflow 2.21.0 (eager), x86-64 CPU", "keras"
    ),
    "torch": Stream("torch_cpu", 1, "torch 2.13.0, x86-64 CPU", "torch", shared=True, fuses=True),
    "jax": Stream("jax_nn", 1, "jax 0.10.2, x86-64 CPU", "keras", fuses=True),
}


def stream_claim(rng: str) -> dict[str, Any]:
    """Return what a file says of the stream that it was drawn from."""
    stream = STREAMS[rng]
    claim = {"name": rng, "version": stream.version}
    return claim if stream.claims is None else {**claim, "claims": stream.claims}


def seeds_of(rng: str) -> int:
    """Return how many seeds a spec may have: one of them is drawn where it has none."""
    # keras.utils.set_random_seed seeds NumPy's legacy generator too, which takes 32 bits.
    return 2**32 if rng.startswith("keras-") else 2**64


def drawer(rng: str, request: Request) -> Draw:
    """Return the function that fills a flat array with a tensor's elements from a first index on.

    Raises:
        ValueError: if the stream cannot draw them, or the dtype holds no such values.
    """
    from glorot_cli.distributions import (
        Constant,
        Derived,
        NormOf,
        Ones,
        Patched,
        Pieces,
        SingularOf,
        is_random,
    )
    from glorot_cli.placed import ByIndex, Values
    from glorot_cli.streams import fixed

    if isinstance(request.law, Derived):
        from glorot_cli.streams import norms, singular

        law = request.law
        source = request._replace(
            law=law.of, shape=law.shape, seed=law.seed, name=law.tensor, dtype=law.dtype,
            position=law.position, fma=law.fma, replay=law.replay,
        )  # fmt: skip
        made_of = drawer(law.rng, source)
        if isinstance(law, NormOf):
            return norms.drawer(law, made_of, request.dtype)
        assert isinstance(law, SingularOf)
        return singular.drawer(law, made_of, request.dtype)
    module = import_module(f"glorot_cli.streams.{STREAMS[rng].module}")
    if request.replay is not None:
        from glorot_cli.streams import replay

        return replay.drawer(request, module.drawer)
    if rng == DEFAULT:
        made: Draw = module.drawer(
            request.law, request.shape, request.seed, request.name, request.dtype
        )
        return made
    match request.law:
        case Constant(value=value):
            return fixed.constant(value, request.dtype)
        case ByIndex() | Values():
            return fixed.placed(request.law, request.shape, request.dtype)
        case Ones():
            return fixed.ones(request.law, request.dtype)
        case Pieces():
            if is_random(request.law):
                raise ValueError(f"the stream {rng} draws a tensor as one, not by its kernels")
            from glorot_cli.streams import pieces

            return pieces.drawer(
                request.law,
                request.shape,
                lambda law, shape, _: drawer(rng, request._replace(law=law, shape=shape)),
            )
        case Patched():
            if not STREAMS[rng].shared and is_random(request.law):
                # Keras draws what lies before the patch and after it by the same seed, anew.
                raise ValueError(f"the stream {rng} draws no tensor whose middle holds a constant")
            inner = drawer(rng, request._replace(law=request.law.law))
            return fixed.patched(inner, request.law, request.dtype)
    framework: Draw = module.drawer(request)
    return framework


def advance(rng: str, request: Request) -> tuple[int, ...]:
    """Return the position after a tensor in a stream that a model's tensors share."""
    module = import_module(f"glorot_cli.streams.{STREAMS[rng].module}")
    after: tuple[int, ...] = module.advance(request)
    return after
