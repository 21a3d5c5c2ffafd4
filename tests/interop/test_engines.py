"""The readers in docs/engines: what they print is what NumPy reads, and no bad file gets past them.

Both are compiled as docs/cookbook.md says, with all warnings as errors; the C one once more with
the sanitizers of addresses and of undefined behaviour. They need `cc` and `rustc`.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import glorot_cli as glorot
from tests import pages

pytestmark = pytest.mark.interop

BLOCKS = pages.named_blocks("cookbook.md")
RUNS = ("engine-c", "engine-rust")
PROGRAMS = ("read_c", "read_rust", "read_sanitized")

DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    **{f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits // 8}")
       for kind in "IU" for bits in (8, 16, 32, 64)},
    "BOOL": np.bool_,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the programs, and run them, as the page does."""
    folder = tmp_path_factory.mktemp("engines")
    pages.copy_samples(folder)
    shutil.copytree(pages.DOCS / "engines", folder / "docs" / "engines")
    pages.ran("glorot init sample_specs/mlp.yaml -o start.safetensors --seed 42 -q", folder)
    page = (pages.DOCS / "cookbook.md").read_text("utf-8")
    shown = page.rpartition("```text\n")[2].partition("```")[0].splitlines()
    warnings = {"cc": "-Wall -Wextra -pedantic -Wconversion -Werror", "rustc": "-D warnings"}
    for name in RUNS:
        compiler = BLOCKS[name].split()[0]
        strict = BLOCKS[name].replace(compiler, f"{compiler} {warnings[compiler]}", 1)
        printed = pages.ran(strict, folder).splitlines()
        assert [row.rsplit("\t", 1)[0] for row in printed] == [
            row.rsplit("\t", 1)[0] for row in shown
        ]
        assert [float(row.split("\t")[3]) for row in printed] == [
            float(row.split("\t")[3]) for row in shown
        ]
    sanitized = BLOCKS["engine-c"].splitlines()[0].replace("-o read_c", "-o read_sanitized")
    pages.ran(f"{sanitized} -fsanitize=address,undefined -fno-sanitize-recover=all", folder)
    return folder


def read(program: Path, *files: Path) -> tuple[int, str, str]:
    done = subprocess.run([program, *files], capture_output=True, timeout=60, check=False)
    # The C program prints names as they are, UTF-8 or not.
    out, errors = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    return done.returncode, out, errors


def rows(printed: str) -> dict[str, tuple[str, list[int], str]]:
    found = {}
    for line in printed.splitlines():
        name, dtype, shape, value = line.split("\t")
        found[name] = dtype, json.loads(shape), value
    return found


