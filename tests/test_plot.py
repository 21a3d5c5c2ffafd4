"""Pictures: the same bytes each time, panels for each tensor, and laws that are the law's."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.effects.comparison import compare
from glorot_cli.pictures import plot
from glorot_cli.pictures.depth import plot_effects
from glorot_cli.pictures.portraits import Portrait, portraits_of_file, portraits_of_plan

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(5)
LAWS = ["glorot_uniform", "he_normal", "orthogonal", "random_normal", "uniform",
        {"name": "sparse", "sparsity": 0.2}, {"name": "trunc_normal", "std": 0.02},
        {"name": "trunc_normal", "std": 0.5, "a": -0.2, "b": 1.0}]  # fmt: skip
TENSORS: dict[str, Any] = {
    f"t{i}": {"shape": [60, 50], "axes": "IO", "initializer": law} for i, law in enumerate(LAWS)
}
MLP: dict[str, Any] = {
    "seed": 42,
    "input_shape": [100],
    "layers": [
        {"type": "Dense", "units": 64, "activation": "relu"},
        {"type": "Dense", "units": 10},
    ],
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.json").write_text(json.dumps(MLP))


def texts(path: str) -> list[str]:
    """Return the texts of an SVG."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", Path(path).read_text("utf-8"))


def test_a_spec_in_every_kind_of_picture(run: Run) -> None:
    for path, magic in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
        assert run("plot", "spec.json", "-o", path) == (0, "", "")
        first = Path(path).read_bytes()
        assert first.startswith(magic)
        assert run("plot", "spec.json", "-o", path, "--force")[0] == 0
        assert Path(path).read_bytes() == first
    svg = Path("a.svg").read_text("utf-8")
    assert not re.search(r"dc:date|20[0-9]{2}-", svg)
    assert len(svg) < 40_000
    assert texts("a.svg") == [
        "−0.191", "0.191", "glorot_uniform", "dense/kernel",
        "−0.285", "0.285", "glorot_uniform", "dense_1/kernel",
        "elements", "law's density", "limits",
    ] or texts("a.svg")[:4] == ["-0.191", "0.191", "glorot_uniform", "dense/kernel"]  # fmt: skip


def test_a_file_says_what_it_claims_or_fits(run: Run, planned: Planned) -> None:
    glorot.write_weights(planned(**MLP), "w.safetensors")
    assert run("plot", "w.safetensors", "-o", "a.svg", "--include", "dense/*") == (0, "", "")
    assert [t for t in texts("a.svg") if "/" in t] == ["dense/kernel"]
    arrays = {
        "known": RNG.uniform(-0.1, 0.1, (60, 50)).astype("f4"),
        "unknown": RNG.standard_t(2, (60, 50)).astype("f4"),
        "gone": np.full((3, 3), np.nan, "f4"),
        "zeros": np.zeros((3, 3), "f4"),
        "steps": np.arange(4),
    }
    safetensors.numpy.save_file(arrays, "x.safetensors")
    portraits = portraits_of_file("x.safetensors")
    assert [(p.name, p.label, p.law is None) for p in portraits] == [
        ("known", "uniform", False),
        ("unknown", "not a known start", True),
    ]


def test_a_claim_that_the_content_belies_is_said(planned: Planned) -> None:
    plan = planned(**{**MLP, "layers": [{**MLP["layers"][0], "kernel_initializer": "he_normal"}]})
    glorot.write_weights(plan, "w.npy/")
    values = np.load("w.npy/dense/kernel.npy")
    np.save("w.npy/dense/kernel.npy", values * np.float32(1.2))
    (portrait,) = portraits_of_file("w.npy")
    assert portrait.label == "he_normal: DISAGREES"


