"""docs/spec-reference.md against the JSON Schema, which is made from the same tables elsewhere."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from glorot_cli.dialects.keras.network import SharedEntry
from glorot_cli.dialects.layer import LayerEntry
from glorot_cli.dialects.torch.network import ModuleEntry
from glorot_cli.spec.model import ShapedEntry, SpecTable, TensorEntry
from glorot_cli.spec.schema import spec_schema
from tests import pages

# The keys that say how often an entry stands.
STAMPS = ("repeat", "each", "when")
PAGE = (pages.DOCS / "spec-reference.md").read_text("utf-8")
SCHEMA = spec_schema()


def sections(heading: str) -> dict[str, str]:
    """Return the texts of a heading's sections, by each of the names that stand in theirs."""
    text = re.split(r"^## ", PAGE.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
    found = {}
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        names, _, below = section.partition("\n")
        for name in names.split(", "):
            found[name.strip("`")] = below
    return found


def arguments(section: str) -> dict[str, str]:
    """Return the defaults of a section's arguments."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| (?:`(.*)`|(required)) \|$", section, re.MULTILINE)
    return {name: default or needed for name, default, needed in rows}


def keys(heading: str) -> list[str]:
    text = re.split(r"^## ", PAGE.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "entry", "dialect"),
    [("Keras layers", LayerEntry, "keras"), ("torch modules", ModuleEntry, "torch")],
)
def test_every_layer_has_its_arguments(heading: str, entry: Any, dialect: str) -> None:
    found = sections(heading)
    kinds = {
        kind["properties"]["type"]["enum"][0]: kind
        for kind in SCHEMA["$defs"][f"{dialect}_layer"]["anyOf"]
        if "type" in kind["properties"]
    }
    assert set(found) == set(kinds)
    for name, kind in kinds.items():
        listed = arguments(found[name])
        own = set(kind["properties"]) - {*entry.model_fields, *STAMPS}
        # Where it is no argument of the layer's own, the guide has it among the keys of all.
        own -= {"input_dim"} - set(listed)
        assert own <= set(listed) <= set(kind["properties"]), name
        required = {argument for argument, default in listed.items() if default == "required"}
        assert required == set(kind["required"]) - {"type"}, name


def test_every_initialiser_has_its_arguments() -> None:
    found = sections("Initialisers")
    names, *forms = SCHEMA["$defs"]["initializer"]["anyOf"]
    assert sorted(found) == sorted(names["enum"])
    for form in forms:
        for name in form["properties"]["name"]["enum"]:
            listed = arguments(found[name])
            assert set(listed) == set(form["properties"]) - {"name", "seed", "fans_of"}
            required = {argument for argument, default in listed.items() if default == "required"}
            assert required == set(form["required"]) - {"name"}


def test_every_key_has_its_row() -> None:
    assert keys("The top") == list(SpecTable.model_fields)
    assert keys("Tensors") == [*TensorEntry.model_fields, *STAMPS]
    shaped = [key for key in ShapedEntry.model_fields if key not in TensorEntry.model_fields]
    layer = [*LayerEntry.model_fields, *STAMPS]
    assert keys("Layers") == [*layer, *shaped, *SharedEntry.model_fields]


def test_some_rows_word_for_word() -> None:
    keras, torch = sections("Keras layers"), sections("torch modules")
    assert arguments(keras["Dense"]) == {
        "units": "required",
        "activation": "null",
        "use_bias": "true",
        "kernel_initializer": "glorot_uniform",
        "bias_initializer": "zeros",
    }
    assert "| `padding` | `valid` or `same` or `causal` | `valid` |" in keras["Conv1D"]
    assert "| `padding` | `valid` or `same` | `valid` |" in keras["Conv2D"]
    assert "| `filters` | size | required |" in keras["Conv2D"]
    assert "| `out_features` | size | required |" in torch["Linear"]
    assert "| `eps` | number | `1e-05` |" in torch["LayerNorm"]
    assert "| `seed` | seed or `null` | `null` |" in PAGE


def test_every_key_of_the_top_and_of_tensors_says_what_it_means() -> None:
    for model in (SpecTable, TensorEntry):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert field.description.endswith("."), name


def test_the_page_is_as_it_is_written_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(pages.DOCS))
    assert importlib.import_module("spec_reference").spec_reference() == PAGE
