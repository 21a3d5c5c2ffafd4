"""What each of torch's operators makes of the values that are known of its tensors."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from glorot_cli.errors import GlorotError
from glorot_cli.recording.account import (
    LARGEST_KNOWN,
    NOTHING,
    Call,
    Constant,
    Drawn,
    Known,
    Opaque,
    Region,
    Value,
    Whole,
)
from glorot_cli.recording.elementwise import stepped
from glorot_cli.recording.watch import Extent, Watch, _opaque, in_memory_order

Tensor: TypeAlias = torch.Tensor

# In-place random operators, with the names of their arguments and torch's defaults.
_RANDOM: dict[str, dict[str, float]] = {
    "uniform_": {"a": 0.0, "b": 1.0},
    "normal_": {"mean": 0.0, "std": 1.0},
    "bernoulli_": {"p": 0.5},
    "exponential_": {"lambd": 1.0},
    "cauchy_": {"median": 0.0, "sigma": 1.0},
    "log_normal_": {"mean": 1.0, "std": 2.0},
    "geometric_": {"p": 0.5},
    "random_": {},
}
_FACTORIES = {
    "rand": "uniform_", "rand_like": "uniform_", "randn": "normal_", "randn_like": "normal_",
    "randint": "random_", "randint_like": "random_", "randperm": "randperm", "normal": "normal_",
    "bernoulli": "bernoulli_of", "normal_functional": "normal_",
}  # fmt: skip
_EMPTY = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided",
    "empty_permuted")  # fmt: skip
_FILLED = {
    "zeros": 0, "zeros_like": 0, "new_zeros": 0, "ones": 1, "ones_like": 1, "new_ones": 1,
}  # fmt: skip
_SAME = ("clone", "contiguous", "_to_copy", "lift_fresh", "lift_fresh_copy", "detach", "alias",
    "resolve_conj", "resolve_neg", "_reshape_copy", "_unsafe_view", "t_copy", "lift")  # fmt: skip


def name_of(func: Any) -> str:
    """Return an operator's name without its namespace and overload."""
    return str(func._schema.name).rsplit("::", 1)[-1]