def test_densities_and_limits_are_the_laws(planned: Planned) -> None:
    plan = planned(tensors=TENSORS)
    of_plan = portraits_of_plan(plan)
    glorot.write_weights(plan, "w.safetensors")
    safetensors.numpy.save_file(safetensors.numpy.load_file("w.safetensors"), "bare.safetensors")
    of_file = portraits_of_file("w.safetensors")
    of_fits = {p.name: p for p in portraits_of_file("bare.safetensors", fans="keras")}
    assert [p.name for p in of_plan] == [p.name for p in of_file] == list(TENSORS)
    for one, two in zip(of_plan, of_file, strict=True):
        assert (one.label, one.law, one.share) == (two.label, two.law, two.share)
        assert one.law is not None
        x = np.linspace(one.values[0] * 3 - 1, one.values[-1] * 3 + 1, 400_001)
        assert np.trapezoid(one.density(x), x) == pytest.approx(one.share, rel=2e-3)
        counts, edges = np.histogram(one.values, 12, density=True)
        middles = (edges[1:] + edges[:-1]) / 2
        if one.share == 1.0:
            assert counts == pytest.approx(one.density(middles), abs=0.25 * counts.max())
        fitted = of_fits[one.name]
        if fitted.law is not None:
            assert fitted.law.std(()) == pytest.approx(one.law.std(()), rel=0.1)
            assert fitted.share == pytest.approx(one.share)
    limits = {p.name: p.limits for p in of_plan}
    assert limits["t4"] == (0.0, 1.0)
    assert limits["t3"] is None
    assert limits["t6"] is None
    assert limits["t7"] == pytest.approx((-0.2, 1.0))
    assert Portrait("n", "", np.zeros(1), None).limits is None
    assert Portrait("n", "", np.zeros(1), None).density(np.zeros(3)).tolist() == [0.0] * 3


@pytest.mark.parametrize("count", [1, 2, 7, 120])
def test_any_number_of_tensors_is_drawn(count: int) -> None:
    values = np.sort(RNG.normal(size=400))
    names = [f"encoder.layers.{i}.attention.self.query.weight" for i in range(count)]
    portraits = [Portrait(name, "normal", values, None) for name in names]
    plot.plot_histograms(portraits, "a.svg")
    drawn = [text for text in texts("a.svg") if text.endswith(".query.weight")]
    assert len(drawn) == len(set(drawn)) == count


def test_names_are_cut_in_their_middle_and_escaped() -> None:
    values = np.sort(RNG.normal(size=40))
    plot.plot_histograms([Portrait("x" * 60 + "\x1b/kernel", "normal", values, None)], "a.svg")
    (name,) = [text for text in texts("a.svg") if text.endswith("kernel")]
    assert name == "x" * 22 + "…" + "x" * 10 + "\\x1b/kernel"


def test_what_starts_do_through_the_depth(run: Run, planned: Planned) -> None:
    glorot.write_weights(planned(**MLP), "w.safetensors")
    flags = ["--gains", "--compare", "he_uniform,lecun_normal"]
    assert run("plot", "w.safetensors", "-o", "a.svg", *flags) == (0, "", "")
    found = texts("a.svg")
    assert {"std of activations", "std of gradients"} <= set(found)
    assert [found.count(name) for name in ("spec", "he_uniform", "dense_1")] == [1, 1, 2]
    assert "lines: theory in the wide limit; 2 layers" in found
    first = Path("a.svg").read_bytes()
    assert run("plot", "w.safetensors", "-o", "a.svg", *flags, "--force")[0] == 0
    assert Path("a.svg").read_bytes() == first


def test_the_widths_of_a_paper_and_a_style(run: Run) -> None:
    sizes = {}
    for width, points in (("column", 237.6), ("page", 496.8)):
        flags = ["--gains", "--compare", "he_normal", "--width", width, "--force"]
        assert run("plot", "spec.json", "-o", "a.svg", *flags) == (0, "", "")
        root = ElementTree.parse("a.svg").getroot()
        sizes[width] = float(root.attrib["width"].removesuffix("pt"))
        assert sizes[width] == pytest.approx(points)
    before = Path("a.svg").read_bytes()
    assert run("plot", "spec.json", "-o", "a.svg", "--gains", "--style", "dark_background",
               "--force") == (0, "", "")  # fmt: skip
    assert Path("a.svg").read_bytes() != before
    assert run("plot", "spec.json", "-o", "b.svg", "--style", "dark_backgroun") == (
        2, "", "glorot: --style: no style is named 'dark_backgroun'; did you mean "
        "'dark_background'?\n",
    )  # fmt: skip
    assert run("plot", "spec.json", "-o", "b.svg", "--width", "wide") == (
        2, "", "glorot: --width: expected column, page, found 'wide'\n"
    )  # fmt: skip


