"""What a tensor of a foreign file is taken for, by its name and by what stands beside it.

Each start has its source in docs/checkpoints.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from glorot_cli.derive.places import Place, Surroundings
from glorot_cli.dtypes import DTYPES
from glorot_cli.fans import Shape
from glorot_cli.formats.stored import StoredTensor

# What stands for the initializer of a convention, which the file or the user chooses.
KERNEL, EMBEDDING, BIAS = "kernel", "embedding", "bias"


class Start(NamedTuple):
    """Say what a tensor is taken for: a noun for people, its initializer, its axes.

    `initializer` is a spec's; of a convention it is the name of what the convention decides, and
    None of what is kept. `more` are further keys of its entry.
    """

    noun: str
    initializer: Any
    axes: str | None = None
    is_convention: bool = False
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether it holds what is not randomly initialised."""
        return self.initializer is None


KEPT = Start("kept", None)
QUANTISED = Start("quantised weights", None)


class Subject(NamedTuple):
    """Hold a tensor, where it stands, and what else is there."""

    tensor: StoredTensor
    place: Place
    others: Surroundings

    @property
    def shape(self) -> Shape:
        """The tensor's shape."""
        return self.tensor.shape

    @property
    def leaf(self) -> str:
        """The tensor's own word."""
        return self.place.leaf

    def beside(self, leaf: str) -> Shape | None:
        """Return the shape of what has another word in the same layer."""
        return self.others.beside(self.place).get(leaf)

    def is_in(self, pattern: str, depth: int = 3) -> bool:
        """Tell whether one of the nearest words above matches an expression."""
        return any(re.search(pattern, word) for word in self.place.above[:depth])

    def named(self, ending: str) -> str:
        """Write the name of another tensor of the layer, for a spec."""
        return f"{{stem}}{self.place.separator}{ending}"


def start_of(subject: Subject) -> Start:
    """Say what a tensor is taken for."""
    for decide in _DECIDERS:
        if (found := decide(subject)) is not None:
            return found
    return Start("scales", "ones") if len(subject.shape) < 2 else _kernel(subject)


# --- What is kept ---

_FIXED = re.compile(
    r"(original_)?inv_freq|freqs(_cis|_cos|_sin)?|(cos|sin)_(cached|cache|table)|"
    r"(position|token_type|time)_ids?|relative_(position|coords)_(index|table)|rel_pos_(index|idx)|"
    r"(\w+_)?mask(_\w+)?(?<!_token)(?<!_embed)(?<!_embedding)|masked_bias|tril|pe|"
    r"(\w+_)?window|mel_(filters|basis)|filter_?banks?|filt|fbank|fb|blur_kernel|dct(_\w+)?|"
    r"stft_\w+|anchors?|anchor_(grid|points)|stride|grid(_\w+)?|"
    r"(\w+_)?alphas_cumprod(_prev)?|betas|sqrt_\w+|posterior_\w+|log_one_minus_\w+|timesteps|sigmas|"
    r"(pixel|image|data|norm)_(mean|std)|std|lora_magnitude_vector|(seed_generator_)?state|count|"
    r"quantiles|sobel\w*|gabor\w*|gaussian_kernel|laplacian\w*"
)
_COUNTERS = re.compile(r"num_batches_tracked")
# The words of what goes with quantised weights.
_QUANTISED = re.compile(
    r"qweight|qzeros|g_idx|weight_packed|(weight|input|output|kernel|embeddings)_(scale|zero_point)"
    r"(_inv)?|weight_shape|absmax|nested_absmax|(nested_)?quant_map|quant_state\S*|SCB|scb|"
    r"weight_format|W_q|qscales?|_packed_params|bitsandbytes\S*|zero_point"
)
_SCALES = re.compile(r"scales?|zeros|biases|zero_points?|perm")
_WEIGHTS = re.compile(r"(\w+_)?(weight|kernel|embeddings|w)|kernel_\d+")


