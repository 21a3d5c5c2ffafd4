"""The commands' JSON documents, whose keys scripts rely on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from glorot_cli.checks.unreadable import Unreadable
from glorot_cli.distributions import limit_of, stddev_of
from glorot_cli.fans import glorot_limit
from glorot_cli.moments import Moments

if TYPE_CHECKING:
    from glorot_cli.checks.inspection import InspectedTensor, Inspection
    from glorot_cli.checks.spectra import Spectrum
    from glorot_cli.plan import Plan, PlannedTensor

Document = dict[str, Any]


def plan_document(plan: Plan) -> Document:
    """Return the plan as JSON's data; a value that does not apply is null."""
    document = plan_parts(plan)
    return {**document, "tensors": [tensor.whole() for tensor in document["tensors"]]}


def plan_parts(plan: Plan) -> Document:
    """Return the plan's document with an iterator of the tensors', for `print_json`."""
    parameters, trainable, nbytes = plan.totals()
    return {
        "tensors": map(_alike(_tensor_document), plan.entries),
        "totals": {"parameters": parameters, "trainable": trainable, "bytes": nbytes},
        "seed": plan.seed,
        "rng": plan.rng,
    }


def _alike(make: Callable[[PlannedTensor], Document]) -> Callable[[PlannedTensor], Named]:
    """Make what tensors that differ in their names only have in common once for all of them."""
    made: dict[tuple[int, ...], Document] = {}

    def named(tensor: PlannedTensor) -> Named:
        key = tensor.likeness
        if key not in made:
            if len(made) >= 1000:
                made.clear()
            made[key] = make(tensor)
        return Named(tensor.name, made[key])

    return named


class Named(NamedTuple):
    """Hold a document's name, and the rest of it, which others may share."""

    name: str
    rest: Document

    def whole(self) -> Document:
        """Return the document."""
        return {"name": self.name, **self.rest}


def _tensor_document(tensor: PlannedTensor) -> Document:
    law = tensor.distribution
    return {
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "initializer": tensor.initializer,
        "arguments": tensor.arguments,
        "decided_by": tensor.decided_by,
        "fan_in": tensor.fans.fan_in if tensor.fans else None,
        "fan_out": tensor.fans.fan_out if tensor.fans else None,
        "limit": limit_of(law),
        "stddev": stddev_of(law),
        "expected_std": None if tensor.kept else finite(law.std(tensor.shape)),
        "parameters": tensor.parameters,
        "bytes": tensor.nbytes,
        "trainable": tensor.trainable,
        "tied_to": tensor.tied_to,
        "skipped": tensor.skipped,
    }


def init_document(plan: Plan, moments: Sequence[Moments | None], output: str) -> Document:
    """Return the plan's document, for `print_json`, with what was drawn."""
    found = by_name(plan, moments)
    document = plan_parts(plan)
    tensors = (
        {**tensor.whole(), "statistics": _statistics(found.get(tensor.name))}
        for tensor in document["tensors"]
    )
    return {**document, "tensors": tensors, "output": output}


def run_document(
    spec: str, dtype: str, plan: Plan, moments: Sequence[Moments | None], output: str
) -> Document:
    """Return the document of one of several results."""
    document = init_document(plan, moments, output)
    return {"spec": spec, "dtype": dtype, **document, "tensors": list(document["tensors"])}


def by_name(plan: Plan, moments: Sequence[Moments | None] | None) -> dict[str, Moments]:
    """Return the moments of the tensors that were drawn, by their names."""
    if moments is None:
        return {}
    pairs = zip(plan.tensors, moments, strict=True)
    return {tensor.name: found for tensor, found in pairs if found is not None}


def _statistics(moments: Moments | None) -> Document | None:
    if moments is None:
        return None
    values = {
        "min": moments.minimum,
        "max": moments.maximum,
        "mean": moments.mean,
        "std": moments.std,
    }
    return {key: finite(value) for key, value in values.items()}