def stored(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def same(text: str, value: Any) -> bool:
    if np.issubdtype(type(value), np.integer) or isinstance(value, np.bool_):
        return int(text) == int(value)
    number = float(text)
    expected = float(value)
    return number == expected or (number != number and expected != expected)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("spec", ["mlp", "lenet5", "llama2_7b"])
def test_they_read_what_was_written(folder: Path, program: str, spec: str) -> None:
    plan = glorot.make_plan(glorot.load_spec(folder / "sample_specs" / f"{spec}.yaml", {"seed": 7}))
    file = folder / f"{spec}-{program}.safetensors"
    glorot.write_weights(plan, file)
    code, printed, errors = read(folder / program, file)
    assert (code, errors) == (0, "")
    found = rows(printed)
    assert sorted(found) == sorted(t.name for t in plan.tensors if t.tied_to is None)
    for name, (_, shape, value) in found.items():
        drawn = glorot.draw(plan, name)
        assert tuple(shape) == drawn.shape
        assert same(value, drawn.reshape(-1)[0]), name


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_pattern_of_every_dtype(folder: Path, program: str, dtype: str) -> None:
    kind = np.dtype(DTYPES[dtype])
    bits = 8 * kind.itemsize
    if dtype == "BOOL":
        patterns = [0, 1]
    elif bits <= 8:
        patterns = list(range(1 << bits))
    else:
        ones = [1 << n for n in range(bits)]
        patterns = [0, *ones, *((1 << bits) - one for one in ones), *(one - 1 for one in ones)]
        patterns += [0x7E << (bits - 8), 0x7C << (bits - 8), 0xFC << (bits - 8)]
    raw = b"".join(pattern.to_bytes(kind.itemsize, "little") for pattern in patterns)
    values = np.frombuffer(raw, kind)
    header = {
        f"{i}": {
            "dtype": dtype,
            "shape": [],
            "data_offsets": [i * kind.itemsize, (i + 1) * kind.itemsize],
        }
        for i in range(len(patterns))
    }
    file = folder / f"{dtype}-{program}.safetensors"
    file.write_bytes(stored(header, raw))
    code, printed, errors = read(folder / program, file)
    assert (code, errors) == (0, "")
    found = rows(printed)
    for i, value in enumerate(values):
        assert same(found[str(i)][2], value), hex(patterns[i])


@pytest.mark.parametrize("program", PROGRAMS)
def test_names_and_headers_of_every_kind(folder: Path, program: str) -> None:
    one = '{"dtype": "U8", "shape": [1], "data_offsets": [%d, %d]}'
    names = [r"é", r"\u00e9e", r"\ud83d\ude00", r"a\"b\\c\/d", "層", r"tab\there", ""]
    entries = [f'"{name}": {one % (i, i + 1)}' for i, name in enumerate(names)]
    others = [
        '"__metadata__": {"a": "b", "deep": [[], {}, [1, -2.5e3, true, null, {"x": [0]}]]}',
        '"empty": {"shape": [0, 3], "more": {"k": [1]}, "data_offsets": [7, 7], "dtype": "F32"}',
    ]
    text = " \n{" + " ,\t".join([*others, *entries]) + "}   "
    file = folder / f"names-{program}.safetensors"
    file.write_bytes(stored(text.encode(), bytes(range(7))))
    code, printed, errors = read(folder / program, file)
    assert (code, errors) == (0, "")
    expected = ["empty", "é", "ée", "😀", 'a"b\\c/d', "層", "tab?here", ""]
    assert [line.split("\t")[0] for line in printed.splitlines()] == expected
    assert printed.splitlines()[0] == "empty\tF32\t[0, 3]\t"


def lone(dtype: str, shape: list[float], offsets: list[int], size: int = 0) -> bytes:
    """Return a file of one tensor, and as many bytes of data."""
    return stored({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, bytes(size))


GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
BAD: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": bytes(7),
    "no header": bytes(8),
    "header too long": struct.pack("<Q", 100) + b"{}",
    "header of 2**64 - 1": struct.pack("<Q", 2**64 - 1) + b"{}",
    "header of 2**63": struct.pack("<Q", 2**63) + b"{}",
    "a list": stored([]),
    "cut": stored(json.dumps(GOOD).encode()[:-3], bytes(8)),
    "open string": stored(b'{"a'),
    "open escape": stored(b'{"a\\'),
    "bad escape": stored(b'{"\\x": 1}'),
    "short \\u": stored(b'{"\\u12'),
    "bad \\u": stored(b'{"\\u12g4": 1}'),
    "signed \\u": stored(b'{"\\u+123": 1}'),
    "half a pair": stored(b'{"\\ud800": {}}'),
    "half a pair and more": stored(b'{"\\ud800\\u0041": {}}'),
    "low half": stored(b'{"\\udc00": {}}'),
    "control character": stored(b'{"a\nb": {}}'),
    "no colon": stored(b'{"a" {}}'),
    "trailing comma": stored(b'{"__metadata__": {},}'),
    "more after the end": stored(b"{} x"),
    "two objects": stored(b"{}{}"),
    "entry is no object": stored({"a": 3}),
    "no dtype": stored({"a": {"shape": [], "data_offsets": [0, 4]}}, bytes(4)),
    "unknown dtype": lone("F31", [], [0, 4], 4),
    "no shape": stored({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)),
    "no offsets": stored({"a": {"dtype": "F32", "shape": []}}, bytes(4)),
    "one offset": lone("F32", [], [0], 4),
    "three offsets": lone("U8", [], [0, 1, 1], 1),
    "beyond the end": stored(GOOD, bytes(7)),
    "bytes left over": stored(GOOD, bytes(9)),
    "offsets reversed": lone("F32", [2], [8, 0], 8),
    "offsets of 2**64 - 8": lone("F32", [2], [2**64 - 8, 2**64], 8),
    "size does not fit": lone("F32", [3], [0, 8], 8),
    "size overflows": lone("F32", [2**32, 2**32, 4], [0, 0]),
    "size overflows by the dtype": lone("F64", [2**61], [0, 0]),
    "overlap": stored({"a": GOOD["a"], "b": GOOD["a"]}, bytes(8)),
    "negative axis": lone("F32", [-2], [0, 8], 8),
    "fraction": lone("F32", [2.0], [0, 8], 8),
    "number too large": lone("F32", [2**64], [0, 8], 8),
    "nested without end": stored(b'{"__metadata__": ' + b"[" * 200_000),
    "nested objects": stored(b'{"__metadata__": ' + b'{"a": ' * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_bad_files_are_refused(folder: Path, program: str) -> None:
    file = folder / f"bad-{program}.safetensors"
    for what, content in BAD.items():
        file.write_bytes(content)
        code, _, errors = read(folder / program, file)
        assert code == 1, what
        assert errors.startswith(f"{file}: "), (what, errors)
        assert errors.count("\n") == 1, (what, errors)
    assert read(folder / program, folder / "none")[0] == 1
    assert read(folder / program)[0] == 2


@pytest.mark.parametrize("program", PROGRAMS)
def test_damaged_files_are_read_or_refused(folder: Path, program: str) -> None:
    whole = bytearray((folder / "start.safetensors").read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    file = folder / f"damaged-{program}.safetensors"
    chosen = random.Random(1)  # a regression test: these 300 files
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chosen.choice([1, 1, 2, 8])):
            damaged[chosen.randrange(start)] = chosen.choice(b'"\\{}[],:0919u\x00\xff e-.')
        file.write_bytes(damaged[: chosen.choice([len(whole), len(whole), start, start // 2])])
        code, _, errors = read(folder / program, file)
        assert code in (0, 1), errors
        assert code == 0 or errors.startswith(f"{file}: "), errors
        refused += code
    assert refused > 100
