"""The spec of a file, and how it was come by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from glorot_cli.formats.base import KerasNames


class Guess(NamedTuple):
    """Say what a tensor is taken for, and what it starts with; `source` says whose convention."""

    noun: str
    initializer: Any
    source: str = ""


@dataclass(frozen=True, slots=True)
class Derived:
    """Hold the spec of what a file describes, as plain data, and how it was come by.

    `guesses` are by the names of tensors; `kept` are not drawn but copied from the file, of which
    `quantised` are weights that nothing can draw; `state` is an optimizer's, and left out;
    `notices` are what the file's reader says, `remarks` what else there is to say of the spec.
    `attributes` are the lists of names, and the texts, by which Keras reads its older layout.
    """

    spec: dict[str, Any]
    guesses: Mapping[str, Guess] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    quantised: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    attributes: KerasNames = field(default_factory=dict)