def _fixed(s: Subject) -> Start | None:
    if _COUNTERS.fullmatch(s.leaf):
        return Start("counters", "zeros")
    if _QUANTISED.fullmatch(s.leaf) or (_SCALES.fullmatch(s.leaf) and _stands_by_integers(s)):
        return QUANTISED
    is_float = s.tensor.dtype in DTYPES
    if not is_float:
        integers = s.tensor.dtype.startswith(("int", "uint", "F4", "F6", "float8"))
        # int64 holds indices; what is smaller holds numbers.
        small = integers and s.tensor.dtype not in ("int64", "uint64") and len(s.shape) > 1
        return QUANTISED if small and _WEIGHTS.fullmatch(s.leaf) else KEPT
    if s.tensor.dtype.startswith("float8") and s.beside("weight_scale_inv") is not None:
        return QUANTISED
    if 0 in s.shape or _FIXED.fullmatch(s.leaf):
        return KEPT
    if s.leaf == "bias" and len(s.shape) == 4 and s.shape[:2] == (1, 1):
        return KEPT  # the causal mask of GPT-2's attention
    if s.is_in(r"^(scaling_layer|normalize|normalizer|normalization(_\d+)?|mean_shift)$", 1):
        constants = ("mean", "std", "var", "variance", "shift", "scale", "weight", "bias")
        return KEPT if s.leaf in constants else None
    if s.leaf == "alpha" and not s.shape and _has_lora(s):
        return KEPT
    return None


def _stands_by_integers(s: Subject) -> bool:
    words = s.others.beside(s.place)
    if any(_QUANTISED.fullmatch(word) for word in words):
        return True
    # MLX keeps weights, scales and biases of groups of columns.
    return {"weight", "scales", "biases"} <= set(words)


def _has_lora(s: Subject) -> bool:
    near = s.place.key
    return any(s.others.within(f"{near}{s.place.separator}{word}") for word in _LORA_WORDS)


# --- Adapters ---

_LORA_WORDS = ("lora_down", "lora_up", "lora_A", "lora_B")


def _adapter(s: Subject) -> Start | None:
    words = (s.leaf, *s.place.above[:2])
    if any(re.fullmatch(r"lora_(embedding_A|B|b|up)|lora_(kernel|embeddings)_b", w) for w in words):
        return Start("LoRA's second kernels", "zeros")
    if "lora_embedding_B" in words:
        return Start("LoRA's first kernels", {"name": "normal", "std": 1.0}, _matrix(s, "IO"))
    if any(re.fullmatch(r"lora_(kernel|embeddings)_a", word) for word in words):
        return Start("LoRA's first kernels", "he_uniform", _matrix(s, "IO"))
    if any(re.fullmatch(r"lora_(A|a|down)", word) for word in words):
        axes = "IO" if s.leaf == "lora_a" else "OI"
        return Start("LoRA's first kernels", _torch_kernel(), _matrix(s, axes))
    return Start("scales", "ones") if s.leaf.startswith("ia3_l") else None


def _torch_kernel() -> dict[str, Any]:
    return {"name": "kaiming_uniform", "a": "sqrt(5)"}


def _matrix(s: Subject, axes: str) -> str:
    """Return the axes of a matrix, or those of a convolution of the same order."""
    field = "DHW"[-(len(s.shape) - 2) :] if 2 < len(s.shape) < 6 else ""
    return f"{axes}{field}" if axes == "OI" else f"{field}{axes}"


# --- Norms of weights, and vectors of their power method ---