def test_a_deep_network_labels_some_layers(planned: Planned) -> None:
    layers = [{"type": "Dense", "units": 4, "repeat": {"i": 130}}]
    plot_effects(compare(planned(input_shape=[4], layers=layers), ["he_normal"]), "a.svg")
    labels = [text for text in texts("a.svg") if text.startswith("dense")]
    assert 20 <= len(labels) / 2 <= 24


def test_raw_tensors_have_no_depth(run: Run) -> None:
    entry = {"shape": [3, 4], "axes": "IO", "initializer": "he_normal"}
    Path("raw.json").write_text(json.dumps({"seed": 1, "tensors": {"w": entry}}))
    code, out, err = run("plot", "raw.json", "-o", "a.svg", "--gains")
    assert (code, out) == (2, "")
    assert err.startswith("glorot: the spec's tensors do not say how they are joined; ")


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_are_told_apart_in_grey_or_by_style() -> None:
    shades = sorted(map(luminance, (plot.FILL, plot.CURVE, plot.LIMIT)))
    assert shades[2] - shades[1] > 0.4
    assert shades[1] - shades[0] > 0.1
    assert len({marker for _, marker, _ in plot.LINES}) == len(plot.LINES)
    assert all(a[2] != b[2] for a, b in zip(plot.LINES, plot.LINES[1:], strict=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spec.json", "-o", "a.jpg"],
         "a.jpg: expected a name that ends in .png, .svg, .pdf, found 'a.jpg'"),
        (["spec.json", "-o", "a"], "a: expected a name that ends in .png, .svg, .pdf, found 'a'"),
        (["spec.json", "-o", "there.svg"], "{folder}/there.svg exists; replace it with --force"),
        (["spec.json", "-o", "a.svg", "--batch", "8"], "--compare and --batch are for --gains"),
        (["spec.json", "-o", "a.svg", "--include", "nothing"],
         "there is nothing to draw: no tensor's elements differ from each other"),
        (["bare.npy", "-o", "a.svg", "--gains"],
         "bare.npy does not say which spec made it; give the spec, as in glorot verify FILE SPEC"),
    ],
)  # fmt: skip
def test_mistakes(arguments: list[str], message: str, run: Run, tmp_path: Path) -> None:
    Path("there.svg").write_text("")
    np.save("bare.npy", RNG.normal(size=(4, 4)))
    code, out, err = run("plot", *arguments)
    assert (code, out) == (2, "")
    assert err == f"glorot: {message.format(folder=tmp_path.resolve())}\n"
    assert not Path("a.svg").exists()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run("plot", "spec.json", "-o", "a.svg") == (
        2, "", "glorot: pictures need matplotlib: pip install 'glorot[plot]'\n"
    )  # fmt: skip


def test_no_window_is_opened() -> None:
    code = (
        "import sys; from glorot_cli.cli import main; "
        "main(['plot', 'spec.json', '-o', 'a.svg']); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_committed_pictures_are_those_of_the_committed_command() -> None:
    commands = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["COMMANDS"]
    drawn = [command.rpartition("-o docs/")[2] for command in commands]
    assert sorted(drawn) == sorted(path.name for path in (ROOT / "docs").glob("*.svg"))
    for name in drawn:
        assert (ROOT / "docs" / name).stat().st_size < 60_000


@pytest.mark.parametrize("scale", [1e-320, 1e-170, 1e160, 1.7e308])
def test_numbers_without_a_width_are_drawn(scale: float, run: Run) -> None:
    values = np.random.default_rng(7).uniform(-1.0, 1.0, (20, 30)) * scale
    values[0, :4] = np.nan, np.inf, -np.inf, scale
    np.save("w.npy", values)
    code, _, err = run("plot", "w.npy", "-o", "w.svg")
    assert (code, err) == (0, "")
    assert f"{scale:.3g}" in texts("w.svg")


def test_gains_beyond_all_numbers_are_null(run: Run) -> None:
    Path("x.yaml").write_text(
        "seed: 1\ndtype: float64\ninput_shape: [8]\nlayers:\n"
        "- {type: Dense, units: 4, kernel_initializer: {name: normal, std: 1e160},"
        " activation: relu}\n"
        "- {type: Dense, units: 4, kernel_initializer: {name: normal, std: 1e-200}}\n"
    )
    for options in ([], ["--json"]):
        code, out, err = run("plan", "x.yaml", "--compare", "he_normal", *options)
        assert (code, err) == (0, "")
        if "--json" in options:
            json.loads(out, parse_constant=pytest.fail)
