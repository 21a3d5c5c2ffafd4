"""The best name of a distribution: the initializer that comes to exactly its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from glorot_cli.fans import Fans, count_fans
from glorot_cli.initializers.kernel import Kernel
from glorot_cli.initializers.torch import trunc_normal
from glorot_cli.recording.account import Drawn, Step

Entry = dict[str, Any]

_GAINS = (
    ("leaky_relu", 0.0), ("linear", 0.0), ("tanh", 0.0), ("leaky_relu", 0.2), ("leaky_relu", 0.1),
    ("leaky_relu", 0.01), ("selu", 0.0),
)  # fmt: skip
_SQRT = math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class Law:
    """Hold a distribution by the numbers of its initializer; `is_exact` if torch drew just that."""

    name: str
    numbers: tuple[float, ...]
    is_exact: bool = True


def law_of(drawn: Drawn) -> Law | None:
    """Return what the elements of a draw follow after its steps, or None if that has no name."""
    call, steps = drawn.call, drawn.steps
    given = call.arguments
    if call.kind == "uniform":
        return _of_uniform(given["a"], given["b"], steps)
    if call.kind == "normal":
        return _affine("normal", (given["mean"], given["std"]), steps)
    if call.kind == "trunc_normal":
        return _affine("trunc_normal", (given["mean"], given["std"], given["a"], given["b"]), steps)
    if call.kind == "log_normal":
        return None
    return None


def _of_uniform(low: float, high: float, steps: tuple[Step, ...]) -> Law | None:
    if not low < high:
        return None
    for index, step in enumerate(steps):
        if step.operation in ("exp", "erfinv", "inverse_softplus"):
            before = _affine("uniform", (low, high), steps[:index])
            rest = steps[index + 1 :]
            if before is None:
                return None
            if step.operation == "erfinv":
                return _of_erfinv(before.numbers, rest)
            return _of_exp(before.numbers, rest) if step.operation == "exp" else None
    return _affine("uniform", (low, high), steps)


def _of_erfinv(bounds: tuple[float, ...], rest: tuple[Step, ...]) -> Law | None:
    """Follow trunc_normal_ as torch drew it before 2.13, and timm does: by erfinv of a uniform."""
    from statistics import NormalDist

    low, high = ((bound + 1.0) / 2.0 for bound in bounds)
    if not (0.0 <= low < high <= 1.0):
        return None
    normal = NormalDist()
    ends = [
        _rounded(normal.inv_cdf(x)) if 1e-12 < x < 1.0 - 1e-12 else math.copysign(math.inf, x - 0.5)
        for x in (low, high)
    ]
    mean, std = 0.0, 1.0 / _SQRT
    for step in rest:
        number = step.number or 0.0
        if step.operation == "multiply":
            mean, std = mean * number, std * number
        elif step.operation == "add":
            mean += number
        elif step.operation == "at_least":
            ends[0] = max(ends[0], (number - mean) / std)
        elif step.operation == "at_most":
            ends[1] = min(ends[1], (number - mean) / std)
        else:
            return None
    if std <= 0.0:
        return None
    std, mean = _rounded(std), _rounded(mean)
    bounded = [mean + std * end if math.isfinite(end) else math.copysign(1e3, end) for end in ends]
    return Law("trunc_normal", (mean, std, *map(_rounded, bounded)), is_exact=False)


def _of_exp(bounds: tuple[float, ...], rest: tuple[Step, ...]) -> Law | None:
    """Follow exp of a uniform, and the inverse of softplus after it."""
    low, high = (_rounded(math.exp(bound)) for bound in bounds)
    rest = tuple(step for step in rest if not _cuts_nothing(step, low, high))
    if not rest:
        return Law("log_uniform", (low, high), is_exact=False)
    if rest == (Step("inverse_softplus"),):
        return Law("inverse_softplus", (low, high), is_exact=False)
    return None


def _cuts_nothing(step: Step, low: float, high: float) -> bool:
    number = step.number or 0.0
    return (step.operation == "at_least" and number <= low) or (
        step.operation == "at_most" and number >= high
    )


def _rounded(number: float) -> float:
    """Return a number without what float32 arithmetic or a logarithm left of rounding."""
    return float(f"{number:.12g}")


def _affine(name: str, numbers: tuple[float, ...], steps: tuple[Step, ...]) -> Law | None:
    """Scale and shift a distribution's numbers."""
    found, exact = list(numbers), not steps
    scales = [1] if name in ("normal", "trunc_normal") else []
    for step in steps:
        number = step.number if step.number is not None else 0.0
        match step.operation:
            case "negate":
                factor, shift = -1.0, 0.0
            case "multiply":
                factor, shift = number, 0.0
            case "divide" if number:
                factor, shift = 1.0 / number, 0.0
            case "add":
                factor, shift = 1.0, number
            case "at_least" | "at_most":
                if not _is_beyond(name, found, step):
                    return None
                continue
            case _:
                return None
        for index in range(len(found)):
            if index in scales:
                divides = step.operation == "divide"
                found[index] = (
                    found[index] / abs(number) if divides else (found[index] * abs(factor))
                )
            elif step.operation == "divide":
                found[index] = found[index] / number
            else:
                found[index] = found[index] * factor + shift
        if factor < 0.0 and name == "uniform":
            found.reverse()
        if factor < 0.0 and name == "trunc_normal":
            found[2], found[3] = found[3], found[2]
    if name != "uniform" and not found[1] > 0.0:
        return None
    return Law(name, tuple(found), exact)