def operate(watch: Watch, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operator on fake tensors, and account for what it makes.

    Raises:
        GlorotError: if the module asks for the value of a random tensor.
    """
    name = name_of(func)
    if name in ("_local_scalar_dense", "item"):
        return _item(watch, args[0])
    # Fake tensors that remember real ones are kept away: torch frees some of them twice.
    args, kwargs = tree_map(watch.without_memory, (args, kwargs))
    if name in ("lift_fresh", "lift_fresh_copy", "lift"):
        return args[0]
    if (
        name == "fill_"
        and isinstance(args[1], torch.Tensor)
        and (number := watch.known(args[1])) is not None
    ):
        with _disable_current_modes():
            func, args = torch.ops.aten.fill_.Scalar, (args[0], number.item())
    given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    if name in ("is_nonzero", "equal", "_is_all_true", "_is_any_true"):
        return _for_real(watch, func, args, kwargs, given)
    known = _known_result(watch, func, name, args, kwargs, given)
    before = _before(watch, name, args, given)
    out = func(*args, **kwargs)
    if name == "set_":
        return out
    outs = [each for each in tree_flatten(out)[0] if isinstance(each, torch.Tensor)]
    if name in _RANDOM or name in _FACTORIES:
        _random(watch, name, args, kwargs, outs)
        return out
    written = _written(func, args, kwargs)
    targets = written or [each for each in outs if _is_new(watch, each, given)]
    for index, target in enumerate(targets):
        if known is not None:
            if index < len(known):
                watch.write(target, known[index])
            continue
        _account(watch, name, args, kwargs, target, before, index)
    return out


def random_call(
    watch: Watch, tensor: Tensor, kind: str, arguments: dict[str, float], generator: Any
) -> Call:
    """Note a random call that fills a tensor."""
    extent = Extent(tensor)
    dtype = str(tensor.dtype).removeprefix("torch.")
    place = (watch.key(tensor), extent.offset) if extent.is_dense else None
    scattered = not extent.is_contiguous
    call = Call(kind, arguments, extent.shape, extent.count, dtype, scattered, place)
    if generator is None:
        watch.calls.append(call)
    watch.write(tensor, Drawn(call, dtype))
    return call


def _random(
    watch: Watch, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], outs: list[Tensor]
) -> None:
    kind = _FACTORIES.get(name, name)
    arguments = dict(_RANDOM.get(kind, {}))
    numbers = [a for a in args if isinstance(a, int | float) and not isinstance(a, bool)]
    if name in _RANDOM:
        for key, number in zip(arguments, args[1:], strict=False):
            if isinstance(number, torch.Tensor):
                kind = "bernoulli_of" if kind == "bernoulli_" else "unknown"
            elif number is not None:
                arguments[key] = float(number)
        for key in arguments.keys() & kwargs.keys():
            arguments[key] = float(kwargs[key])
    elif name == "normal" or name == "normal_functional":
        if any(isinstance(each, torch.Tensor) for each in args[:2]):
            kind = "unknown"
        else:
            arguments = dict(zip(("mean", "std"), map(float, numbers[:2]), strict=False))
    if kind == "random_":
        low, high = _bounds(name, args, outs[0].dtype)
        arguments = {"low": float(low), "high": float(high)}
        kind = "random64" if high - low >= 2**32 else "random"
    random_call(watch, outs[0], kind.removesuffix("_"), arguments, kwargs.get("generator"))


def _bounds(name: str, args: tuple[Any, ...], dtype: torch.dtype) -> tuple[int, int]:
    """Return the lowest integer that a call draws, and the one above the highest."""
    skipped = 1 if name in ("random_", "randint_like") else 0
    numbers = [a for a in args[skipped:] if isinstance(a, int) and not isinstance(a, bool)]
    if not numbers:
        digits = {torch.float32: 24, torch.float64: 53, torch.float16: 11, torch.bfloat16: 8}
        bits = torch.iinfo(dtype).bits if dtype not in digits else 0
        return 0, 2 ** digits[dtype] + 1 if not bits else 2 ** (bits - 1)
    return (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def _item(watch: Watch, tensor: Tensor) -> Any:
    known = watch.known(tensor)
    if known is None:
        made = watch.value(tensor)
        of = f", of {', '.join(made.operations)}" if isinstance(made, Opaque) else ""
        raise GlorotError(
            f"the module asks for the value of a random tensor{of} while it is built, and what it "
            "does with it cannot be watched; write such a tensor as a raw tensor of a spec"
        )
    with _disable_current_modes():
        return known.item()


def _before(watch: Watch, name: str, args: tuple[Any, ...], given: list[Tensor]) -> list[Any]:
    """Return what the operands hold before an operator that may write into one of them."""
    return [(each, watch.read(each)) for each in given[:64]]


def _is_new(watch: Watch, tensor: Tensor, given: list[Tensor]) -> bool:
    own = tensor.untyped_storage()._cdata
    return all(each.untyped_storage()._cdata != own for each in given)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the arguments that an operator writes into."""
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[index] if index < len(args) else kwargs.get(argument.name)
        found += [each for each in tree_flatten(value)[0] if isinstance(each, torch.Tensor)]
    # A transpose in place changes how a tensor lies, and no element.
    return [] if name_of(func) in _TURNS else found


_TURNS = ("t_", "transpose_", "squeeze_", "unsqueeze_", "swapaxes_", "swapdims_", "as_strided_",
    "detach_", "resize_", "requires_grad_", "set_")  # fmt: skip


def _known_result(
    watch: Watch,
    func: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    given: list[Tensor],
) -> list[Value] | None:
    """Compute an operator for real where chance has no part in its operands, and they are few."""
    if name in _RANDOM or name in _FACTORIES or name in _EMPTY or name in _SAME:
        return None
    if not given and name in (*_FILLED, "full"):
        return None  # a constant, of any size
    if name in ("fill_", "zero_", "copy_"):
        return None
    real: dict[int, Tensor] = {}
    for each in given:
        if each.numel() > LARGEST_KNOWN:
            return None
        found = watch.known(each)
        if found is None:
            return None
        real[id(each)] = found
    if _is_view(func) and not _written(func, args, kwargs):
        return None
    made = _run(func, args, kwargs, real)
    if made is None:
        return None
    written = _written(func, args, kwargs)
    if written:
        return [_as_value(real[id(each)]) for each in written if id(each) in real]
    outs = [each for each in tree_flatten(made)[0] if isinstance(each, torch.Tensor)]
    if sum(each.numel() for each in outs) > LARGEST_KNOWN:
        return None
    return [_as_value(each) for each in outs]


def _is_view(func: Any) -> bool:
    return any(a.alias_info is not None and not a.alias_info.is_write for a in func._schema.returns)


def _run(func: Any, args: Any, kwargs: Any, real: dict[int, Tensor]) -> Any:
    def swap(each: Any) -> Any:
        return real.get(id(each), each) if isinstance(each, torch.Tensor) else each

    sizes = [x for a in args if isinstance(a, list | tuple) for x in a if isinstance(x, int)]
    grows = name_of(func) in ("new_zeros", "new_ones", "new_full", "full", "expand", "repeat")
    if grows and math.prod(sizes) > LARGEST_KNOWN:
        return None
    with _disable_current_modes(), torch.no_grad():
        try:
            return func(*tree_map(swap, args), **tree_map(swap, kwargs))
        except (RuntimeError, NotImplementedError, TypeError, IndexError):
            return None


def _for_real(watch: Watch, func: Any, args: Any, kwargs: Any, given: list[Tensor]) -> Any:
    real = {}
    for each in given:
        found = watch.known(each)
        if found is None:
            raise GlorotError(
                "the module compares a random tensor's values while it is built, and what it does "
                "then cannot be watched"
            )
        real[id(each)] = found
    return _run(func, args, kwargs, real)


def _as_value(tensor: Tensor) -> Value:
    """Return a real tensor as a value, in the order of its memory."""
    with _disable_current_modes():
        flat = in_memory_order(tensor.detach())
        if flat.numel() and flat.dtype.is_complex is False:
            first = flat[0]
            if bool((flat == first).all()):
                return Constant(first.item())
        return Known(flat.clone())


def _account(
    watch: Watch,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    target: Tensor,
    before: list[tuple[Tensor, list[Region]]],
    index: int,
) -> None:
    """Write what an operator makes into one of its results."""
    if name in _EMPTY:
        watch.write(target, NOTHING)
        return
    if name == "zero_" or name in _FILLED:
        watch.write(target, Constant(_FILLED.get(name, 0)))
        return
    if name in ("full", "full_like", "new_full", "fill_"):
        number = kwargs.get("fill_value", args[1] if len(args) > 1 else 0)
        if isinstance(number, torch.Tensor):
            known = watch.known(number)
            if known is None:
                watch.write(target, Opaque((name,)))
                return
            with _disable_current_modes():
                number = known.item()
        watch.write(target, Constant(number))
        return
    if name in _SAME or name == "copy_":
        source = args[1] if name == "copy_" else args[0]
        _copy(watch, source, target, _regions(before, source))
        return
    if name in ("cat", "stack") and _joined(watch, args, target):
        return
    if name in ("repeat", "expand_copy"):
        regions = _regions(before, args[0])
        if len(regions) == 1 and isinstance(regions[0].value, Constant):
            watch.write(target, regions[0].value)
            return
    made = stepped(watch, name, args, kwargs, target, before) or _whole(name, args, before, index)
    regions = [region for _, each in before for region in each]
    watch.write(target, made or _opaque(name, regions))


def _regions(before: list[tuple[Tensor, list[Region]]], tensor: Any) -> list[Region]:
    return next((regions for each, regions in before if each is tensor), [])


def _copy(watch: Watch, source: Any, target: Tensor, regions: list[Region]) -> None:
    """Account for a copy, which may have another dtype, shape or order in memory."""
    if not isinstance(source, torch.Tensor):
        watch.write(target, Constant(source))
        return
    one, two = Extent(source), Extent(target)
    if len(regions) == 1:
        value = regions[0].value
        if isinstance(value, Constant | Whole):
            watch.write(target, value)
            return
    known = watch.known(source) if one.count <= LARGEST_KNOWN else None
    if known is not None:
        with _disable_current_modes(), torch.no_grad():
            fresh = torch.empty_strided(two.shape, _dense_strides(two), dtype=target.dtype)
            fresh.copy_(known)
        watch.write(target, _as_value(fresh))
        return
    dtype = str(target.dtype).removeprefix("torch.")
    values = [region._replace(value=_cast(region.value, dtype)) for region in regions]
    if one.shape == two.shape and one.is_dense and two.is_dense and one.order == two.order:
        storage = watch.storage(target)
        for region in values:
            storage.write(two.offset + region.start, two.offset + region.stop, region.value)
        return
    alone = values[0].value if len(values) == 1 else None
    is_matrix = one.shape == two.shape and len(one.order) == 2 and one.is_dense and two.is_dense
    if isinstance(alone, Drawn) and is_matrix and alone.first == 0:
        watch.write(target, replace(alone, turned=not alone.turned))
        return
    watch.write(target, _opaque("a copy in another order", regions))


def _dense_strides(extent: Extent) -> tuple[int, ...]:
    """Return the strides of a tensor of that shape whose memory is in the same order."""
    strides, size = [1] * len(extent.shape), 1
    for axis in reversed(extent.order):
        strides[axis] = size
        size *= extent.shape[axis]
    return tuple(strides)


def _cast(value: Value, dtype: str) -> Value:
    if isinstance(value, Drawn) and value.dtype != dtype:
        # Steps after a cast are of another dtype than the draw.
        if value.dtype != value.call.dtype:
            return Opaque(("two casts",), (value.call,))
        return replace(value, dtype=dtype)
    return value


def _joined(watch: Watch, args: tuple[Any, ...], target: Tensor) -> bool:
    """Account for tensors that are put one after another along the first axis."""
    parts = [each for each in args[0] if isinstance(each, torch.Tensor)]
    dim = args[1] if len(args) > 1 else 0
    if dim != 0 or not all(Extent(each).is_contiguous for each in parts):
        return False
    extent, storage = Extent(target), watch.storage(target)
    at = extent.offset
    for part in parts:
        for region in watch.read(part):
            storage.write(at + region.start, at + region.stop, region.value)
        at += part.numel()
    return True


def _whole(
    name: str, args: tuple[Any, ...], before: list[tuple[Tensor, list[Region]]], index: int
) -> Value | None:
    """Follow an orthogonal matrix: the factors of a QR, and the signs of its diagonal."""
    values = [regions[0].value for _, regions in before if len(regions) == 1]
    if len(values) != len(before) or not values:
        return None
    one = values[0]
    is_normal = isinstance(one, Drawn) and one.call.kind == "normal" and not one.steps
    if name in ("linalg_qr", "qr") and isinstance(one, Drawn) and is_normal:
        return Whole("factor" if index == 0 else "triangle", one.call)
    if not isinstance(one, Whole):
        return None
    if name in ("diag", "diagonal", "diagonal_copy") and one.kind == "triangle":
        return one
    if name in ("sign", "sgn") and one.kind == "triangle":
        return Whole("signs", one.call)
    numbers = [each for each in args[1:] if isinstance(each, int | float)]
    if name in ("mul", "mul_"):
        kinds = {value.kind for value in values if isinstance(value, Whole)}
        if kinds == {"factor", "signs"}:
            return Whole("orthogonal", one.call)
        if len(values) == 1 and len(numbers) == 1 and one.kind == "orthogonal":
            return Whole("orthogonal", one.call, one.gain * numbers[0])
    return None


__all__ = ["FakeTensor", "operate", "random_call"]
