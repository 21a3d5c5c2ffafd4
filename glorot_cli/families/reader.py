"""A family and a config.json to a plain spec: the one place that knows what a family file means.

A family is a table of configuration keys and a spec; docs/huggingface.md says how to write one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from glorot_cli.errors import GlorotError, KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Value, evaluate, evaluate_condition
from glorot_cli.families.config import REFUSED, ModelConfig
from glorot_cli.params import evaluate_params, written_param
from glorot_cli.repeats import fill_name
from glorot_cli.spec.source import LARGEST_TEXT, Source, parse

# What a family has besides its spec, and what a model type has besides values of keys and traits.
_TABLES = (
    "defaults", "traits", "model_types", "only", "aliases", "sections", "architectures",
    "architecture", "refuse", "tiny",
)  # fmt: skip
_OF_A_TYPE = ("names", "aliases", "sections", "architecture", "refuse", "tiny")
_DEFAULT_ARCHITECTURE = "ForCausalLM"
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Family:
    """Hold a family as it applies to one model type: what stands there overrides the file's."""

    source: Source
    model_type: str
    defaults: Mapping[str, Any]
    traits: Mapping[str, Any]
    unread: frozenset[str]
    names: Mapping[str, str]
    aliases: Mapping[str, str]
    sections: Mapping[str, str]
    architectures: Mapping[str, Mapping[str, Any]]
    architecture: str
    refuse: Mapping[str, str]
    tiny: Mapping[str, Any]
    spec: Mapping[str, Any]

    def reads(self, key: str) -> bool:
        """Tell whether the type's class reads a key: others of the family may be alone in that."""
        return key not in self.unread

    def places(self, key: str) -> list[str]:
        """Give the dotted places in a configuration that may hold a key, the best first.

        An alias comes before the key itself: transformers sets it later.
        """
        aliases = [old for old, new in self.aliases.items() if new == key]
        inside = [_inside(section, old) for old in aliases for section in self.sections.values()]
        return [*inside, *aliases, *self._own_places(key)]

    def _own_places(self, key: str) -> list[str]:
        key = self.names.get(key, key)
        inside = [
            _inside(section, key.removeprefix(prefix))
            for prefix, section in self.sections.items()
            if key.startswith(prefix)
        ]
        return [*inside, key] if not inside or "" in self.sections else inside

    def settings(self, config: ModelConfig, key: str, value: Value) -> dict[str, Value]:
        """Return the settings that give a key a value, wherever the configuration has it."""
        there = [place for place in self.places(key) if config.get(place)[0]]
        return dict.fromkeys(there or self._own_places(key)[:1], value)

    def with_aliases(self, config: ModelConfig, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings of keys, and of the other names that a configuration has for these."""
        found = dict(given)
        for key in filter(self.reads, self.defaults):
            for place in given.keys() & set(self.places(key)):
                others = self.settings(config, key, given[place])
                found |= {other: value for other, value in others.items() if other not in given}
        return found


def _inside(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def known_types() -> dict[str, str]:
    """Return the model types of all families, and the file that each stands in."""
    folder = resources.files(__package__)
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".yaml")), key=str)
    return {
        name.strip("\"'"): each.name
        for each in files
        for name in _model_types(each.read_text("utf-8"))
    }


# Each model type starts a line of its own, so that no other family has to be parsed.
_TYPE = re.compile(r"^  (\"[^\"\n]+\"|[\w.-]+):", re.MULTILINE)


def _model_types(text: str) -> list[str]:
    start = text.index("\nmodel_types:\n") + len("\nmodel_types:\n")
    end = re.compile(r"^\S", re.MULTILINE).search(text, start)
    return _TYPE.findall(text, start, end.start() if end else len(text))


def family_of(config: ModelConfig, own: Path | None = None) -> Family:
    """Return the family of a configuration's model type, from the user's own file if given.

    Raises:
        GlorotError: if no family knows the type, or the file is no family.
    """
    kind = config.model_type
    if own is not None:
        source = _read(own)
        known: Mapping[str, Any] = _mapping(source, "model_types")
    else:
        known = known_types()
        if kind in known:
            file = resources.files(__package__).joinpath(known[kind])
            source = parse(file.read_text("utf-8"), f"families/{known[kind]}")
    if kind not in known:
        where = f"{own} has" if own is not None else "there is"
        raise config.refused(
            f"{where} no family for {shown(kind)}: give your own with --family FILE, a weight file "
            "instead of the configuration, or the spec that glorot record writes of the model; "
            f"{_nearest(kind, known)}",
            "model_type",
        )
    return _family(source, kind)


def _nearest(kind: str, known: Mapping[str, Any]) -> str:
    return suggestion(kind, known, listed=12)


def _read(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_TEXT + 1)
        return parse(raw.decode("utf-8-sig"), str(path))
    except OSError as error:
        raise GlorotError(f"cannot read the family {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GlorotError(f"{path}: expected UTF-8 text") from None


def _mapping(source: Source, *path: str) -> Mapping[str, Any]:
    found: Any = source.data
    for key in path:
        found = found.get(key, {}) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise source.located(SpecError(f"expected a mapping, found {shown(found)}", path))
    return found


def _family(source: Source, kind: str) -> Family:
    data = _mapping(source)
    own = _mapping(source, "model_types", kind)
    tables = {
        key: {**_mapping(source, key), **_mapping(source, "model_types", kind, key)}
        for key in ("aliases", "sections", "refuse", "tiny")
    }
    values = {key: value for key, value in own.items() if key not in _OF_A_TYPE}
    defaults, traits = _mapping(source, "defaults"), _mapping(source, "traits")
    for key in values:
        if key not in defaults and key not in traits:
            error = SpecError(
                f"no key of defaults or traits; {suggestion(key, [*defaults, *traits])}",
                ("model_types", kind, key),
                at_key=True,
            )
            raise source.located(error)
    architecture = own.get("architecture", data.get("architecture", _DEFAULT_ARCHITECTURE))
    if not isinstance(architecture, str):
        error = SpecError(f"expected a class, found {shown(architecture)}", ("architecture",))
        raise source.located(error)
    return Family(
        source,
        kind,
        {key: values.get(key, value) for key, value in defaults.items()},
        {key: values.get(key, value) for key, value in traits.items()},
        frozenset(key for key, types in _only(source).items() if kind not in types),
        _mapping(source, "model_types", kind, "names"),
        **tables,
        architectures={
            glob: _mapping(source, "architectures", glob)
            for glob in _mapping(source, "architectures")
        },
        architecture=architecture,
        spec={key: value for key, value in data.items() if key not in _TABLES},
    )


def _only(source: Source) -> Mapping[str, list[str]]:
    """Return the keys that only some types read, with these."""
    found, known = _mapping(source, "only"), _mapping(source, "model_types")
    for key, types in found.items():
        wrong = (
            [each for each in types if each not in known] if isinstance(types, list) else [types]
        )
        if wrong:
            error = SpecError(f"expected model types, found {shown(wrong[0])}", ("only", key))
            raise source.located(error)
    return found


def spec_of_config(config: ModelConfig, family: Family) -> dict[str, Any]:
    """Return the spec that a configuration means: plain data, which knows of no family.

    Raises:
        GlorotError: if the configuration says what the family cannot follow.
    """
    for key, reason in REFUSED.items():
        if config.data.get(key):
            raise config.refused(f"{reason}; --set {key}=null leaves it out", key)
    names = _values(config, family)
    for condition, reason in family.refuse.items():
        _check(config, condition, reason, names)
    used = set(_WORD.findall(json.dumps(family.spec)))
    return {
        "dtype": config.dtype,
        "params": {key: written_param(value) for key, value in names.items() if key in used},
        **family.spec,
    }


def _values(config: ModelConfig, family: Family) -> dict[str, Value]:
    """Evaluate the keys and traits of a family, and the words of the architecture."""
    architecture = config.architecture or family.architecture
    given: dict[str, Any] = {}
    for key in filter(family.reads, (*family.defaults, "num_labels")):
        for place in family.places(key):
            there, value = config.get(place)
            if there:
                given[key] = _checked(config, place, family.defaults.get(key), value)
                break
    if isinstance(labels := config.data.get("id2label"), Mapping):
        given["num_labels"] = len(labels)
    table = {
        "model_type": {"word": config.model_type},
        "architecture": {"word": architecture},
        "num_labels": 2,
        "transformers_major": config.transformers_major,
        **family.defaults,
        **family.traits,
    }
    try:
        names = evaluate_params(table, given, "")
    except SpecError as error:
        raise _misfit(config, family, error) from None
    except GlorotError as error:
        raise GlorotError(f"{config.path}: {error}") from None
    for key, value in _words(config, family, architecture).items():
        path: KeyPath = ("architectures", architecture, key)
        names[key] = fill_name(value, names, path) if isinstance(value, str) else value
    return names


def _checked(config: ModelConfig, key: str, default: Any, value: Any) -> Any:
    """Check that a value is of the kind that the class's default has."""
    if isinstance(default, Mapping):
        default = default.get("absent")
    if value is None or default is None or isinstance(default, str | Mapping | list):
        return value
    expected = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
    kinds: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, kinds):
        raise config.refused(f"expected {expected}, found {shown(value)}", key)
    return value


