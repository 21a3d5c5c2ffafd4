"""The plainest forms of a spec, names and shapes, written out as the forms that all else reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from glorot_cli.errors import KeyPath, SpecError, pointer_hint, shown
from glorot_cli.spec.composer import Marks
from glorot_cli.spec.source import Source

# What a spec says of itself: neither its plan nor the bytes of a file depend on it.
DESCRIPTION = ("name", "description", "$schema")


def describes(key: object) -> bool:
    """Tell whether a key at the top decides nothing."""
    return key in DESCRIPTION or (isinstance(key, str) and key.startswith("x-"))


def written_out(source: Source, keys: Collection[str], overrides: Mapping[str, Any]) -> Source:
    """Return a spec whose layers are a list and whose tensors are mappings, with `overrides`.

    `keys` are those of a spec: a mapping without any of them may be one of names to shapes.

    Raises:
        SpecError: if it is no mapping, or a spec and a mapping of names to shapes at once.
    """
    if not isinstance(source.data, Mapping):
        hint = pointer_hint(source.data) if isinstance(source.data, str) else None
        found = f"expected a mapping with layers or tensors, found {shown(source.data)}"
        raise SpecError(hint or found)
    data, marks = _top(source.data, source.marks, keys)
    data |= overrides
    if marks is not None:
        marks = Marks(marks.start, dict(marks.keys), dict(marks.values))
    for key, form in (("layers", _layers), ("tensors", _tensors)):
        if key in data:
            inner = None if marks is None else marks.values.get(key)
            data[key], inner = form(data[key], inner, (key,))
            if marks is not None and inner is not None:
                marks.values[key] = inner
    return source._replace(data=data, marks=marks)


def _top(
    given: Mapping[str, Any], marks: Marks | None, keys: Collection[str]
) -> tuple[dict[str, Any], Marks | None]:
    """Leave out what describes a spec, and put a mapping of names to shapes at `tensors`."""
    data = {key: value for key, value in given.items() if not describes(key)}
    has_shape = [key for key, value in data.items() if _is_shape(value)]
    spec_keys = [key for key in data if key in keys]
    is_whole = len(has_shape) == len(data) and any(not isinstance(data[k], int) for k in has_shape)
    if is_whole and not spec_keys:
        has_shape = [key for key in given if describes(key) and _is_shape(given[key])]
        data = {"tensors": data}
        marks = marks and Marks(marks.start, {"tensors": marks.start}, {"tensors": marks})
    for key in has_shape:
        if key not in keys and not isinstance(given[key], int):
            raise SpecError(
                f"expected a key of a spec; put {shown(key)} and its shape under tensors",
                (key,),
                at_key=True,
            )
    return data, marks


def _is_shape(value: object) -> bool:
    """Tell whether a value is a list of numbers, or an integer for a list of one."""
    if isinstance(value, list | tuple):
        return all(isinstance(item, int | float) for item in value)
    return isinstance(value, int) and not isinstance(value, bool)


Form = tuple[Any, Marks | None]
Writer = Callable[[Any, Marks | None, KeyPath], Form]


def _layers(value: Any, marks: Marks | None, path: KeyPath) -> Form:
    """Write a mapping of layers as a list of layers with names, also within groups."""
    if isinstance(value, Mapping) and value and not _is_group(value):
        items = [_layer(name, item, marks, (*path, name)) for name, item in value.items()]
        return [item for item, _ in items], _listed(marks, [inner for _, inner in items])
    if not isinstance(value, list):
        return value, marks
    return _items(value, marks, path, _layers)


def _layer(name: str, value: Any, outer: Marks | None, path: KeyPath) -> Form:
    marks = None if outer is None else outer.values[name]
    if isinstance(value, list | tuple):
        value, marks = _shaped(value, marks)
    if not isinstance(value, Mapping):
        raise SpecError(f"expected a layer as a mapping, or its shape, found {shown(value)}", path)
    if "name" in value:
        raise SpecError(
            f"the layer is named {shown(name)} by its key; leave its name out",
            (*path, "name"),
            at_key=True,
        )
    if outer is not None and marks is not None:
        named = Marks(outer.keys[name])
        marks = Marks(
            marks.start, {**marks.keys, "name": named.start}, {**marks.values, "name": named}
        )
    return {"name": name, **value}, marks


def _tensors(value: Any, marks: Marks | None, path: KeyPath) -> Form:
    """Write an entry with a name as a mapping of the name to the entry, and a shape as an entry."""
    if isinstance(value, list):
        return _items(value, marks, path, _tensors)
    if not isinstance(value, Mapping):
        return value, marks
    name = value.get("name")
    if isinstance(name, int) and "shape" in value:
        raise SpecError(f"expected the name of a tensor, found {shown(name)}", (*path, "name"))
    if isinstance(name, str):
        entry = {key: item for key, item in value.items() if key != "name"}
        if marks is not None:
            marks = Marks(marks.start, {name: marks.values["name"].start}, {name: marks})
        return {name: entry}, marks
    data = dict(value)
    if marks is not None:
        marks = Marks(marks.start, marks.keys, dict(marks.values))
    for name, item in value.items():
        if isinstance(item, list | tuple | int) and not isinstance(item, bool):
            data[name], inner = _shaped(item, None if marks is None else marks.values[name])
            if marks is not None and inner is not None:
                marks.values[name] = inner
    return data, marks


def _shaped(shape: Any, marks: Marks | None) -> Form:
    """Write a shape as an entry."""
    return {"shape": shape}, marks and Marks(marks.start, {"shape": marks.start}, {"shape": marks})


def _is_group(value: object) -> bool:
    return isinstance(value, Mapping) and "entries" in value


def _items(items: list[Any], marks: Marks | None, path: KeyPath, form: Writer) -> Form:
    """Write out the groups of a list, and the tensors beside them."""
    found: list[Form] = []
    for index, item in enumerate(items):
        inner, here = None if marks is None else marks.values[index], (*path, index)
        if _is_group(item):
            within = None if inner is None else inner.values["entries"]
            entries, within = form(item["entries"], within, (*here, "entries"))
            if inner is not None and within is not None:
                inner = Marks(inner.start, inner.keys, {**inner.values, "entries": within})
            found.append(({**item, "entries": entries}, inner))
        else:
            found.append((item, inner) if form is _layers else form(item, inner, here))
    return [item for item, _ in found], _listed(marks, [inner for _, inner in found])


def _listed(marks: Marks | None, items: list[Marks | None]) -> Marks | None:
    """Return the marks of a list of items that may have stood in a mapping."""
    if marks is None:
        return None
    found = Marks(marks.start)
    for index, inner in enumerate(items):
        if inner is not None:
            found.keys[index] = inner.start
            found.values[index] = inner
    return found


def names_initializer(data: Mapping[str, Any]) -> bool:
    """Tell whether a spec names an initializer anywhere."""
    if data.get("initializer") or data.get("initializers"):
        return True
    stack: list[Any] = [data.get("layers"), data.get("tensors")]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if isinstance(key, str) and key.endswith(("initializer", "initializers")):
                    is_entry = isinstance(item, Mapping) and "shape" in item
                    if item and isinstance(item, str | Mapping) and not is_entry:
                        return True
                stack.append(item)
    return False
