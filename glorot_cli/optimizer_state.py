"""Which tensors of a file are an optimizer's state, and no weights, by every framework's names."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The head of a name, or any part of it, below which nothing is a weight.
_HEADS = re.compile(
    r"(?i)(train_?state\.|state\.|checkpoint\.)?"
    r"(optim|optimizers?|optimizer_variables|grad_scaler|lr_schedulers?|rng_states?)\."
)
_PARTS = re.compile(
    r"(?i)(?:^|\.)(opt_states?|optim(izer)?_state(s|_dict|_dicts)?|optim(izer)?_weights)\."
)
# Keras 1 and 2 put an optimizer's class first, Keras 3 the same in lower case.
_CLASSES = re.compile(
    r"(?i)(training(_\d+)?\.)?(adam|adamw|nadam|adamax|sgd|rmsprop|adagrad|adadelta|ftrl|adafactor|"
    r"lossscaleoptimizer|loss_scale_optimizer)(_\d+)?\."
)
# What torch's optimizers call what they hold, alone in this sense; and what is one's only beside.
_TORCH = frozenset((
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg",
    "grad_avg", "acc_delta", "exp_avg_sq_row", "exp_avg_sq_col", "mu_product", "exp_avg_diff",
    "previous_grad", "fp32_from_fp16_groups", "exp_avg_slow",
))  # fmt: skip
_TORCH_BESIDE = frozenset(("step", "sum", "prev", "step_size", "row_var", "col_var", "variance"))
# What stands below a weight's own name, always several together: MLX, Keras 2, TensorFlow 1.
_PAIRS = (
    ("m", "v"), ("Adam", "Adam_1"), ("momentum", "velocity"), ("RMSProp", "RMSProp_1"),
    ("mu", "nu"),
)  # fmt: skip
_SINGLE = frozenset(("Momentum", "Adagrad", "vhat", "accumulator", "Ftrl", "Ftrl_1"))
_OF_WEIGHTS = frozenset((
    "weight", "bias", "kernel", "gamma", "beta", "scale", "embeddings", "embedding", "alpha",
    "recurrent_kernel", "depthwise_kernel", "pointwise_kernel", "weights", "biases",
))  # fmt: skip
_POWERS = re.compile(r"beta_?[12]_power(_\d+)?")


def optimizer_state(names: Iterable[str]) -> frozenset[str]:
    """Return which of a file's names are those of an optimizer's state."""
    parted = {name: _parts(name) for name in names}
    dotted = {".".join(parts): name for name, parts in parted.items()}
    found = {name for text, name in dotted.items() if _by_its_head(text)}
    found |= {name for name, parts in parted.items() if not _TORCH.isdisjoint(parts)}
    beside = {tuple(parted[name][:-1]) for name in found if parted[name][-1] in _TORCH}
    for name, parts in parted.items():
        *parent, leaf = parts
        is_beside = leaf in _TORCH_BESIDE and tuple(parent) in beside
        if is_beside or _is_beside_its_weight(parent, leaf, dotted) or _is_tree(parts, dotted):
            found.add(name)
    return frozenset(found)


def _parts(name: str) -> list[str]:
    """Part a name at its dots and slashes, without TensorFlow's number of an output."""
    return re.split(r"[./]", re.sub(r":\d+$", "", name))


def _by_its_head(text: str) -> bool:
    return bool(
        _HEADS.match(text) or _PARTS.search(text) or _CLASSES.match(text) or _POWERS.fullmatch(text)
    )


def _is_beside_its_weight(parent: list[str], leaf: str, names: dict[str, str]) -> bool:
    """Tell whether a name is a weight's, and one more word that an optimizer adds."""
    if not parent or parent[-1] not in _OF_WEIGHTS:
        return False
    above = ".".join(parent)
    if leaf in _SINGLE:
        return True
    return any(leaf in pair and all(f"{above}.{each}" in names for each in pair) for pair in _PAIRS)


def _is_tree(parts: list[str], names: dict[str, str]) -> bool:
    """Tell whether optax keeps two moments of the same weights: mu and nu, each a tree."""
    for place in range(min(len(parts) - 1, 4)):
        if parts[place] in ("mu", "nu") and parts[-1] in _OF_WEIGHTS:
            other = "nu" if parts[place] == "mu" else "mu"
            if ".".join([*parts[:place], other, *parts[place + 1 :]]) in names:
                return True
    return False
