"""The documents against the code: what they list is what there is, and their examples work."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.dialects.layer import LayerEntry
from glorot_cli.initializers import INITIALIZERS
from glorot_cli.spec.model import SpecTable, TensorEntry

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SPEC = ROOT / "docs" / "spec.md"
FORMATS = ROOT / "docs" / "formats.md"
INITIALIZERS_PAGE = ROOT / "docs" / "initializers.md"


def section(path: Path, heading: str) -> str:
    """Return the text below a heading, up to the next of its own level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    text = path.read_text("utf-8").partition(f"\n{heading}\n")[2]
    assert text, f"{path.name} has no heading {heading}"
    return re.split(rf"^#{{1,{level}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of each row of the tables whose first cell is in backticks."""
    found = re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


def examples(path: Path) -> list[str]:
    """Return the YAML blocks of a document."""
    return re.findall(r"^```yaml\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_session_in_python_prints_what_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "sample_specs", tmp_path / "sample_specs")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.M)
    session = doctest.DocTestParser().get_doctest("".join(blocks), {}, "README.md", None, None)
    found = doctest.DocTestRunner().run(session)
    assert found.attempted > 5
    assert found.failed == 0


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("## The top", set(SpecTable.model_fields)),
        ("## Layers", {*LayerEntry.model_fields, "each", "input_dim", "repeat", "shared", "when"}),
        ("## Tensors", {*TensorEntry.model_fields, "each", "repeat", "when"}),
    ],
)
def test_the_page_of_the_spec_explains_every_key(heading: str, keys: set[str]) -> None:
    assert set(rows(section(SPEC, heading))) == keys


def test_the_page_of_the_spec_shows_every_key_in_an_example() -> None:
    text = "".join(examples(SPEC))
    keys = {*SpecTable.model_fields, *LayerEntry.model_fields, *TensorEntry.model_fields}
    assert {key for key in keys if not re.search(rf"\b{key}:", text)} == set()


def test_the_page_of_the_spec_lists_every_layer_type() -> None:
    listed = re.findall(r"`(\w+)`", section(SPEC, "### The types").replace("`tensors`", ""))
    assert sorted(listed) == sorted(LAYERS)


def test_the_page_of_initializers_lists_every_one_with_its_defaults() -> None:
    expected = {}
    for name, initializer in INITIALIZERS.items():
        parameters = inspect.signature(initializer.function).parameters.values()
        expected[name] = ", ".join(
            f"{p.name}: {'required' if p.default is p.empty else p.default}"
            for p in parameters
            # The page explains below its tables what all that take it mean by it.
            if p.kind is p.KEYWORD_ONLY and p.name != "per"
        )
    listed = rows(INITIALIZERS_PAGE.read_text("utf-8"))
    assert {name: cells[1].strip("`") for name, cells in listed.items()} == expected


def test_the_page_of_initializers_names_those_of_a_framework_in_its_section() -> None:
    headings = {"Keras": "## Keras 3", "torch": "## torch.nn.init", "JAX": "## JAX"}
    for source, heading in headings.items():
        expected = {name for name, each in INITIALIZERS.items() if each.source == source}
        assert set(rows(section(INITIALIZERS_PAGE, heading))) == expected


def test_readme_gives_a_reason_for_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    expected = {re.split(r"[<>=!~;\[ ]", each)[0] for each in project["dependencies"]}
    table = re.findall(r"^\| (\w+) \|", section(README, "## Dependencies"), re.MULTILINE)
    assert set(table) - {"package"} == expected


def test_workflows_name_the_commands_of_the_repository() -> None:
    found = {path.name: path for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert set(found) == {"fuzz.yml", "tests.yml", "wheels.yml"}
    for path in found.values():
        jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
        for job in jobs.values():
            commands = [step["run"] for step in job["steps"] if "run" in step]
            for name in re.findall(r"python -m (tests[\w.]*)", "\n".join(commands)):
                assert importlib.util.find_spec(name), name
    assert "bash .ci/run" in found["tests.yml"].read_text("utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    for path in (README, *(ROOT / "docs").glob("*.md"), *ROOT.glob("C*.md"), ROOT / "SECURITY.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
