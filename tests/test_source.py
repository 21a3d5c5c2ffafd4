"""YAML 1.2 and JSON to plain data: scalars, refusals, and the position of every value."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli.errors import SpecError, dotted, printable, shown, suggestion
from glorot_cli.spec.composer import Marks
from glorot_cli.spec.source import Source, parse

SCALARS: list[tuple[str, object]] = [
    ("no", "no"), ("No", "No"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
    ("true", True), ("True", True), ("TRUE", True), ("tRUE", "tRUE"), ("false", False),
    ("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None), ("nUll", "nUll"),
    ("1e-3", 0.001), ("1E3", 1000.0), ("-1.5e+2", -150.0), (".5", 0.5), ("+.5", 0.5), ("1.", 1.0),
    ("012", 12), ("-012", -12), ("+7", 7), ("0", 0), ("-0", 0), ("0o17", 15), ("0x1F", 31),
    ("0b11", "0b11"), ("-0x1F", "-0x1F"), ("0o18", "0o18"), ("1_000", "1_000"),
    ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("2026-01-02", "2026-01-02"), ("1e", "1e"),
    (".", "."), ("+", "+"), ("-a", "-a"), ("e3", "e3"), ("inf", "inf"), ("NaN", "NaN"),
    (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf), ("=", "="), ("<<", "<<"),
    ("18446744073709551616", 2**64), ('"1"', "1"), ("'no'", "no"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    data = parse(f"a: {text}\n", "x.yaml").data
    assert isinstance(data, dict)
    assert type(data["a"]) is type(value)
    assert data["a"] == value


def test_not_a_number_is_read() -> None:
    data: Any = parse("a: .nan\n", "x.yaml").data
    assert math.isnan(data["a"])


def test_keys_are_text_as_it_was_written() -> None:
    data = parse("1: a\n0x1F: b\ntrue: c\n~: d\n'': e\n", "x.yaml").data
    assert data == {"1": "a", "0x1F": "b", "true": "c", "~": "d", "": "e"}


def refusal(text: str, name: str = "x.yaml") -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' stands already at 1:1"),
        ("l:\n  - {u: 1, u: 2}\n", "2:12: the key 'u' stands already at 2:6"),
        ("1: a\n'1': b\n", "2:1: the key '1' stands already at 1:1"),
        (
            "a: *x\n",
            "1:4: no anchor &x is whole before this alias; "
            'a glob such as "*.bias" needs quotes',
        ),
        (
            "a: &x [*x]\n",
            "1:8: no anchor &x is whole before this alias; "
            'a glob such as "*.bias" needs quotes',
        ),
        ("a: &x 1\nb: {<<: *x}\n",
         "2:9: expected a mapping to merge, or a list of them, found 1"),
        ("a: {<<: [{b: 1}, 2]}\n",
         "1:18: expected a mapping to merge, or a list of them, found 2"),
        ("a: {<<: {b: 1}, <<: {c: 1}}\n", "1:17: the key '<<' stands already at 1:5"),
        ("a: &x [1, 2]\n*x : 3\n", "2:1: expected a key, found [1, 2]"),
        ("a: &x " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 30 + "*x" + "]" * 30,
         "2:34: expected at most 64 levels of nesting"),
        ("a: &x [" + "1, " * 999 + "]\nb: [" + "*x, " * 101 + "]\n",
         "2:405: expected at most 100000 values through aliases"),
        (
            "a: !!python/object:os.system 1\n",
            "1:4: expected a value, found the tag 'tag:yaml.org,2002:python/object:os.system'; "
            "leave it out",
        ),
        ("a: !!int 1\n",
         "1:4: expected a value, found the tag 'tag:yaml.org,2002:int'; leave it out"),
        ("a: 1\n---\nb: 2\n", "2:1: expected one document, found another"),
        ("", "1:1: expected a spec, found an empty text"),
        ("# nothing\n", "1:1: expected a spec, found an empty text"),
        ("a: " + "[" * 65 + "]" * 65, "1:68: expected at most 64 levels of nesting"),
        ("a: " + "{b: " * 200 + "1" + "}" * 200, "1:257: expected at most 64 levels of nesting"),
        ("? [a]\n: 1\n", "1:3: expected a key, found ['a']"),
        ("{i}.w: 1\n", "1:1: expected a key, found a mapping; a name with {i} needs quotes"),
        ("a: " + "9" * 401, "1:4: expected a number of at most 400 digits, found 401"),
        ("a:\n\t- 1\n",
         "2:1: not valid YAML: found character that cannot start any token; "
         "indent with spaces, not tabs"),
        ("- *.bias: zeros\n",
         "1:4: not valid YAML: did not find expected alphabetic or numeric character "
         "while scanning an alias, which began at 1:3; a name with {i} or * needs quotes"),
        ("a: [{b: 1\n",
         "2:1: not valid YAML: did not find expected ',' or '}' "
         "while parsing a flow mapping, which began at 1:5"),
        ('a: "b\n',
         "2:1: not valid YAML: found unexpected end of stream "
         "while scanning a quoted scalar, which began at 1:4"),
        ("a: 1\n b: 2\n", "2:3: not valid YAML: mapping values are not allowed in this context"),
        ("a: 1: 2\n", "1:5: not valid YAML: mapping values are not allowed in this context"),
        ("a: é\x01\n", "1:5: expected printable text, found character U+0001"),
        ("a: 1\nb: \x7f\n", "2:4: expected printable text, found character U+007F"),
        ("a: \ufeff1\n", "1:4: expected printable text, found character U+FEFF"),
    ],
)  # fmt: skip
def test_yaml_that_is_refused(text: str, message: str) -> None:
    assert refusal(text) == f"x.yaml:{message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "1:10: the key 'a' stands already at 1:2"),
        ('{"a": NaN}', "1:7: not valid JSON: found NaN"),
        ('{"NaN":\n "\\"NaN", "a": -Infinity}', "2:16: not valid JSON: found -Infinity"),
        ('{"a": tru}', "1:7: not valid JSON: Expecting value"),
        ('{"a": 1} x', "1:10: not valid JSON: Extra data"),
        ('{"a": 01}', "1:8: not valid JSON: Expecting ',' delimiter"),
        ('{"a": "b\tc"}', "1:9: not valid JSON: Invalid control character"),
        ("{'a': 1}", "1:2: not valid JSON: Expecting property name enclosed in double quotes"),
        ('{"a": ' + "9" * 5000 + "}", "1:7: expected a number of at most 400 digits, found 5000"),
        ('{"a": "\\ud800"}', "1:10: not valid YAML: found invalid Unicode character escape code "
         "while parsing a quoted scalar, which began at 1:7"),
        ("[" * 100_000, "1:1: not valid JSON: nested too deeply"),
        ("[" * 70 + "]" * 70, "1:66: expected at most 64 levels of nesting"),
        ("", "1:1: not valid JSON: Expecting value"),
    ],
)  # fmt: skip
def test_json_that_is_refused(text: str, message: str) -> None:
    assert refusal(text, "x.json") == f"x.json:{message}"


def test_json_is_known_by_how_it_starts() -> None:
    text = '\n {\n  "a": "\\ud83d\\ude00", "b": "c\\/d"}'
    assert parse(text, "<stdin>").data == {"a": "😀", "b": "c/d"}
    assert refusal(' { "a": tru}', "<stdin>") == "<stdin>:1:9: not valid JSON: Expecting value"


def test_a_yaml_mapping_in_braces_is_no_json() -> None:
    assert parse("{a: 1, b: [no]}", "x.yaml").data == {"a": 1, "b": ["no"]}


def test_a_text_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.spec.source.LARGEST_TEXT", 1 << 20)
    assert refusal(" " * (1 << 20) + "a") == "x.yaml:1:1: expected a spec below 1 MiB of text"


def place_of(source: Source, *path: str | int, at_key: bool = False) -> str:
    return source.located(SpecError("", path, at_key=at_key)).where


def test_positions_of_nested_values() -> None:
    text = (
        "# first\n"
        "seed: 7\n"
        "layers:\n"
        "  - type: Dense\n"
        "    kernel_initializer:\n"
        "      name: constant\n"
        "      value:   3\n"
        "  - {type: Conv2D, kernel_size: [3,  5]}\n"
        '"é": [a, {b: c}]\n'
    )
    source = parse(text, "x.yaml")
    assert place_of(source) == "x.yaml:2:1"
    assert place_of(source, "seed") == "x.yaml:2:7"
    assert place_of(source, "seed", at_key=True) == "x.yaml:2:1"
    assert place_of(source, "layers") == "x.yaml:4:3"
    assert place_of(source, "layers", 0) == "x.yaml:4:5"
    assert place_of(source, "layers", 0, "type") == "x.yaml:4:11"
    assert place_of(source, "layers", 0, "kernel_initializer") == "x.yaml:6:7"
    assert place_of(source, "layers", 0, "kernel_initializer", "value") == "x.yaml:7:16"
    assert place_of(source, "layers", 1, "kernel_size", 1) == "x.yaml:8:38"
    assert place_of(source, "layers", 1, "kernel_size", at_key=True) == "x.yaml:8:20"
    assert place_of(source, "layers", 1, at_key=True) == "x.yaml:8:5"
    assert place_of(source, "é", 1, "b") == "x.yaml:9:14"


def test_a_path_beyond_the_text_points_as_near_as_it_goes() -> None:
    source = parse("a:\n  b: 1\n", "x.yaml")
    assert place_of(source, "a", "c", "d") == "x.yaml:2:3"
    assert place_of(source, "z", at_key=True) == "x.yaml:1:1"


def test_a_mapping_has_no_positions() -> None:
    assert place_of(Source("<spec>", {}, None), "a") == "<spec>"


def test_a_position_once_found_stays() -> None:
    error = SpecError("")
    error.where = "x.yaml:9:9"
    assert parse("a: 1", "y.yaml").located(error).where == "x.yaml:9:9"


def leaves(value: Any, marks: Marks) -> list[tuple[Any, tuple[int, int]]]:
    if isinstance(value, dict):
        found = [(key, marks.keys[key]) for key in value]
        return found + [leaf for key in value for leaf in leaves(value[key], marks.values[key])]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, marks.values[i])]
    return [(value, marks.start)]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=6)
PRINTABLE = TEXT.map(lambda text: "".join(c for c in text if c.isprintable() and c != "\ufeff"))
DATA = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False), TEXT).filter(
        lambda value: value not in (math.inf, -math.inf)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@given(DATA, st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_json_reads_it_and_every_value_has_its_place(
    data: Any, indent: int | str | None
) -> None:
    text = json.dumps(data, indent=indent)
    source = parse(text, "x.json")
    assert source.data == data
    assert source.marks is not None
    lines = text.split("\n")
    for value, (line, column) in leaves(data, source.marks):
        assert lines[line - 1][column - 1 :].startswith(json.dumps(value))


@given(st.dictionaries(PRINTABLE, st.lists(PRINTABLE, max_size=3), max_size=4))
def test_json_without_escapes_is_read_too(data: dict[str, list[str]]) -> None:
    assert parse(json.dumps(data, ensure_ascii=False), "x.json").data == data


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbftensors: {w: {shape: [2], initializer: ones}}\n")
    assert [tensor.name for tensor in glorot.make_plan(glorot.load_spec(path)).tensors] == ["w"]


def test_bytes_that_are_no_utf_8_have_a_place(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("é: 1\nb: ".encode() + b"\xe9\n")
    with pytest.raises(SpecError) as caught:
        glorot.load_spec(path)
    assert str(caught.value) == f"{path}:2:4: expected UTF-8 text, found the byte 0xe9"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.TextIOWrapper(io.BytesIO(b"tensors: {w: {shape: [0], initializer: ones}}"))
    monkeypatch.setattr(sys, "stdin", text)
    with pytest.raises(SpecError, match=r"^<stdin>:1:23: tensors\.w\.shape\[0\]"):
        glorot.make_plan(glorot.load_spec("-"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), ({"a": 1}, "a mapping"), ([1, None, "b"], "[1, null, 'b']"),
        (list(range(11)), "a list of 11 items"), (2**201, "an integer of over 60 digits"),
        ("a" * 60, "'" + "a" * 56 + "..."), (1.5, "1.5"), (("x",), "['x']"),
    ],
)  # fmt: skip
def test_found_values_are_quoted(value: object, text: str) -> None:
    assert shown(value) == text


def test_paths_are_written_as_users_know_them() -> None:
    assert dotted(("layers", 1, "units")) == "layers[1].units"
    assert dotted(("a", 0, 1)) == "a[0][1]"


def test_nothing_moves_a_cursor() -> None:
    assert printable("a\x1b[31m\n\u202eé\ud800") == "a\\x1b[31m\\n\\u202eé\\ud800"


def test_suggestions() -> None:
    assert suggestion("dnse", ["Dense", "Conv2D"]) == "did you mean 'Dense'?"
    assert suggestion("xyz", ["b", "a", "c"]) == "known: a, b, c"
    assert suggestion("xyz", ["b", "a", "c"], listed=2) == "known: a, b, ..."
