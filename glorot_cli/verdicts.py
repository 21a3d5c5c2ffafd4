"""Tables and JSON documents of what checks found: verify, its statistics, and diff."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from glorot_cli.errors import printable
from glorot_cli.report import print_table, shape_text

if TYPE_CHECKING:
    from glorot_cli.verify import Verification, VerifiedTensor

Document = dict[str, Any]


def verify_document(found: Verification) -> Document:
    """Return what a comparison with the redrawn plan found, as JSON's data."""
    return {
        "equal": found.equal,
        "seed": found.seed,
        "tensors": [
            {
                "name": t.name,
                "status": t.status,
                "shape": _list(t.shape),
                "dtype": t.dtype,
                "found_shape": _list(t.found_shape),
                "found_dtype": t.found_dtype,
                "index": t.difference and list(t.difference.index),
                "expected": _finite(t.difference and t.difference.expected),
                "found": _finite(t.difference and t.difference.found),
                "expected_bits": t.difference and t.difference.expected_bits,
                "found_bits": t.difference and t.difference.found_bits,
                "differing": t.difference.count if t.difference else 0,
            }
            for t in found.tensors
        ],
    }


def _list(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def print_verification(found: Verification, show_all: bool) -> None:
    """Print a row for each tensor that is not as drawn, or for each, and a line that sums up."""
    rows = [[t.name, t.status, _where(t)] for t in found.tensors if show_all or t.status != "equal"]
    counts: dict[str, int] = {}
    for tensor in found.tensors:
        counts[tensor.status] = counts.get(tensor.status, 0) + 1
    parts = [f"{count} {status}" for status, count in sorted(counts.items())] or ["no tensors"]
    verdict = "as drawn" if found.equal else "not as drawn"
    total = printable(f"{found.path}: {verdict} from seed {found.seed}: {', '.join(parts)}")
    if rows:
        print_table([("name", False), ("status", False), ("what", False)], rows, total)
    else:
        print(total)


def _where(tensor: VerifiedTensor) -> str:
    match tensor.status:
        case "different":
            d = tensor.difference
            assert d is not None
            size = math.prod(tensor.shape or ())
            return (
                f"at {list(d.index)}: expected {d.expected!r} ({d.expected_bits}), found "
                f"{d.found!r} ({d.found_bits}); {d.count:,} of {size:,} elements differ"
            )
        case "shape":
            assert tensor.shape is not None
            assert tensor.found_shape is not None
            return f"expected {shape_text(tensor.shape)}, found {shape_text(tensor.found_shape)}"
        case "dtype":
            return f"expected {tensor.dtype}, found {tensor.found_dtype}"
        case "within tolerance":
            return "orthogonal: equal to one step of the dtype and 2**-30 of the gain"
        case "not drawn":
            return "kept from a base checkpoint, so only its shape and dtype are known"
        case _:
            return ""