def _misfit(config: ModelConfig, family: Family, error: SpecError) -> GlorotError:
    """Say which key has no value: the configuration's fault, if the family's own defaults work."""
    key = str(error.path[-1])
    try:
        evaluate_params({**family.defaults, **family.traits}, {}, "")
    except GlorotError:
        table = "defaults" if key in family.defaults else "traits"
        return family.source.located(SpecError(error.message, (table, key)))
    return GlorotError(f"{config.path}: {key}: {error.message}")


def _words(config: ModelConfig, family: Family, architecture: str) -> Mapping[str, Any]:
    for glob, words in family.architectures.items():
        if fnmatchcase(architecture, glob):
            return words
    known = ", ".join(family.architectures)
    raise config.refused(
        f"no tensors are known of the architecture {shown(architecture)}; known: {known}",
        "architectures",
    )


def _check(config: ModelConfig, condition: str, reason: str, names: Mapping[str, Value]) -> None:
    """Refuse a key that is set, or a condition that holds."""
    if re.fullmatch(r"[\w.]+", condition):
        if config.get(condition)[1]:
            raise config.refused(reason, condition)
    elif evaluate_condition(condition, names):
        raise config.refused(reason)


def tiny_settings(config: ModelConfig, family: Family) -> dict[str, Value]:
    """Return the settings that make a model tiny by the family's rule, but for what --set gave.

    A string is an expression over the configuration's values, and the rule's own above it.

    Raises:
        GlorotError: if the family has no such rule.
    """
    if not family.tiny:
        raise GlorotError(f"--tiny: {family.source.name} has no rule for it; use --set")
    names = _values(config, family)
    settings: dict[str, Value] = {}
    for key, given in family.tiny.items():
        if not family.reads(key) or not config.set_keys.isdisjoint(family.places(key)):
            continue
        try:
            names[key] = evaluate(given, names) if isinstance(given, str) else given
        except ValueError as error:
            raise family.source.located(SpecError(str(error), ("tiny", key))) from None
        settings |= family.settings(config, key, names[key])
    return settings


def keys_of(family: Family) -> list[str]:
    """Return the dotted keys that a family reads, as --set may give them."""
    keys = filter(family.reads, family.defaults)
    found = [place for key in keys for place in family.places(key)]
    return [
        *dict.fromkeys((*found, "num_labels", "dtype", "torch_dtype", "architectures", *REFUSED))
    ]
