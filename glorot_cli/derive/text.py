"""A spec as YAML that people like to read: one line for each layer or tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from glorot_cli.errors import printable
from glorot_cli.repeats import STAMPS
from glorot_cli.spec.scalars import plain_scalar

# What stands first in a spec, and in an entry.
_TOP = (
    "seed", "rng", "dialect", "dtype", "fans", "params", "dims", "input_shape", "inputs", "outputs",
    "initializers", "layers", "tensors", "torch", "draws",
)  # fmt: skip
_HEAD = ("type", "shared", "name", "shape", "axes")
# YAML's own limit for a key that needs no mark is 1024.
_LONGEST_KEY = 1000


class _Dumper(yaml.SafeDumper):
    """Quote what YAML 1.2 would read as another type, and nothing more than that needs."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write out what stands twice, without anchors."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_plain = text != "" and text.isprintable() and isinstance(plain_scalar(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)


def spec_text(spec: Mapping[str, Any], comments: tuple[str, ...] = ()) -> str:
    """Write a spec as YAML, with comment lines at its head."""
    lines = [f"# {line}".rstrip() for line in comments]
    for key, value in _first(spec, _TOP):
        if key in ("layers", "tensors", "initializers", "draws") and value:
            lines += [f"{key}:", *_block(value, "  ")]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _block(value: Any, indent: str) -> Iterator[str]:
    """Write the entries of a list or a mapping one a line, and what holds entries as a block."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            text = _flow(key)
            if len(text) > _LONGEST_KEY:
                yield f"{indent}? {text}"
                text = ""
            yield f"{indent}{text}: {_flow(_ordered(item))}"
        return
    for item in value:
        nested = next((key for key in ("layers", "entries") if _is_nested(item, key)), None)
        if nested is None:
            marks = list(_block(item, "")) if _is_lines(item) else [_flow(_ordered(item))]
            yield f"{indent}- {marks[0]}"
            yield from (f"{indent}  {line}" for line in marks[1:])
            continue
        head = True
        for key, part in _first(item, (*STAMPS, *_HEAD)):
            start = f"{indent}- " if head else f"{indent}  "
            head = False
            if key == nested:
                yield f"{start}{key}:"
                yield from _block(part, indent + "    ")
            else:
                yield f"{start}{key}: {_flow(part)}"


def _is_nested(item: Mapping[str, Any], key: str) -> bool:
    """Tell whether a key of a group or a model holds its entries, and is no tensor's name."""
    return not {*STAMPS, "type"}.isdisjoint(item) and bool(item.get(key))


def _is_lines(item: Mapping[str, Any]) -> bool:
    if "type" in item or "shared" in item or isinstance(item.get("draw"), str):
        return False
    return bool(item)


def _first(mapping: Mapping[str, Any], keys: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Order the items of a mapping by what people look for first."""
    rank = {key: index for index, key in enumerate(keys)}
    return sorted(mapping.items(), key=lambda item: rank.get(item[0], len(rank)))


def _ordered(value: Any) -> Any:
    """Order the keys of layers, tensors and initializers; other mappings have an order already."""
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    is_entry = isinstance(value.get("shape"), list) or any(
        isinstance(value.get(key), str) for key in ("type", "shared", "name")
    )
    items = _first(value, _HEAD) if is_entry else value.items()
    return {key: item if key in STAMPS else _ordered(item) for key, item in items}


def _flow(value: Any) -> str:
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    # YAML takes more as it is than a terminal should; all of that stands in quotes here.
    return printable(text.removesuffix("\n").removesuffix("\n..."))