def _reparametrised(s: Subject) -> Start | None:
    stem = s.leaf.removesuffix("_g")
    direction = f"{stem}_v" if s.leaf.endswith("_g") else "original1"
    if (s.leaf.endswith("_g") or s.leaf == "original0") and s.beside(direction) is not None:
        return _norms(s, direction)
    if s.leaf in ("weight_u", "weight_v") and s.beside("weight_orig") is not None:
        return _singular(s, s.beside("weight_orig") or (), s.named("weight_orig"), "weight_u")
    if s.leaf in ("_u", "_v"):
        above = s.place.key.rpartition(s.place.separator)[0]
        original = s.others.within(above).get("original")
        if original is not None:
            name = f"{{stem.stem}}{s.place.separator}original"
            return _singular(s, original, name, "_u")
    if s.leaf in ("vector_u", "vector_v") or (s.leaf == "u" and s.beside("sigma") is not None):
        return Start("singular vectors", {"name": "truncated_normal", "stddev": 0.02})
    return None


def _norms(s: Subject, direction: str) -> Start | None:
    shape = s.beside(direction) or ()
    axes = [axis for axis, size in enumerate(s.shape) if size > 1]
    dim = axes[0] if axes else 0
    fits = len(axes) < 2 and len(s.shape) in (0, 1, len(shape))
    dim = dim if len(s.shape) > 1 else 0
    if not shape or not fits or math.prod(s.shape) not in (1, shape[dim]):
        return None
    value: dict[str, Any] = {"name": "norm_of", "tensor": s.named(direction)}
    if math.prod(s.shape) == 1 and shape[dim] > 1:
        value["dim"] = None
    elif len(s.shape) > 1 and dim:
        value["dim"] = dim
    return Start("norms of weights", value)


