"""A spec as YAML that people like to read: one line for each layer or tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from glorot_cli.spec.source import plain_scalar


class _Dumper(yaml.SafeDumper):
    """Quote what YAML 1.2 would read as another type, and nothing more than that needs."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    looks_like_text = text != "" and isinstance(plain_scalar(text), str)
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if looks_like_text else '"'
    )


_Dumper.add_representer(str, _represent_text)


def spec_text(spec: Mapping[str, Any], comments: tuple[str, ...] = ()) -> str:
    """Write a spec as YAML, with comment lines at its head."""
    lines = [f"# {line}".rstrip() for line in comments]
    for key, value in spec.items():
        if key in ("layers", "tensors", "initializers") and value:
            lines += [f"{key}:", *_block(value, "  ")]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _block(value: Any, indent: str) -> Iterator[str]:
    """Write the entries of a list or a mapping, one a line, and groups and models as blocks."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{indent}{_flow(key)}: {_flow(item)}"
        return
    for item in value:
        nested = next((key for key in ("layers", "entries") if key in item), None)
        if nested is None:
            marks = list(_block(item, "")) if _is_tensors(item) else [_flow(item)]
            yield f"{indent}- {marks[0]}"
            yield from (f"{indent}  {line}" for line in marks[1:])
            continue
        head = True
        for key, part in item.items():
            start = f"{indent}- " if head else f"{indent}  "
            head = False
            if key == nested:
                yield f"{start}{key}:"
                yield from _block(part, indent + "    ")
            else:
                yield f"{start}{key}: {_flow(part)}"


def _is_tensors(item: Mapping[str, Any]) -> bool:
    return "type" not in item and "shared" not in item and len(item) > 1


def _flow(value: Any) -> str:
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return text.removesuffix("\n").removesuffix("\n...")
