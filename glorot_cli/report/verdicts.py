"""Tables and JSON documents of what checks found: verify, its statistics, and diff."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from glorot_cli.checks.diff import Diff, DiffedTensor
from glorot_cli.checks.evidence import Evidence, JudgedTensor
from glorot_cli.checks.pairing import UNCHECKED, VerifiedTensor
from glorot_cli.checks.unreadable import Unreadable
from glorot_cli.checks.verify import Verification
from glorot_cli.errors import listed, printable
from glorot_cli.report.documents import finite
from glorot_cli.report.tables import shape_text
from glorot_cli.report.terminal import print_table

Document = dict[str, Any]

# How several of a status are called, and one, where that differs from the status itself.
_MANY = {"alarm": "alarms", "shape": "shapes", "dtype": "dtypes"}
_ONE = {"fits": "fit"}
# By whether a file is equal, and whether nothing of it was checked.
_AS = {
    (True, False): "as",
    (False, False): "not as",
    (False, True): "not shown to be",
}


def document(found: Verification | Evidence | Diff) -> Document:
    """Return what a check found as JSON's data."""
    match found:
        case Evidence():
            return _evidence(found)
        case Diff():
            return _diff(found)
    return _verification(found)


def documents(checks: Sequence[Verification | Evidence | Unreadable]) -> Document:
    """Return what the checks of several files found as JSON's data."""
    files: list[Document] = []
    for found in checks:
        if isinstance(found, Unreadable):
            nothing: Document = {"equal": False, "seed": None, "tensors": [], "unchecked": 0}
            files.append({"path": found.path, "error": found.error, **nothing})
        else:
            files.append({"path": found.path, "error": None, **document(found)})
    return {"equal": all(file["equal"] for file in files), "files": files}


def print_verdict(found: Verification | Evidence | Diff, show_all: bool) -> None:
    """Print a row for each tensor that is not as it should be, or for each, and a summary."""
    parts = _counted(tensor.status for tensor in found.tensors if tensor.status != UNCHECKED)
    parts = parts or ("none checked" if found.tensors else "no tensors")
    match found:
        case Evidence():
            rows = _judged_rows(found, show_all)
            verdict = "nothing speaks against the spec" if found.equal else "not as the spec says"
            parts += f" (a good file alarms with a chance of at most {found.false_alarm:g})"
            parts += _unchecked([tensor.header for tensor in found.tensors])
        case Diff():
            rows = _diffed_rows(found, show_all)
            verdict = f"{'the same' if found.equal else 'not the same'} as {found.other_path}"
        case _:
            rows = _rows(found, show_all)
            seed = f"seed {found.seed}" + (", the file's own" if found.seed_is_claimed else "")
            verdict = f"{_AS[found.equal, _is_blank(found)]} drawn from {seed}"
            parts += _unchecked(found.tensors)
    total = printable(f"{found.path}: {verdict}: {parts}")
    if rows:
        print_table([("name", False), ("status", False), ("what", False)], rows, total)
    else:
        print(total)


def _is_blank(found: Verification) -> bool:
    return all(tensor.status == UNCHECKED for tensor in found.tensors)


def _unchecked(tensors: Sequence[VerifiedTensor]) -> str:
    """Say which of a plan's tensors were not checked, and why."""
    planned = [tensor for tensor in tensors if tensor.status != "extra"]
    names: dict[str, list[str]] = {}
    for tensor in planned:
        if tensor.reason is not None:
            names.setdefault(tensor.reason, []).append(tensor.name)
    return "".join(
        f"; {len(each)} of {len(planned)} not checked: {reason} ({listed(each)})"
        for reason, each in names.items()
    )


def _verification(found: Verification) -> Document:
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
                **_difference(t),
            }
            for t in found.tensors
        ],
        "unchecked": found.unchecked,
    }


def _difference(tensor: VerifiedTensor) -> Document:
    d = tensor.difference
    return {
        "index": list(d.index) if d else None,
        "expected": finite(d.expected) if d else None,
        "found": finite(d.found) if d else None,
        "expected_bits": d.expected_bits if d else None,
        "found_bits": d.found_bits if d else None,
        "differing": d.count if d else 0,
    }


