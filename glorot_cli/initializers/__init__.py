"""Initialisers by their frameworks' names: fans and arguments to the law of a tensor's elements.

Each is a function whose keyword-only parameters are its framework's, with its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping

from glorot_cli.arguments import InitializerChoice, checked_seed
from glorot_cli.distributions import is_random
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names
from glorot_cli.initializers.decided import Decided
from glorot_cli.initializers.gain import GAINS, calculate_gain
from glorot_cli.initializers.kernel import Kernel
from glorot_cli.initializers.pieces import indexed, indices_used, packed
from glorot_cli.initializers.placed import Formula, Given
from glorot_cli.initializers.table import CLASS_NAMES, INITIALIZERS
from glorot_cli.signatures import EXAMPLE, bind

__all__ = [
    "CLASS_NAMES",
    "GAINS",
    "INITIALIZERS",
    "Decided",
    "Kernel",
    "calculate_gain",
    "decide",
    "find_initializer",
]


def find_initializer(name: str, path: KeyPath = ()) -> str:
    """Return an initialiser's snake-case name.

    Raises:
        SpecError: if there is none of that name.
    """
    snake = CLASS_NAMES.get(name, name)
    if snake not in INITIALIZERS:
        raise SpecError(f"unknown initializer {shown(name)}; {_hint(name)}", path)
    return snake


def _hint(name: str) -> str:
    pair = [f"{name.lower()}_{law}" for law in ("uniform", "normal")]
    if all(each in INITIALIZERS for each in pair):
        return f"did you mean {pair[0]!r} or {pair[1]!r}?"
    if "(" in name:
        return f"write its arguments as in {EXAMPLE}"
    return suggestion(name, INITIALIZERS)


def decide(choice: InitializerChoice, kernel: Kernel, names: Names) -> Decided:
    """Resolve what a spec says of an initialiser, for one tensor.

    A list has an initialiser for each of the kernel's fused pieces; an expression of its indices
    one value for each.

    Raises:
        SpecError: at the name or the argument that does not fit.
    """
    if isinstance(choice.value, list):
        return packed(choice, kernel, names, decide)
    along = indices_used(choice, kernel)
    if along:
        return indexed(choice, kernel, names, along, _decide_one)
    return _decide_one(choice, kernel, names)


def _decide_one(choice: InitializerChoice, kernel: Kernel, names: Names) -> Decided:
    path = choice.path
    given: dict[str, object] = {}
    if isinstance(choice.value, str):
        name = find_initializer(choice.value, path)
    else:
        assert isinstance(choice.value, Mapping)
        given = dict(choice.value)
        said = given.pop("name", None)
        if not isinstance(said, str):
            raise SpecError(f"an initializer needs 'name', which is missing, as in {EXAMPLE}", path)
        name = find_initializer(said, (*path, "name"))
    seed = checked_seed(given.pop("seed", None), names, (*path, "seed"))
    if given.pop("fans_of", None) is not None and kernel.donor is None:
        message = "fans_of stands on a tensor's entry, or where it has one initializer"
        raise SpecError(message, (*path, "fans_of"), at_key=True)
    function = INITIALIZERS[name].function
    arguments = bind(function, given, names, path, name, ("name", "seed", "fans_of"))
    for key, value in given.items():
        if isinstance(value, str) and isinstance(number := arguments[key], float):
            kernel.say(key, value, number)
    try:
        distribution = function(kernel, **arguments)
    except ValueError as error:
        raise SpecError(str(error), path) from None
    except ArithmeticError:
        raise SpecError(f"the arithmetic of {name} goes beyond the largest number", path) from None
    if seed is not None and not is_random(distribution):
        raise SpecError(f"{name} draws nothing, so it takes no seed", (*path, "seed"), at_key=True)
    if arguments.get("per", "") is None:
        del arguments["per"]  # the spec's own, which the kernel says
    for key, argument in arguments.items():
        if isinstance(argument, Formula):
            arguments[key] = argument.text
        elif isinstance(argument, Given):
            arguments[key] = list(argument.numbers)
    return Decided(name, arguments, distribution, seed, kernel.steps)
