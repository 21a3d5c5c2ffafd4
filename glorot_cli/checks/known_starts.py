"""Which of the distributions that elements fit are named as a tensor's start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from glorot_cli.goodness_of_fit.fit import FREE, Fit
from glorot_cli.goodness_of_fit.layers import witnesses
from glorot_cli.goodness_of_fit.sketch import MANY, TESTS

# Of a hundred fresh files at most about one has a tensor whose start is missed.
LEAST_P_VALUE = 0.01
# With fewer elements, a distribution of free parameters fits much that is no start.
MANY_FOR_FREE = 10_000


class Candidates(NamedTuple):
    """Hold what a tensor's elements fit; `tested` if chance had a say in it.

    `agrees` tells whether the elements could be those that the file's provenance claims.
    """

    name: str
    size: int
    fits: list[Fit]
    tested: bool
    agrees: bool | None


class Start(NamedTuple):
    """Hold the fits that are named, and the best fit with its p-value, named or not.

    The p-value is corrected for the file's tensors and tests; None where nothing was tested.
    `withheld_by` is a tensor at no known start, because of which a fit of a good p-value is not
    named.
    """

    fits: list[Fit]
    best: Fit | None
    p_value: float | None
    withheld_by: str | None


def known_starts(candidates: Sequence[Candidates]) -> list[Start]:
    """Name the fits whose p-value is above 0.01 when corrected, by Bonferroni.

    Few elements cannot tell a start from a trained tensor, and a few steps leave little to see, but
    tensors are trained together. So a fit is withheld where another tensor of the layer is at no
    known start, and a weak one where most tested tensors of the file are at none.
    """
    tests = TESTS * sum(each.tested for each in candidates)
    passed = [
        [fit for fit in each.fits if not each.tested or fit.quality * tests > LEAST_P_VALUE]
        for each in candidates
    ]
    pairs = list(zip(candidates, passed, strict=True))
    unknown = [each for each, fits in pairs if not fits and each.agrees is not True]
    withheld = witnesses(
        [each.name for each in unknown], [each.name for each in candidates if each.tested]
    )
    # Few elements pass most tests; they have a say only where there are no others.
    large = any(each.tested and each.size >= MANY for each in candidates)
    voters = [(e, fits) for e, fits in pairs if e.tested and (e.size >= MANY or not large)]
    against = [
        e.name for e, fits in voters if e.agrees is not True and (not fits or e.name in withheld)
    ]
    most = 2 * len(against) > len(voters)
    found = []
    for each, fits in pairs:
        # A distribution that fits by parameters of its own says less.
        best = max(
            fits or each.fits,
            key=lambda fit: (fit.distribution not in FREE, fit.quality),
            default=None,
        )
        p_value = min(1.0, best.quality * tests if best else 0.0) if each.tested else None
        by = withheld.get(each.name)
        if by is None and most and each.tested and _is_weak(each.size, fits):
            by = against[0]
        by = by if fits and each.agrees is not True else None
        found.append(Start([] if by else fits, best, p_value, by))
    return found


def _is_weak(count: int, fits: Sequence[Fit]) -> bool:
    free = all(fit.distribution in FREE for fit in fits)
    return count < (MANY_FOR_FREE if free else MANY)