def _inspected_statistics(moments: Moments | None) -> Document | None:
    found = _statistics(moments)
    if found is None or moments is None:
        return None
    return {**found, "nan": moments.nan, "inf": moments.inf}


def finite(value: float) -> float | None:
    """Return a number that JSON has, or None."""
    return value if math.isfinite(value) else None


def inspect_document(inspections: Sequence[Inspection | Unreadable]) -> Document:
    """Return what files hold as JSON's data, and `errors` if some could not be read."""
    read = [each for each in inspections if not isinstance(each, Unreadable)]
    document: Document = {"files": [_file_document(found) for found in read]}
    if len(read) < len(inspections):
        failed = [each for each in inspections if isinstance(each, Unreadable)]
        document["errors"] = [each._asdict() for each in failed]
    return document


def _file_document(found: Inspection) -> Document:
    return {
        "path": found.path,
        "format": found.format,
        "provenance": found.provenance,
        "tensors": [_inspected_document(tensor) for tensor in found.tensors],
        "totals": {
            "parameters": sum(math.prod(t.shape) for t in found.tensors),
            "bytes": sum(t.nbytes for t in found.tensors),
        },
    }


def _inspected_document(tensor: InspectedTensor) -> Document:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "fan_in": tensor.fans.fan_in if tensor.fans else None,
        "fan_out": tensor.fans.fan_out if tensor.fans else None,
        "limit": glorot_limit(tensor.fans) if tensor.fans else None,
        "parameters": math.prod(tensor.shape),
        "bytes": tensor.nbytes,
        "statistics": _inspected_statistics(tensor.moments),
        "histogram": tensor.histogram,
        "fits": None if tensor.fits is None else [_fit(*fit) for fit in tensor.fits],
        "best_fit": _fit(*tensor.start.best) if tensor.start and tensor.start.best else None,
        "p_value": tensor.start.p_value if tensor.start else None,
        "withheld_by": tensor.start.withheld_by if tensor.start else None,
        "zero_rows": list(tensor.zero_rows),
        "claim": tensor.claim,
        "agrees": tensor.agrees,
        "sha256": tensor.sha256,
        "spectrum": None if tensor.spectrum is None else _spectrum(tensor.spectrum),
    }


def _spectrum(spectrum: Spectrum) -> Document:
    return {
        "rows": spectrum.rows,
        "columns": spectrum.columns,
        "largest": spectrum.largest,
        "smallest": spectrum.smallest,
        "expected": list(spectrum.expected),
        "effective_rank": spectrum.effective_rank,
        "deviation": spectrum.deviation,
    }


def _fit(name: str, quality: float, parameters: dict[str, float]) -> Document:
    return {"name": name, "quality": quality, "parameters": parameters}


def print_json(document: Document) -> None:
    """Print one JSON document; of a value that is an iterator, one item after the other."""
    separator = "{\n"
    for key, value in document.items():
        print(f"{separator}  {json.dumps(key)}: ", end="")
        separator = ",\n"
        if not isinstance(value, Iterator):
            print(_indented(value, 1), end="")
            continue
        before = "["
        for text in _items(value):
            print(f"{before}\n    {text}", end="")
            before = ","
        print("[]" if before == "[" else "\n  ]", end="")
    print("\n}" if document else "{}")


def _items(items: Iterator[Any]) -> Iterator[str]:
    """Write the items of a list, what several share only once."""
    rests: dict[int, tuple[Document, str]] = {}
    for item in items:
        if not isinstance(item, Named):
            yield _indented(item, 2)
            continue
        if id(item.rest) not in rests:
            if len(rests) >= 1000:
                rests.clear()
            # After the name's line comes what follows the opening brace.
            rests[id(item.rest)] = item.rest, _indented(item.rest, 2)[1:]
        yield f'{{\n      "name": {json.dumps(item.name)},{rests[id(item.rest)][1]}'


def _indented(value: Any, depth: int) -> str:
    text = json.dumps(value, ensure_ascii=True, indent=2, allow_nan=False)
    return text.replace("\n", "\n" + "  " * depth)
