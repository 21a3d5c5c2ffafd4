"""What a derived spec tells its user of its guesses, in a line for each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from glorot_cli.derive.derived import Derived, Guess
from glorot_cli.errors import listed


def guess_line(derived: Derived, names: Iterable[str]) -> str | None:
    """Say how the tensors of some names start by a guess, and how many are kept; None of none."""
    counts: Counter[tuple[str, str]] = Counter()
    for name in names:
        guess = derived.guesses[name]
        counts[guess.noun, _started(guess)] += 1
    parts = [f"{count} {_counted(noun, count)} {how}" for (noun, how), count in counts.items()]
    if not parts:
        return None
    if derived.kept:
        parts.append(f"{len(derived.kept)} kept")
    return f"guessed by name: {', '.join(parts)}"


def notes_of(derived: Derived) -> Iterator[str]:
    """Say what a derived spec leaves out, and what else there is to say of it."""
    yield from derived.remarks
    if derived.state:
        tensors = "tensor" if len(derived.state) == 1 else "tensors"
        yield (
            f"left out: {len(derived.state)} {tensors} of an optimizer's state "
            f"({listed(derived.state)})"
        )


def _counted(noun: str, count: int) -> str:
    """Write a noun, which is in the plural, for so many."""
    return noun if count != 1 else noun.removesuffix("es" if noun.endswith("biases") else "s")


def _started(guess: Guess) -> str:
    text = initializer_text(guess.initializer)
    return f"{text} ({guess.source})" if guess.source else text


def initializer_text(initializer: Any) -> str:
    """Write an initializer in a few words."""
    if isinstance(initializer, list):
        return "/".join(map(initializer_text, initializer))
    if not isinstance(initializer, Mapping):
        return str(initializer)
    arguments = ", ".join(f"{key} {value}" for key, value in initializer.items() if key != "name")
    return f"{initializer['name']}({arguments})" if arguments else str(initializer["name"])