def _list(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _rows(found: Verification, show_all: bool) -> list[list[str]]:
    folded = () if show_all else ("equal", UNCHECKED)
    return [[t.name, t.status, _where(t)] for t in found.tensors if t.status not in folded]


def _counted(statuses: Iterable[str]) -> str:
    counts = sorted(Counter(statuses).items())
    return ", ".join(f"{count} {_called(status, count)}" for status, count in counts)


def _called(status: str, count: int) -> str:
    return (_ONE if count == 1 else _MANY).get(status, status)


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
            return f"{tensor.reason}, so only its shape and dtype are compared"
        case _:
            return ""


def _evidence(found: Evidence) -> Document:
    return {
        "equal": found.equal,
        "false_alarm": found.false_alarm,
        "tensors": [
            {
                "name": t.header.name,
                "status": t.status,
                "shape": _list(t.header.shape),
                "dtype": t.header.dtype,
                "found_shape": _list(t.header.found_shape),
                "found_dtype": t.header.found_dtype,
                "alarms": [
                    {"test": test, "message": message, "chance": chance}
                    for test, message, chance in t.alarms
                ],
            }
            for t in found.tensors
        ],
        "unchecked": found.unchecked,
    }


def _judged_rows(found: Evidence, show_all: bool) -> list[list[str]]:
    folded = () if show_all else ("fits", UNCHECKED)
    rows = []
    for tensor in found.tensors:
        texts = _alarms(tensor)
        if not texts and tensor.status not in folded:
            texts = [_where(tensor.header) if tensor.status == UNCHECKED else ""]
        rows += [[tensor.header.name, tensor.status, text] for text in texts]
    return rows


def _alarms(tensor: JudgedTensor) -> list[str]:
    if tensor.header.status in ("shape", "dtype"):
        return [_where(tensor.header)]
    return [
        f"{test}: {message}" + (f" (chance {chance:.1g})" if chance else "")
        for test, message, chance in tensor.alarms
    ]


def _diff(found: Diff) -> Document:
    return {
        "equal": found.equal,
        "tolerance": found.tolerance,
        "tensors": [
            {
                "name": t.name,
                "other_name": t.other_name,
                "status": t.status,
                "shape": _list(t.shape),
                "other_shape": _list(t.other_shape),
                "dtype": t.dtype,
                "other_dtype": t.other_dtype,
                "largest": finite(t.gap.largest) if t.gap else None,
                "index": list(t.gap.index) if t.gap else None,
                "value": finite(t.gap.value) if t.gap else None,
                "other_value": finite(t.gap.other_value) if t.gap else None,
                "differing": t.gap.count if t.gap else 0,
            }
            for t in found.tensors
        ],
    }


def _diffed_rows(found: Diff, show_all: bool) -> list[list[str]]:
    return [
        [_names(t), t.status, _gap(t)] for t in found.tensors if show_all or t.status != "equal"
    ]


def _names(tensor: DiffedTensor) -> str:
    if tensor.name in (None, tensor.other_name):
        return tensor.other_name or ""
    return f"{tensor.name} = {tensor.other_name}"


def _gap(tensor: DiffedTensor) -> str:
    if tensor.status == "shape":
        assert tensor.shape is not None
        assert tensor.other_shape is not None
        return f"{shape_text(tensor.shape)} and {shape_text(tensor.other_shape)}"
    dtypes = ""
    if tensor.status not in ("missing", "extra") and tensor.dtype != tensor.other_dtype:
        dtypes = f"{tensor.dtype} and {tensor.other_dtype}"
    if tensor.gap is None:
        return dtypes
    gap = tensor.gap
    size = math.prod(tensor.shape or ())
    return (dtypes and f"{dtypes}; ") + (
        f"largest difference {gap.largest:.6g} at {list(gap.index)}: {gap.value!r} and "
        f"{gap.other_value!r}; {gap.count:,} of {size:,} elements differ"
    )
