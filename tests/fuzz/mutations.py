"""How files are broken: bits, bytes and lengths; numbers, names and keys of JSON and YAML."""

from __future__ import annotations

import contextlib
import io
import json
import pickletools
import random
import re
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import yaml

NUMBERS = (
    "0", "-1", "1", "2", "63", "64", "255", "256", "65535", "65536", "2147483647", "4294967296",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e308", "1e-308", "0.5",
    "-0.0", "1e999", "NaN", "1" + "0" * 50, "9" * 500, "9" * 5000,
)  # fmt: skip
TEXTS = (
    "", ".", "..", "../x", "/etc/passwd", "a/b", "a//b", "\x1b[31mred\x1b[0m", "[bold red]x[/]",
    "a\nb", "a\rb", "\u202eabc", "\ud800", "\0", "x" * 300, "é", "\U0001f600", "{i}", "*", "~",
    "null", "no", "1e-3", "012", "'", '"', "# c", ": ", "- ", "!!python/object:os.system", "&a",
    "__metadata__", "repeat", "entries", "F32", "BF16", "float16", "Dense", "Sequential", "glorot",
    "sqrt(2)", "2**9**9", "d//0", "d*d*d*d*d*d*d*d*d*d", "{", "}", "%s", "\x9b0m", "\x85", "\u2028",
)  # fmt: skip
WORDS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1,
         2**63, 2**64 - 1)  # fmt: skip

Random = random.Random
Mutation = Callable[[Random, bytes], bytes]


def _place(rng: Random, data: bytes | bytearray) -> int:
    # Half of them near the start or the end, where headers and directories are.
    size = max(1, len(data))
    if rng.random() < 0.5:
        near = rng.randrange(min(size, 600))
        return near if rng.random() < 0.7 else size - 1 - near
    return rng.randrange(size)


def flip(rng: Random, data: bytes) -> bytes:
    """Flip some bits."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        changed[_place(rng, changed)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: Random, data: bytes) -> bytes:
    """Put random or equal bytes somewhere."""
    start, size = _place(rng, data), rng.choice((1, 2, 4, 8, 64))
    new = rng.randbytes(size) if rng.random() < 0.5 else bytes([rng.choice((0, 255))]) * size
    return data[:start] + new + data[start + size :]


def word(rng: Random, data: bytes) -> bytes:
    """Put a number where a length or an offset may stand."""
    size = rng.choice((1, 2, 4, 8))
    start = _place(rng, data)
    start -= rng.choice((0, start % size))
    value = rng.choice((*WORDS, len(data), max(0, len(data) - 1), rng.randrange(len(data) + 1)))
    new = value.to_bytes(9, "little")[:size]
    if rng.random() < 0.3:
        new = new[::-1]
    return data[:start] + new + data[start + size :]


def cut(rng: Random, data: bytes) -> bytes:
    """Leave out the end, or a part."""
    start = _place(rng, data)
    return data[:start] + (b"" if rng.random() < 0.5 else data[start + rng.randrange(1, 64) :])


def splice(rng: Random, data: bytes) -> bytes:
    """Copy a part to somewhere else."""
    start, target, size = _place(rng, data), _place(rng, data), rng.choice((1, 4, 8, 40, 200))
    part = data[start : start + size]
    rest = data[target:] if rng.random() < 0.5 else data[target + len(part) :]
    return data[:target] + part + rest


def extend(rng: Random, data: bytes) -> bytes:
    """Append something."""
    return data + rng.randbytes(rng.choice((1, 8, 100)))


BYTES: tuple[Mutation, ...] = (flip, flip, overwrite, word, word, cut, splice, extend)


def as_bytes(rng: Random, data: bytes) -> bytes:
    """Mutate bytes, a few times."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(BYTES)(rng, data)
    return data


