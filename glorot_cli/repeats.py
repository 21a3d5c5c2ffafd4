"""Dims, repeated entries and groups: what a short text stamps out, entry by entry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from glorot_cli.arguments import checked_size
from glorot_cli.errors import GlorotError, KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names, UnknownNameError, evaluate_integer

MOST_ENTRIES = 1_000_000
# Of the names of a plan's tensors together.
LARGEST_NAMES = 64 << 20
MOST_DIMS = 1000
# Nobody needs more, and each is a level of recursion.
MOST_INDICES = 32
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Stamped(NamedTuple):
    """Hold an entry as it was stamped out.

    `name` has its indices filled in, `family` not; `names` are the dims and indices that its
    expressions may use; `source` is what the spec has for all its repetitions. A layer may have no
    name.
    """

    item: dict[str, Any]
    source: object
    name: str | None
    family: str | None
    path: KeyPath
    names: Names


def evaluate_dims(dims: object, overrides: Mapping[str, object]) -> dict[str, int]:
    """Evaluate named sizes in order, each by the ones before it.

    Raises:
        SpecError: at the dim that is not a size, or for an override of none.
    """
    if not isinstance(dims, Mapping) or len(dims) > MOST_DIMS:
        raise SpecError(
            f"expected a mapping of at most {MOST_DIMS} names to sizes, found {shown(dims)}",
            ("dims",),
        )
    for name in overrides:
        if name not in dims:
            hint = suggestion(name, dims) if dims else "the spec has none"
            raise GlorotError(f"--set {name}: there is no such dim; {hint}")
    known: dict[str, int] = {}
    for name, size in dims.items():
        path = ("dims", name)
        check_identifier(name, path)
        try:
            known[name] = checked_size(overrides.get(name, size), known)
        except UnknownNameError as error:
            message = str(error)
            if error.name == name:
                message = f"{name!r} is made of itself; a dim may use only those before it"
            elif error.name in dims:
                message = (
                    f"{error.name!r} stands after {name!r}; a dim may use only those before it"
                )
            raise SpecError(message, path) from None
        except ValueError as error:
            raise SpecError(str(error), path) from None
    return known


def stamp_layers(items: object, names: Names, path: KeyPath = ("layers",)) -> Iterator[Stamped]:
    """Stamp out a list of layers and groups of layers, which `path` leads to.

    Raises:
        SpecError: at the entry or the repeat that makes no sense.
    """
    return _counted(_layers(items, path, names))


def stamp_tensors(items: object, names: Names) -> Iterator[Stamped]:
    """Stamp out a mapping of tensors, or a list of mappings and groups.

    Raises:
        SpecError: at the entry or the repeat that makes no sense.
    """
    return _counted(_tensors(items, ("tensors",), names))


def _counted(entries: Iterator[Stamped]) -> Iterator[Stamped]:
    for count, entry in enumerate(entries):
        if count >= MOST_ENTRIES:
            raise SpecError(f"expected at most {MOST_ENTRIES} entries once repeated", entry.path)
        yield entry


def _layers(items: object, path: KeyPath, names: Names) -> Iterator[Stamped]:
    if not isinstance(items, list):
        raise SpecError(f"expected a list of layers, found {shown(items)}", path)
    for index, item in enumerate(items):
        here = (*path, index)
        if not isinstance(item, Mapping):
            raise SpecError(f"expected a layer as a mapping, found {shown(item)}", here)
        if "entries" in item:
            yield from _group(item, here, names, _layers)
            continue
        family = item.get("name")
        rest = {key: value for key, value in item.items() if key != "repeat"}
        for inner in _repetitions(item.get("repeat"), names, here):
            name = family
            if isinstance(family, str):
                name = fill_name(family, inner, (*here, "name"))
                rest = {**rest, "name": name}
            yield Stamped(rest, item, name, family, here, inner)


def _tensors(items: object, path: KeyPath, names: Names) -> Iterator[Stamped]:
    if isinstance(items, list):
        for index, item in enumerate(items):
            here = (*path, index)
            if isinstance(item, Mapping) and "entries" in item:
                yield from _group(item, here, names, _tensors)
            else:
                yield from _tensors(item, here, names)
        return
    if not isinstance(items, Mapping):
        raise SpecError(f"expected a mapping of name to tensor, found {shown(items)}", path)
    for family, item in items.items():
        here = (*path, family)
        if family in ("repeat", "entries"):
            message = f"no tensor may be named {family!r}; a group stands in a list of tensors"
            raise SpecError(message, here, at_key=True)
        if not isinstance(item, Mapping):
            raise SpecError(f"expected a tensor as a mapping, found {shown(item)}", here)
        rest = {key: value for key, value in item.items() if key != "repeat"}
        for inner in _repetitions(item.get("repeat"), names, here):
            name = fill_name(family, inner, here, at_key=True)
            yield Stamped(rest, item, name, family, here, inner)


def _group(
    item: Mapping[str, Any],
    path: KeyPath,
    names: Names,
    stamp: Callable[[object, KeyPath, Names], Iterator[Stamped]],
) -> Iterator[Stamped]:
    for key in item:
        if key not in ("repeat", "entries"):
            raise SpecError(
                "a group has repeat and entries only; this key belongs to an entry",
                (*path, key),
                at_key=True,
            )
    if item.get("repeat") is None:
        raise SpecError("a group needs 'repeat', which is missing", path)
    for inner in _repetitions(item["repeat"], names, path):
        entry = None
        for entry in stamp(item["entries"], (*path, "entries"), inner):
            yield entry
        # Nothing bounds a repeat of nothing.
        if entry is None:
            raise SpecError("expected entries to repeat, found none", (*path, "entries"))


def _repetitions(repeat: object, names: Names, path: KeyPath) -> Iterator[Names]:
    if repeat is None:
        yield names
        return
    path = (*path, "repeat")
    if not isinstance(repeat, Mapping) or not repeat:
        raise SpecError(f"expected a mapping such as {{i: layers}}, found {shown(repeat)}", path)
    if len(repeat) > MOST_INDICES:
        raise SpecError(f"expected at most {MOST_INDICES} indices, found {len(repeat)}", path)
    (index, bounds), *rest = repeat.items()
    check_identifier(index, (*path, index))
    if index in names:
        raise SpecError(
            f"the index {index!r} is the name of a dim or of an outer index; choose another",
            (*path, index),
            at_key=True,
        )
    for value in _range(bounds, names, (*path, index)):
        inner = {**names, index: value}
        if rest:
            yield from _repetitions(dict(rest), inner, path[:-1])
        else:
            yield inner


def repetitions_of(bounds: object, names: Names, path: KeyPath) -> int:
    """Count the values of an index.

    Raises:
        SpecError: if its bounds make no sense, or depend on what `names` lacks.
    """
    return len(_range(bounds, names, path))


def _range(bounds: object, names: Names, path: KeyPath) -> range:
    parts = bounds if isinstance(bounds, list) else [0, bounds]
    try:
        if not 2 <= len(parts) <= 3:
            raise ValueError(
                f"expected n, [start, stop] or [start, stop, step], found {shown(parts)}"
            )
        numbers = [_bound(part, names) for part in parts]
        if len(numbers) == 3 and numbers[2] == 0:
            raise ValueError("expected a step other than 0")
    except ValueError as error:
        raise SpecError(str(error), path) from None
    found = range(*numbers)
    if not found:
        raise SpecError(f"{shown(bounds)} repeats nothing", path)
    # len() would overflow.
    count = -(-(found.stop - found.start) // found.step)
    if count > MOST_ENTRIES:
        raise SpecError(f"expected at most {MOST_ENTRIES} repetitions, found {shown(count)}", path)
    return found


def _bound(value: object, names: Names) -> int:
    if isinstance(value, str):
        return evaluate_integer(value, names)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer or an expression, found {shown(value)}")
    return value


def fill_name(template: str, names: Names, path: KeyPath, *, at_key: bool = False) -> str:
    """Fill the indices into a name such as `h.{i}.weight`.

    Raises:
        SpecError: if a brace holds no known index.
    """
    if "{" not in template and "}" not in template:
        return template

    # Most names have one index or two, which this fills ten times faster than the pattern below.
    filled = template
    for name, index in names.items():
        filled = filled.replace(f"{{{name}}}", str(index))
    if "{" not in filled and "}" not in filled:
        return filled

    def value(match: re.Match[str]) -> str:
        if match[1] not in names:
            hint = f"known: {', '.join(names)}" if names else "the entry has no repeat"
            raise SpecError(f"{{{match[1]}}} is no index; {hint}", path, at_key=at_key)
        return str(names[match[1]])

    filled = re.sub(r"\{([^{}]*)\}", value, template)
    if "{" in filled or "}" in filled:
        raise SpecError("expected indices in pairs of braces, such as h.{i}", path, at_key=at_key)
    return filled


def check_identifier(name: object, path: KeyPath, *, at_key: bool = True) -> None:
    """Check a name that expressions may use.

    Raises:
        SpecError: if it is none.
    """
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise SpecError(
            f"expected a name of letters, digits and _, found {shown(name)}", path, at_key=at_key
        )