def _is_beyond(name: str, numbers: list[float], step: Step) -> bool:
    """Tell whether no value reaches a bound."""
    bound = step.number or 0.0
    if name == "uniform":
        low, high = numbers
    elif name == "normal":
        low, high = numbers[0] - 8.6 * numbers[1], numbers[0] + 8.6 * numbers[1]
    else:
        low, high = numbers[2:]
    return bound <= low if step.operation == "at_least" else bound >= high


def named(law: Law, shape: tuple[int, ...], fan_in: int | None = None) -> Entry | str:
    """Return the initializer of a law; `fan_in` is that of the weight beside a bias."""
    if law.name == "uniform":
        return _uniform(law.numbers, shape, fan_in)
    if law.name == "normal":
        return _normal(law.numbers, shape)
    if law.name == "trunc_normal":
        return _trunc_normal(law.numbers)
    low, high = law.numbers
    return {"name": law.name, "low": low, "high": high}


def _fans(shape: tuple[int, ...]) -> Fans | None:
    try:
        return count_fans("torch", shape, None, 1) if len(shape) > 1 else None
    except ValueError:
        return None


def _is_round(number: float) -> bool:
    """Tell whether somebody wrote a number down."""
    if math.frexp(number)[0] == 0.5:
        return False  # a power of 2 is rather what fans come to
    return len(repr(number).replace("-", "").replace("0.", "").lstrip("0")) <= 4


def _uniform(bounds: tuple[float, ...], shape: tuple[int, ...], fan_in: int | None) -> Entry | str:
    low, high = bounds
    if (low, high) == (0.0, 1.0):
        return "uniform"
    fans = _fans(shape)
    if low == -high and fans is not None:
        for entry, std in _by_fans(fans, "uniform"):
            if math.sqrt(3.0) * std == high:
                return entry
    if low == -high and fan_in and 1.0 / math.sqrt(fan_in) == high:
        return "torch_bias"
    return {"name": "uniform", "a": _written(low), "b": _written(high)}


def _normal(numbers: tuple[float, ...], shape: tuple[int, ...]) -> Entry | str:
    mean, std = numbers
    if mean != 0.0:
        return {"name": "normal", "mean": mean, "std": std}
    if std == 1.0:
        return "normal"
    fans = _fans(shape)
    if fans is not None and not _is_round(std):
        for entry, other in _by_fans(fans, "normal"):
            if other == std:
                return entry
    return {"name": "normal", "std": _written(std)}


def _trunc_normal(numbers: tuple[float, ...]) -> Entry:
    mean, std, low, high = numbers
    entry: Entry = {"name": "trunc_normal"}
    for key, value, default in zip(
        ("mean", "std", "a", "b"), numbers, (0.0, 1.0, -2.0, 2.0), strict=True
    ):
        if value != default:
            entry[key] = value
    trunc_normal(Kernel((1,), None, 1, "torch"), mean=mean, std=std, a=low, b=high)
    return entry


def _by_fans(fans: Fans, law: str) -> Iterator[tuple[Entry | str, float]]:
    """Give initializers that count fans, with the std that each comes to, as torch computes it."""
    fan_in, fan_out = float(fans.fan_in), float(fans.fan_out)
    gains = [("sqrt(5)", math.sqrt(2.0 / (1.0 + math.sqrt(5.0) ** 2)))]
    for entry, gain in (({"a": text}, gain) for text, gain in gains):
        yield {"name": f"kaiming_{law}", **entry}, gain / math.sqrt(fan_in)
    yield f"xavier_{law}", math.sqrt(2.0 / (fan_in + fan_out))
    for mode, fan in (("fan_in", fan_in), ("fan_out", fan_out)):
        where = {} if mode == "fan_in" else {"mode": mode}
        yield _entry(f"kaiming_{law}", where), _SQRT / math.sqrt(fan)
        yield (
            _entry(f"kaiming_{law}", {**where, "nonlinearity": "relu"}),
            _SQRT / math.sqrt(fan),
        )
        yield _entry(f"kaiming_{law}", {**where, "nonlinearity": "linear"}), 1.0 / math.sqrt(fan)
        yield (
            _entry(f"kaiming_{law}", {**where, "nonlinearity": "tanh"}),
            (5.0 / 3.0) / math.sqrt(fan),
        )
        for slope in (0.2, 0.1, 0.01, 1.0):
            gain = math.sqrt(2.0 / (1.0 + slope**2))
            yield _entry(f"kaiming_{law}", {"a": slope, **where}), gain / math.sqrt(fan)
    for gain in (_SQRT, 5.0 / 3.0, 0.02, 0.1, 0.5):
        std = gain * math.sqrt(2.0 / (fan_in + fan_out))
        yield {"name": f"xavier_{law}", "gain": _gain(gain)}, std


def _entry(name: str, arguments: Entry) -> Entry | str:
    return {"name": name, **arguments} if arguments else name


def _gain(gain: float) -> float | str:
    return {_SQRT: "sqrt(2)", 5.0 / 3.0: "5 / 3"}.get(gain, gain)


def _written(number: float) -> float | str:
    """Write 1 / sqrt(n) as such where that is the number to the last bit, else the number."""
    if number and not _is_round(number):
        root = 1.0 / (number * number)
        whole = round(root)
        if 1 < whole < 1 << 24 and 1.0 / math.sqrt(whole) == abs(number):
            return f"{'-' if number < 0 else ''}1 / sqrt({whole})"
    return number