def as_json(rng: Random, data: bytes) -> bytes:
    """Change values and keys of a JSON text, or the text itself."""
    if rng.random() < 0.3:
        return as_text(rng, data)
    try:
        root = json.loads(data)
    except ValueError:
        return as_text(rng, data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        root = _changed(rng, root)
    text = json.dumps(root)
    # Numbers that JSON does not have, and keys that stand twice.
    text = re.sub(r'"@([^"@]*)@"', r"\1", text)
    if rng.random() < 0.1:
        text = re.sub(r"\{", '{"a": 1, "a": 2, ', text, count=1)
    if rng.random() < 0.1:
        found = list(re.finditer(r'"[^"\\]*": ?[^,{}\[\]]+', text))
        if found:
            match = rng.choice(found)
            text = text[: match.end()] + ", " + match[0] + text[match.end() :]
    return text.encode("utf-8", "surrogatepass")


def _value(rng: Random, old: object = None) -> Any:
    if rng.random() < 0.6:
        # Of the same type, so that more than the type is looked at.
        if isinstance(old, str):
            return rng.choice(TEXTS)
        if isinstance(old, int):
            return rng.choice((*range(12), f"@{rng.choice(NUMBERS)}@"))
        if isinstance(old, list) and all(isinstance(item, int) for item in old):
            return rng.sample(old, len(old)) + rng.choice(([], [], [1], [1, 1], [0]))
    return rng.choice((
        f"@{rng.choice(NUMBERS)}@", rng.choice(TEXTS), None, True, [], {}, [[]], {"a": {}},
        [1] * 70, rng.randrange(-3, 300), _deep(rng),
    ))  # fmt: skip


def _deep(rng: Random) -> Any:
    value: Any = 0
    for _ in range(rng.choice((5, 70, 400))):
        value = [value] if rng.random() < 0.5 else {"config": value}
    return value


def _changed(rng: Random, root: Any) -> Any:
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            places.append((value, key))
            if isinstance(item, dict | list):
                visit(item)

    if not isinstance(root, dict | list) or not root or rng.random() < 0.02:
        return _value(rng)
    visit(root)
    holder, key = rng.choice(places)
    what = rng.randrange(6)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder.pop(key)
    elif what == 2:
        other, its = rng.choice(places)
        if its in (other if isinstance(other, dict) else range(len(other))):
            # A copy, so that nothing comes to hold itself.
            holder[key] = json.loads(json.dumps(other[its]))
    elif what == 3 and isinstance(holder, list):
        holder.insert(key, json.loads(json.dumps(holder[key])))
    else:
        holder[key] = _value(rng, holder[key])
    return root


def as_yaml(rng: Random, data: bytes) -> bytes:
    """Change values and keys of a YAML text, or the text itself."""
    if rng.random() < 0.4:
        return as_text(rng, data)
    root = yaml.safe_load(data)
    for _ in range(rng.choice((1, 1, 1, 2))):
        root = _changed(rng, root)
    try:
        text = yaml.safe_dump(root, sort_keys=False, allow_unicode=rng.random() < 0.5)
    except RecursionError:
        return data
    return re.sub(r"['\"]?@([^'\"@]*)@['\"]?", r"\1", text).encode("utf-8", "surrogatepass")


_TOKEN = re.compile(r"[A-Za-z_][\w.]*|-?[0-9][\w.]*|[^\w\s]")


def as_text(rng: Random, data: bytes) -> bytes:
    """Change tokens and lines of a text."""
    text = data.decode("utf-8", "surrogatepass" if b"\xed\xa0\x80" in data else "surrogateescape")
    for _ in range(rng.choice((1, 1, 1, 3))):
        what = rng.randrange(8)
        lines = text.split("\n")
        tokens = list(_TOKEN.finditer(text))
        if what == 0 and len(lines) > 1:
            place = rng.randrange(len(lines))
            lines[place:place] = [lines[rng.randrange(len(lines))]]
            text = "\n".join(lines)
        elif what == 1 and len(lines) > 1:
            del lines[rng.randrange(len(lines))]
            text = "\n".join(lines)
        elif what == 2:
            place = rng.randrange(len(text) + 1)
            text = (
                text[:place] + rng.choice((*TEXTS, "\t", "  ", "[" * 200, "{", "]")) + text[place:]
            )
        elif what == 3 and text:
            place = rng.randrange(len(text))
            text = text[:place] + text[place + rng.choice((1, 1, 5, 50)) :]
        elif tokens:
            match = rng.choice(tokens)
            number = match[0][0] in "-0123456789"
            new = rng.choice(NUMBERS if number and rng.random() < 0.8 else TEXTS)
            if what == 4:
                new = rng.choice(tokens)[0]
            text = text[: match.start()] + new + text[match.end() :]
    return text.encode("utf-8", "surrogatepass" if "\ud800" in text else "surrogateescape")


def as_safetensors(rng: Random, data: bytes) -> bytes:
    """Change the header and keep its length true, or change bytes."""
    if rng.random() < 0.3:
        return as_bytes(rng, data)
    (length,) = struct.unpack_from("<Q", data)
    header = data[8 : 8 + length]
    header = _whole(rng, header) if rng.random() < 0.6 else as_json(rng, header)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def _whole(rng: Random, header: bytes) -> bytes:
    """Change a header into another one that is as well formed."""
    root = json.loads(header)
    names = [name for name in root if name != "__metadata__"]
    said = root.get("__metadata__", {})
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice(names)
        what = rng.randrange(5)
        if what == 0 and name in root:
            root[rng.choice(TEXTS)] = root.pop(name)
        elif what == 1 and name in root:
            shape = root[name]["shape"]
            root[name]["shape"] = rng.sample(shape, len(shape)) + [1] * rng.choice((0, 1, 30, 70))
        elif what == 2:
            shape = [rng.choice((0, 1, 2**31, 2**62)) for _ in range(rng.randrange(9))] + [0]
            root[rng.choice(TEXTS)] = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
        elif what == 3 and "glorot" in said:
            said["glorot"] = provenance(rng, said["glorot"])
        elif what == 4 and name in root:
            size = {"F32": ["I32", "U32"], "BF16": ["F16", "I16"], "I64": ["F64"]}
            root[name]["dtype"] = rng.choice(size.get(root[name]["dtype"], ["F8_E5M2"]))
    return json.dumps(root, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def provenance(rng: Random, text: str) -> str:
    """Change what a file says of itself."""
    raw = text.encode("utf-8", "surrogatepass")
    return as_json(rng, raw).decode("utf-8", "surrogatepass")


def as_h5(rng: Random, data: bytes) -> bytes:
    """Change names and attributes with HDF5's library, or change bytes."""
    if rng.random() < 0.75:
        return as_bytes(rng, data)
    out = io.BytesIO(data)
    with h5py.File(out, "r+") as file:
        names = [name for name in ("a", "layers", "plain", "g/zip", "g", "w") if name in file]
        if "glorot" in file.attrs and rng.random() < 0.5:
            with contextlib.suppress(ValueError, RuntimeError):
                file.attrs["glorot"] = provenance(rng, file.attrs["glorot"])
        elif names:
            with contextlib.suppress(ValueError, RuntimeError, KeyError, UnicodeError):
                file.move(rng.choice(names), rng.choice(TEXTS))
        with contextlib.suppress(ValueError, RuntimeError, TypeError, UnicodeError):
            shape = rng.choice(((), (0,), (0, 2**40), (1, 1, 1, 1, 1, 2), (3,)))
            file.create_dataset(rng.choice(TEXTS), shape, rng.choice(("f4", "f8", "i1", "S3")))
    return as_bytes(rng, out.getvalue()) if rng.random() < 0.2 else out.getvalue()


def as_npy(rng: Random, data: bytes) -> bytes:
    """Change the header and keep its length true, or change bytes."""
    if rng.random() < 0.4 or len(data) < 12 or data[6] != 1:
        return as_bytes(rng, data)
    (length,) = struct.unpack_from("<H", data, 8)
    header = as_text(rng, data[10 : 10 + length])[:65535]
    return data[:8] + struct.pack("<H", len(header)) + header + data[10 + length :]


def as_zip(rng: Random, data: bytes) -> bytes:
    """Change a member and store it again, or change bytes."""
    if rng.random() < 0.4:
        return as_bytes(rng, data)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = rng.choice(old.namelist())
        for member in old.infolist():
            content = old.read(member)
            name = member.filename
            if name == chosen and rng.random() < 0.15:
                name = rng.choice(TEXTS).encode("utf-8", "replace").decode().strip("\0") or "x"
                name += rng.choice(("", ".npy"))
            elif name == chosen:
                content = mutated(rng, name, content)
            kind = rng.choice((member.compress_type, member.compress_type, 8, 12, 14))
            new.writestr(name, content, kind)
            if name == chosen and rng.random() < 0.05:
                new.writestr(name + "2", content, kind)
    return out.getvalue()


# What a pickle may try: names that do harm, and opcodes that call, allocate or nest.
_HARM = (b"cos\nsystem\n", b"cbuiltins\nexec\n", b"cbuiltins\nopen\n", b"cposix\nsystem\n",
         b"csubprocess\nPopen\n", b"cshutil\nrmtree\n", b"ccollections\nOrderedDict\n",
         b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._tensor\n_rebuild_from_type_v2\n",
         b"ctorch\nSize\n", b"ctorch.jit._pickle\nbuild_intlist\n")  # fmt: skip
_OPCODES = (b"R", b"\x81", b"\x92", b"b", b"o", b"Q", b"0", b"1", b"2", b"(", b")", b"]", b"}",
            b"\x85", b"\x86", b"t", b"a", b"e", b"s", b"u", b"N", b"K\xff", b"J\xff\xff\xff\xff",
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"r\xff\xff\xff\x0f", b"j\0\0\0\0",
            b"h\0", b"q\0", b"\x8b\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f", b"\x82\1",
            b"\x8f(\x90", b"V../x\n", b"X\4\0\0\0touc")  # fmt: skip
# What a call would leave behind, wherever the process that made it is.
HARMED = Path(tempfile.gettempdir()) / "glorot-fuzz-harmed"
_TOUCH = f"touch {HARMED}".encode()
_CALL = b"(X" + struct.pack("<I", len(_TOUCH)) + _TOUCH + b"tR"


def as_pickle(rng: Random, data: bytes) -> bytes:
    """Put names, calls and opcodes where an opcode may stand, or change bytes."""
    if rng.random() < 0.4:
        return as_bytes(rng, data)
    places = [0]
    with contextlib.suppress(ValueError, IndexError, struct.error):
        places += [position or 0 for _, _, position in pickletools.genops(data)]
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.choice(places)
        new = rng.choice(_OPCODES)
        if rng.random() < 0.4:
            new = rng.choice(_HARM) + (_CALL if rng.random() < 0.7 else b"")
        data = data[:at] + new * rng.choice((1, 1, 1, 2, 100)) + data[at + rng.choice((0, 0, 1)) :]
    return data


def as_torch(rng: Random, data: bytes) -> bytes:
    """Change an archive's members, or the pickles of the older form."""
    return as_zip(rng, data) if data[:2] == b"PK" else as_pickle(rng, data)


_BY_ENDING: dict[str, Mutation] = {
    ".yaml": as_yaml,
    ".json": as_json,
    ".safetensors": as_safetensors,
    ".npy": as_npy,
    ".npz": as_zip,
    ".h5": as_h5,
    ".keras": as_zip,
    ".pkl": as_pickle,
    ".pt": as_torch,
    ".bin": as_torch,
}


def mutated(rng: Random, name: str, data: bytes) -> bytes:
    """Mutate a file as its ending says."""
    for ending, mutation in _BY_ENDING.items():
        if name.endswith(ending):
            return mutation(rng, data)
    return as_bytes(rng, data)
