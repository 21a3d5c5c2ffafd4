"""Each recipe of docs/recipes.md against its formula, written here a second time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import glorot_cli as glorot
from glorot_cli.distributions import Constant, Normal, Uniform
from tests.test_starts import STARTS

RECIPES = Path(__file__).parent.parent / "docs" / "recipes.md"
_RECIPE = re.compile(r"<!-- recipe: (\w+) -->\n```yaml\n(.*?)```\n", re.DOTALL)

# A law by name, and its stddev, limit or value for a layer's index (0 where the name has none).
Formula = tuple[type[Normal] | type[Uniform] | type[Constant], Callable[[int], float]]


def normal(std: float) -> Formula:
    """Expect a normal law."""
    return Normal, lambda layer: std


def uniform(limit: Callable[[int], float] | float) -> Formula:
    """Expect a symmetric uniform law."""
    return Uniform, limit if callable(limit) else lambda layer: limit


def constant(value: float) -> Formula:
    """Expect one value."""
    return Constant, lambda layer: value


def xavier(fan_in: int, fan_out: int, gain: float = 1.0) -> float:
    """Return the stddev of Glorot and Bengio (2010)."""
    return gain * math.sqrt(2 / (fan_in + fan_out))


def xavier_limit(fan_in: int, fan_out: int, gain: float = 1.0) -> float:
    """Return the limit of Glorot and Bengio (2010)."""
    return gain * math.sqrt(6 / (fan_in + fan_out))


def t_fixup(gain: float) -> dict[str, Formula]:
    """Expect T-Fixup's half of a transformer of width 64, without its prefix."""
    return {
        r"\w+_attn\.[qk]_proj\.weight": uniform(xavier_limit(64, 64)),
        r"\w+_attn\.(v|out)_proj\.weight": uniform(xavier_limit(64, 64, gain)),
        r"fc[12]\.weight": uniform(xavier_limit(64, 256, gain)),
    }


# For each recipe, a pattern of the whole name; its group `i`, if it has one, is the layer's index.
# A tensor must match exactly one.
EXPECTED: Mapping[str, Mapping[str, Formula]] = {
    "gpt2": {
        r"h\.\d\.ln_1\.weight": constant(1),
        r"h\.\d\.mlp\.c_proj\.bias": constant(0),
        r"h\.\d\.(attn|mlp)\.c_proj\.weight": normal(0.02 * (2 * 4) ** -0.5),
        r"h\.\d\.(attn\.c_attn|mlp\.c_fc)\.weight": normal(0.02),
    },
    "small_init": {r".*": normal(xavier(64, 4 * 64))},
    "wang_init": {
        r".*\.(attention\.dense|dense_4h_to_h)\.weight": normal(2 / 4 / 64**0.5),
        r".*\.(query_key_value|dense_h_to_4h)\.weight": normal((2 / (5 * 64)) ** 0.5),
    },
    "t5": {
        r"shared\.weight": normal(1.0),
        r".*\.q\.weight": normal((64 * 16) ** -0.5),
        r".*\.[kv]\.weight": normal(64**-0.5),
        r".*\.o\.weight": normal((6 * 16) ** -0.5),
        r".*\.wi\.weight": normal(64**-0.5),
        r".*\.wo\.weight": normal(256**-0.5),
        r".*\.relative_attention_bias\.weight": normal(64**-0.5),
        r".*layer_norm\.weight": constant(1),
    },
    "ds_init": {
        r"encoder\.(?P<i>\d)\.attention\.(qkv|out)": uniform(
            lambda layer: (layer + 1) ** -0.5 * xavier_limit(64, 64)
        ),
        r"encoder\.(?P<i>\d)\.ffn\.(in|out)": uniform(
            lambda layer: (layer + 1) ** -0.5 * xavier_limit(64, 256)
        ),
    },
    "mup": {
        r"embed\.weight": normal(0.02),
        r"layers\..*": normal(0.02 * (256 / 64) ** -0.5),
        r"lm_head\.weight": normal(0.02 / (256 / 64)),
    },
    "fixup": {
        r"layer\.\d\.conv1\.weight": normal(math.sqrt(2 / (16 * 3 * 3)) * 9 ** (-1 / (2 * 2 - 2))),
        r"layer\.\d\.(conv2\.weight|bias1a|bias1b|bias2a|bias2b)": constant(0),
        r"layer\.\d\.scale": constant(1),
        r"fc\.(weight|bias)": constant(0),
    },
    "t_fixup": {
        r"embed\.weight": normal(64**-0.5 * (9 * 4) ** -0.25),
        **{rf"encoder\.\d\.{k}": v for k, v in t_fixup(0.67 * 4**-0.25).items()},
        **{rf"decoder\.\d\.{k}": v for k, v in t_fixup((9 * 4) ** -0.25).items()},
    },
    "deepnorm": {
        r"layers\.\d+\.self_attn\.[qk]_proj\.weight": normal(xavier(64, 64)),
        r"layers\.\d+\.self_attn\.(v|out)_proj\.weight": normal(xavier(64, 64, (8 * 18) ** -0.25)),
        r"layers\.\d+\.fc[12]\.weight": normal(xavier(64, 256, (8 * 18) ** -0.25)),
    },
}


def recipes() -> dict[str, str]:
    """Return each recipe's spec by its name."""
    return dict(_RECIPE.findall(RECIPES.read_text("utf-8")))


def tensors(name: str, folder: Path) -> Iterator[glorot.PlannedTensor]:
    """Plan a recipe as a user would: from a file."""
    path = folder / f"{name}.yaml"
    path.write_text(recipes()[name], "utf-8")
    yield from glorot.make_plan(glorot.load_spec(path)).tensors


def test_every_yaml_block_is_a_recipe_with_a_formula() -> None:
    assert list(recipes()) == [*EXPECTED, *STARTS]
    assert RECIPES.read_text("utf-8").count("```yaml") == len(EXPECTED) + len(STARTS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recipe_is_its_formula(name: str, tmp_path: Path) -> None:
    used = set()
    for tensor in tensors(name, tmp_path):
        matches = {
            pattern: found
            for pattern in EXPECTED[name]
            if (found := re.fullmatch(pattern, tensor.name))
        }
        ((pattern, found),) = matches.items()
        used.add(pattern)
        law, formula = EXPECTED[name][pattern]
        expected = formula(int(found.groupdict().get("i", 0)))
        match tensor.distribution:
            case Normal(centre=0.0, stddev=scale) | Constant(value=scale):
                pass
            case Uniform(limit=float(scale)):
                pass
            case other:
                pytest.fail(f"{tensor.name}: {other}")
        assert type(tensor.distribution) is law, tensor.name
        assert scale == pytest.approx(expected, rel=1e-12, abs=0.0), tensor.name
    assert used == set(EXPECTED[name])