def _singular(s: Subject, shape: Shape, name: str, left: str) -> Start | None:
    if len(s.shape) != 1 or len(shape) < 2:
        return None
    rows = s.beside(left) or s.shape
    dims = [dim for dim in range(len(shape)) if (shape[dim],) == rows]
    side = "left" if s.leaf == left else "right"
    size = shape[dims[0]] if dims else 0
    if not dims or s.shape[0] != (size if side == "left" else math.prod(shape) // max(size, 1)):
        return None
    value: dict[str, Any] = {"name": "singular_vector_of", "tensor": name, "side": side}
    return Start("singular vectors", value | ({"dim": dims[0]} if dims[0] else {}))


# --- Recurrent layers ---

_TORCH_CELL = re.compile(r"(?P<what>weight|bias)_(?:ih|hh|hr)(?P<suffix>(_l\d+)?(_reverse)?)")


def _recurrent(s: Subject) -> Start | None:
    torch = _TORCH_CELL.fullmatch(s.leaf)
    if torch is not None:
        return _torch_cell(s, torch)
    if s.leaf in ("Wx", "Wh", "bias", "b", "bhn") and (hidden := s.beside("Wh")) is not None:
        return _by_hidden(s, hidden[-1] if hidden else 0, "OI")
    if re.fullmatch(r"recurrent_kernel|U(_[a-z])?", s.leaf) and len(s.shape) > 1:
        return Start("recurrent kernels", "orthogonal", _matrix(s, "IO"))
    if s.leaf == "kernel" and s.is_in(r"^h[a-z]$", 1) and len(s.shape) == 2:
        # Of Flax's cells: hi, hf, hg, ho, hr, hz, hn.
        return Start("recurrent kernels", "orthogonal", "IO")
    if s.leaf == "b_f" and s.beside("U_f") is not None:
        return Start("forget gates' biases", "ones")
    recurrent = s.beside("recurrent_kernel")
    if s.leaf == "bias" and recurrent is not None and len(recurrent) > 1:
        units, columns = recurrent[-2:]
        if columns == 4 * units and s.shape == (columns,):
            pieces = ["zeros", "ones", "zeros", "zeros"]
            return Start("LSTM biases", pieces, "O", more=(("fused", 4),))
        return Start("biases", "zeros")
    return None


def _torch_cell(s: Subject, match: re.Match[str]) -> Start | None:
    recurrent = s.beside(f"weight_hh{match['suffix']}")
    if recurrent is None or len(recurrent) != 2 or not all(recurrent):
        return None
    projected = s.beside(f"weight_hr{match['suffix']}") is not None
    gates = 4 if projected else recurrent[0] // recurrent[1]
    return _by_hidden(s, recurrent[0] // max(gates, 1), "OI")


def _by_hidden(s: Subject, hidden: int, axes: str) -> Start | None:
    if hidden < 1:
        return None
    limit = f"1/sqrt({hidden})"
    value = {"name": "uniform", "a": f"-{limit}", "b": limit}
    noun = "recurrent biases" if len(s.shape) < 2 else "recurrent kernels"
    return Start(noun, value, axes if len(s.shape) == 2 else None)


# --- Gates, activations, single numbers ---


def _constants(s: Subject) -> Start | None:
    leaf, rank = s.leaf, len(s.shape)
    if leaf == "logit_scale":
        value = "log(10)" if rank == 3 else "log(1/0.07)"
        return Start("logit scales", {"name": "constant", "value": value})
    if re.fullmatch(r"(res_?weights?|re_?zero\w*|skipinit_gain|residual_weight)", leaf) or (
        s.is_in(r"(?i)^re_?zero", 1) and rank < 2
    ):
        return Start("residual gates", "zeros")
    is_gate = math.prod(s.shape) == 1 and re.fullmatch(r"(\w+_)?(gate|alpha)", leaf)
    if is_gate and not s.is_in(r"(?i)p_?re_?lu", 1):
        return Start("residual gates", "zeros")
    if (scale := _layer_scale(s)) is not None:
        return Start("layer scales", {"name": "constant", "value": scale})
    if _is_prelu(s):
        if leaf in ("alpha", "alphas"):
            return Start("slopes", "zeros")
        slope = 0.01 if leaf == "negative_slope" else 0.25
        return Start("slopes", {"name": "constant", "value": slope})
    if leaf == "A_log" and rank == 2:
        return Start("state matrices", {"name": "by_index", "value": "log(axis1 + 1)"})
    if leaf == "A_log" and rank == 1:
        return Start("state matrices", {"name": "by_index", "value": "log(axis0 + 1)"})
    if leaf == "dt_bias" or (leaf == "bias" and s.is_in("^dt_proj$", 1)):
        return Start("step sizes", "inverse_softplus")
    return None


def _layer_scale(s: Subject) -> float | None:
    leaf = s.leaf
    if re.fullmatch(r"layer_?scale\w*", leaf) or s.is_in(r"^layer_?scale(_\d+)?$|_layer_scale$", 1):
        return None if leaf == "lambda1" else 1e-6
    if re.fullmatch(r"gamma_[123]|ls\d?_gamma", leaf) or s.is_in(r"^ls\d*$", 1):
        return 1e-5
    if re.fullmatch(r"lambda_[12]", leaf):
        return 0.1
    # ConvNeXt's gamma, in torch: alone, and of no norm.
    alone = not any(s.beside(word) for word in ("beta", "moving_mean", "running_mean", "bias"))
    is_norm = s.is_in("(?i)norm|^ln|^bn", 1)
    return 1e-6 if leaf == "gamma" and s.place.separator == "." and alone and not is_norm else None


def _is_prelu(s: Subject) -> bool:
    if s.leaf not in ("weight", "alpha", "alphas", "negative_slope"):
        return False
    if s.is_in(r"(?i)p_?re_?lu", 1):
        return True
    if s.leaf != "weight" or len(s.shape) != 1 or s.beside("bias") is not None:
        return False
    is_activation = re.fullmatch(r"(?i)(re_?lu|act|activation|nonlin\w*)_?\d*(_fn)?", s.place.layer)
    lone = bool(s.place.above) and s.place.above[0].isdigit() and s.shape == (1,)
    return is_activation is not None or lone


# --- Norms and biases ---


def _statistics(s: Subject) -> Start | None:
    leaf = s.leaf
    if leaf in ("running_mean", "moving_mean"):
        return Start("running means", "zeros")
    if leaf in ("running_var", "moving_variance", "moving_var", "running_std"):
        return Start("running variances", "ones")
    if s.is_in(r"^(mean|var)_ema$", 1):
        return Start("running means", "zeros")
    pair = {"mean": "var", "var": "mean"}.get(leaf)
    is_state = "batch_stats" in s.place.above or s.is_in(r"(?i)norm|^bn", 1)
    if pair is not None and s.beside(pair) is not None:
        if is_state or s.beside("scale") is not None or s.beside("bias") is not None:
            return Start("running means", "zeros") if leaf == "mean" else _VARIANCES
        return KEPT
    return KEPT if leaf == "mean" and not is_state else None


_VARIANCES = Start("running variances", "ones")
_IS_BIAS = re.compile(r"bias(es|_\w+|\d\w*)?|(\w+_)?bias(_\d+)?|b(_[a-z]|\d+)?|beta|offset")


def _bias(s: Subject) -> Start | None:
    rank = len(s.shape)
    if s.leaf in ("bias_table", "relative_position_bias_table"):
        return Start("embeddings", {"name": "normal", "std": 0.02}, None)
    if s.leaf == "gamma_or_beta":
        return Start("offsets", "zeros")
    if not _IS_BIAS.fullmatch(s.leaf) or (s.leaf == "offset" and rank != 1):
        return None
    for weight in ("weight", "weight_v", "weight_orig"):
        kernel = s.beside(weight)
        if s.leaf == "bias" and rank == 1 and kernel is not None and len(kernel) > 1:
            return _kernel_bias(s, weight)
    original = s.others.within(f"{s.place.key}.parametrizations.weight")
    for word in ("original1", "original"):
        if s.leaf == "bias" and rank == 1 and len(original.get(word, ())) > 1:
            return _kernel_bias(s, f"parametrizations.weight.{word}")
    return Start("biases", "zeros")


def _kernel_bias(s: Subject, weight: str) -> Start:
    """Start the bias of a kernel; that of attention, whose kernel is packed, is zeros in torch."""
    above = s.place.key.rpartition(s.place.separator)[0]
    if s.place.layer == "out_proj" and "in_proj_weight" in s.others.within(above):
        return Start("biases", "zeros")
    return Start("biases", BIAS, is_convention=True, more=(("fans_of", s.named(weight)),))


def _scale(s: Subject) -> Start | None:
    """Start what multiplies: a vector, or as large as what is added."""
    words = ("gamma", "scale", "g", "gain", "lambda1")
    is_weight = s.leaf == "weight" and s.beside("bias") == s.shape
    if s.leaf in words or (len(s.shape) == 1 and s.leaf in ("weight", "norm", "D")) or is_weight:
        return Start("scales", "ones")
    return None


# --- Tables and tokens ---

_TOKENS = re.compile(
    r"((cls|class|mask|dist|distillation|reg|register|query|sep|pad|null|pos|position(al)?|"
    r"absolute_pos|temporal|spatial|time|token|learned|storage|prompt|latent|object)_?)+"
    r"(tokens?|embed(ding)?s?|emb|queries|encoding)|latents|(\w+_)?pos_emb(ed)?(_\w+)?|rel_pos_[hw]"
)
_TABLES = re.compile(
    r"(?i)embed|(^|_)(emb|wte|wpe|vocab|lookup)(_|$)|^shared$|relative_attention_bias"
)
# A Linear, whatever stands before it.
_LINEAR = re.compile(r"(?i)^(linear|lin|proj(ection)?|fc|dense|conv|mlp|head|out)(_?\w*)$|^\d+$")
# Tables that start as small as Hugging Face's and GPT-2's do.
_SMALL = re.compile(
    r"(wte|wpe|shared|embed_(tokens|positions)|(\w+_)?(word|position|token_type|patch|token)_"
    r"embeddings?|tok_(embeddings|emb)|pos_emb|relative_attention_bias)"
)


def _table(s: Subject) -> Start | None:
    rank = len(s.shape)
    if _TOKENS.fullmatch(s.leaf) and 0 < rank < 5:
        # Axes of tokens mean nothing to their start.
        return Start("embeddings", {"name": "normal", "std": 0.02})
    if rank != 2 or s.beside("bias") is not None:
        return None
    if s.leaf in ("embeddings", "reverse_embeddings", "embedding", "position_embeddings"):
        return Start("embeddings", EMBEDDING, "IO", is_convention=True)
    nearest = s.place.layer
    weights = ("weight", "kernel", "w", "W")
    is_linear = bool(s.place.above) and _LINEAR.match(s.place.above[0]) is not None
    if s.leaf not in weights or s.leaf == "kernel" or is_linear:
        is_bare = s.leaf not in weights and _TABLES.search(s.leaf)
        return Start("embeddings", EMBEDDING, "IO", is_convention=True) if is_bare else None
    if not _TABLES.search(nearest):
        return None
    if _SMALL.fullmatch(nearest):
        return Start("embeddings", {"name": "normal", "std": 0.02}, "IO", is_convention=True)
    return Start("embeddings", EMBEDDING, "IO", is_convention=True)


# --- Kernels ---

_IN_OUT = re.compile(r"(\w+_)?kernel(_\d+)?|w(_[a-z])?|W(_[a-z])?")
_OUT_IN = re.compile(r"(\w+_)?weight(_\w+)?|original\d?|\w+_proj")
# Hugging Face's Conv1D, of GPT-2, holds (in, out).
_CONV_1D = re.compile(r"c_(attn|fc|proj)|q_attn")


def _attention(s: Subject) -> Start | None:
    if s.leaf == "in_proj_weight" and len(s.shape) == 2:
        return Start("kernels", "xavier_uniform", "OI")
    return None


def _kernel(s: Subject) -> Start:
    return Start("kernels", KERNEL, axes_of(s), is_convention=True)


def order_of(leaf: str) -> str | None:
    """Say in which order a kernel of that word has its axes, if the word says it."""
    if _IN_OUT.fullmatch(leaf):
        return "IO"
    return "OI" if _OUT_IN.fullmatch(leaf) else None


def axes_of(s: Subject) -> str | None:
    """Return the roles of a kernel's axes, with `OI` or `IO` or, where nothing says it, `??`."""
    rank, shape = len(s.shape), s.shape
    order = order_of(s.leaf)
    bias = s.beside("bias") or s.beside("b")
    if rank == 2:
        if bias is not None and len(bias) == 1 and shape[0] != shape[1]:
            order = {shape[0]: "OI", shape[1]: "IO"}.get(bias[0], order)
        elif s.leaf == "weight" and _CONV_1D.fullmatch(s.place.layer):
            order = "IO"
        return order or "??"
    if rank == 3:
        if bias is not None and len(bias) == 2 and bias[0] == shape[0]:
            return "B" + ("OI" if bias[1] == shape[1] != shape[2] else order or "IO")
        if any("expert" in word.lower() for word in (s.leaf, *s.place.above)):
            return "B" + (order or "??")
        if order == "IO" and s.is_in(r"^(query|key|value|q|k|v)(_dense)?$", 1):
            return "IOO"
        if order == "IO" and s.is_in(r"^(attention_)?(out|output)(_dense)?$", 1):
            return "IIO"
    field = "DHW"[-(rank - 2) :] if 2 < rank < 6 else "B" * (rank - 2)
    if order is None:
        return f"??{field}"
    return f"OI{field}" if order == "OI" else f"{field}IO"


_DECIDERS: tuple[Callable[[Subject], Start | None], ...] = (
    _fixed, _adapter, _reparametrised, _recurrent, _constants, _statistics, _attention, _table,
    _bias, _scale,
)  # fmt: skip


def starts_of(tensors: list[StoredTensor], labels: dict[str, str]) -> Iterator[Start]:
    """Say of each tensor of a file what it is taken for."""
    others = Surroundings(tensors, labels)
    for tensor in tensors:
        yield start_of(Subject(tensor, others.places[tensor.name], others))
