"""The command line: what it prints, what it exits with, and what it does not import."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import glorot_cli as glorot
from glorot_cli import __main__
from glorot_cli.cli import Exit, main
from glorot_cli.report import terminal as report
from glorot_cli.spec.schema import spec_schema

Run = Callable[..., tuple[int, str, str]]

jsonschema: Any = import_module("jsonschema")  # it comes without types

SAMPLES = Path(__file__).parent.parent / "sample_specs"
MLP = SAMPLES / "mlp.yaml"
SHAPES = SAMPLES / "shapes.json"
COMMANDS = [
    "init", "plan", "explain", "fans", "spec", "inspect", "verify", "diff", "plot", "schema",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)


# Help and version


def test_help_lists_the_commands(run: Run) -> None:
    for flag in ("--help", "-h"):
        code, out, err = run(flag)
        assert (code, err) == (0, "")
        assert "Turn a layer-shape spec into initialised neural-network weight files." in out
        assert all(re.search(rf"^  {command} ", out, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, run: Run) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: ")
    assert f" {command} " in out.splitlines()[0]


def test_no_arguments_show_help_as_a_mistake(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ")


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"glorot {glorot.__version__}\n", "")
    ended = python("-m", "glorot_cli", "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        0,
        f"glorot {glorot.__version__}\n",
        "",
    )


def test_the_script_leaves_with_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(gc, "set_threshold", lambda first: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["glorot", "plan", "nowhere.yaml"])
    with pytest.raises(SystemExit) as ended:
        __main__.run()
    assert ended.value.code == 2


def test_the_script_answers_version_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["glorot", "--version"])
    __main__.run()
    assert capsys.readouterr().out == f"glorot {glorot.__version__}\n"


def test_the_public_names_are_loaded_when_used() -> None:
    assert all(getattr(glorot, name) is not None for name in glorot.__all__)
    with pytest.raises(AttributeError, match=r"^module 'glorot_cli' has no attribute 'nothing'$"):
        glorot.nothing  # noqa: B018


def test_exit_codes_are_literal() -> None:
    assert {code.name: code.value for code in Exit} == {
        "DONE": 0,
        "DIFFERENT": 1,
        "MISTAKE": 2,
        "BUG": 70,
        "HUNG_UP": 129,
        "INTERRUPTED": 130,
        "BROKEN_PIPE": 141,
        "TERMINATED": 143,
    }


# What is not imported


def loaded(*arguments: str) -> set[str]:
    """Return the modules that a command leaves in memory."""
    script = (
        "import sys, os, runpy\n"
        "def leave(code=0):\n"
        "    print('MODULES', *sys.modules, file=sys.stderr)\n"
        "    os.kill(os.getpid(), 9)\n"
        "os._exit = leave\n"
        f"sys.argv = ['glorot', *{list(arguments)!r}]\n"
        "runpy.run_module('glorot_cli', run_name='__main__')\n"
        "leave()\n"
    )
    ended = python("-c", script)
    line = next(line for line in ended.stderr.splitlines() if line.startswith("MODULES "))
    return {name.split(".")[0] for name in line.split()}


HEAVY = {
    "typer", "numpy", "pydantic", "yaml", "rich", "h5py", "cryptography", "ml_dtypes", "matplotlib",
    "safetensors", "distributed",
}  # fmt: skip


# typer imports pydantic itself once a command has parameters.
READS_SPECS = {"typer", "pydantic", "yaml"}
DRAWS = READS_SPECS | {"numpy", "cryptography"}


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        (("--version",), set()),
        (("--help",), {"typer", "pydantic"}),
        (("fans", "3,3,64,128", "--axes", "HWIO"), {"typer", "pydantic"}),
        (("explain", "he_normal"), READS_SPECS),
        (("schema",), READS_SPECS),
        (("plan", str(MLP)), READS_SPECS),
        (("plan", str(MLP), "--json"), READS_SPECS),
        (("plan", str(SHAPES)), READS_SPECS),
        (("plan", "config.json"), READS_SPECS),
        (("init", str(MLP), "-o", "w.safetensors", "--seed", "1"), DRAWS | {"safetensors"}),
        (("init", str(MLP), "-o", "w.h5", "--seed", "1"), DRAWS | {"h5py"}),
        (("init", str(MLP), "-o", "w/", "--seed", "1", "--dtype", "float16"), DRAWS),
    ],
)
def test_a_command_imports_no_more_than_it_needs(
    run: Run, command: tuple[str, ...], allowed: set[str]
) -> None:
    Path("config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    assert loaded(*command) & HEAVY <= allowed
    assert command[0] != "init" or Path(command[3]).exists()


# init


def test_init_prints_a_table_and_writes_the_file(run: Run) -> None:
    code, out, err = run("init", MLP, "-o", "w.safetensors", "--seed", "42")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "name"
    assert re.split(r"  +", lines[1].strip()) == [
        "dense/kernel", "(100, 64)", "float32", "glorot_uniform", "100", "64", "0.1913",
        "-0.1913", "0.1912", "0.003894", "0.1104", "0.1104", "1.22", "0.7805",
    ]  # fmt: skip
    assert lines[-1] == "7,114 parameters, 28.5 kB"
    digest = hashlib.sha256(Path("w.safetensors").read_bytes()).hexdigest()
    run("init", MLP, "-o", "v.safetensors", "--seed", "42", "--workers", "2", "--quiet")
    assert hashlib.sha256(Path("v.safetensors").read_bytes()).hexdigest() == digest


def test_init_in_json(run: Run) -> None:
    code, out, err = run("init", MLP, "-o", "w.h5", "--seed", "42", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    _, planned, _ = run("plan", MLP, "--seed", "42", "--json")
    for tensor in document["tensors"]:
        assert list(tensor.pop("statistics")) == ["min", "max", "mean", "std"]
    assert document.pop("output") == "w.h5"
    assert document == json.loads(planned)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_quiet_says_nothing(flags: list[str], run: Run) -> None:
    code, out, err = run("init", MLP, "-o", "w.h5", "--seed", "42", "--quiet", *flags)
    assert (code, err) == (0, "")
    assert (out != "") == bool(flags)
    assert run("plan", MLP, "--quiet") == (0, "", "")


def test_a_drawn_seed_is_printed_and_stored(run: Run) -> None:
    code, _, err = run("init", MLP, "-o", "w.safetensors")
    match = re.fullmatch(r"note: seed (\d+) was drawn\n", err)
    assert code == 0
    assert match
    provenance = glorot.inspect_weights("w.safetensors").provenance
    assert provenance is not None
    assert provenance["spec"]["seed"] == int(match[1])
    run("init", MLP, "-o", "v.safetensors", "--seed", match[1])
    assert Path("v.safetensors").read_bytes() == Path("w.safetensors").read_bytes()


def test_a_drawn_seed_that_no_file_holds_is_printed_even_if_quiet(run: Run) -> None:
    spec = Path("s.json")
    spec.write_text('{"tensors": {"w": {"shape": [3], "initializer": "glorot_uniform"}}}')
    code, out, err = run("init", spec, "-o", "w.npy", "--quiet")
    assert (code, out) == (0, "")
    assert re.fullmatch(r"note: seed \d+ was drawn\n", err)
    assert run("init", spec, "-o", "w.h5", "--quiet") == (0, "", "")
    assert run("init", spec, "-o", "v.npy", "--quiet", "--seed", "1") == (0, "", "")


def test_options_replace_what_the_spec_says(run: Run) -> None:
    spec = Path("s.yaml")
    spec.write_text("seed: 1\ndtype: float32\n" + MLP.read_text())
    run("init", spec, "-o", "w.h5", "--seed", "7", "--dtype", "float64", "--format", "safetensors")
    found = glorot.inspect_weights("w.h5")
    assert found.format == "safetensors"
    assert found.provenance is not None
    assert (found.provenance["spec"]["seed"], found.provenance["spec"]["dtype"]) == (7, "float64")
    assert {tensor.dtype for tensor in found.tensors} == {"float64"}


def test_force_is_asked_for(run: Run) -> None:
    here = Path.cwd()
    arguments = ("init", MLP, "-o", "w.h5", "--seed", "1", "--quiet")
    assert run(*arguments) == (0, "", "")
    line = f"glorot: {here}/w.h5 exists; replace it with --force\n"
    assert run(*arguments) == (2, "", line)
    assert run(*arguments, "--force") == (0, "", "")


def test_a_spec_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MLP.read_bytes())))
    code, out, _ = run("init", "-", "-o", "w/", "--json", "--seed", "42")
    assert code == 0
    assert json.loads(out)["totals"]["parameters"] == 7114
    assert np.load("w/dense/kernel.npy")[0, 0] == np.float32(-0.1532677859067917)


# fans


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["3,3,64,128", "--axes", "HWIO"],
         "fan_in 576, fan_out 1152, glorot limit 0.05892556509887896"),
        (["(100, 64)", "--axes", "IO"],
         "fan_in 100, fan_out 64, glorot limit 0.1912730139190015"),
        (["[24,8]", "--axes", "OI", "--fused", "3"],
         "fan_in 8, fan_out 8, glorot limit 0.6123724356957945"),
        (["3,3,8,2", "--fans", "keras"],
         "fan_in 72, fan_out 18, glorot limit 0.2581988897471611"),
        (["16,1,3,3", "--fans", "torch"],
         "fan_in 9, fan_out 144, glorot limit 0.19802950859533486"),
        (["7"], "fan_in 7, fan_out 7, glorot limit 0.6546536707079771"),
    ],
)  # fmt: skip
def test_fans(arguments: list[str], line: str, run: Run) -> None:
    assert run("fans", *arguments) == (0, f"{line}\n", "")


def test_fans_in_json(run: Run) -> None:
    code, out, err = run("fans", "3,3,64,128", "--axes", "HWIO", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "shape": [3, 3, 64, 128],
        "axes": "HWIO",
        "rule": "exact",
        "fan_in": 576,
        "fan_out": 1152,
        "limit": 0.05892556509887896,
    }


# schema


@pytest.fixture(scope="module")
def validator() -> Any:
    """Return the validator that an editor would make of the schema."""
    return jsonschema.Draft202012Validator(spec_schema())


def test_the_schema_is_printed(run: Run) -> None:
    code, out, err = run("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == spec_schema()
    jsonschema.Draft202012Validator.check_schema(json.loads(out))


SPECS = sorted(
    path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.*") if path.is_file()
)


@pytest.mark.parametrize("sample", SPECS)
def test_sample_specs_pass_the_schema(sample: str, validator: Any) -> None:
    assert validator.is_valid(yaml.safe_load((SAMPLES / sample).read_text("utf-8")))


DENSE = {"type": "Dense", "units": 3}


@pytest.mark.parametrize(
    ("spec", "valid"),
    [
        ({"layers": [DENSE]}, True),
        ({"seed": 2**64 - 1, "layers": [{**DENSE, "name": "a", "input_shape": [None, 3]}]}, True),
        ({"layers": [{**DENSE, "kernel_initializer": "GlorotUniform"}]}, True),
        ({"layers": [{**DENSE, "bias_initializer": {"name": "constant", "value": 1}}]}, True),
        ({"tensors": {"w": {"shape": [3, 4], "axes": "IO", "initializer": "zeros"}}}, True),
        ({"tensors": [{"w": {"shape": [], "initializer": "ones"}}]}, True),
        ({"layers": [{"type": "Conv2D", "filters": 3, "kernel_size": [3, 3]}]}, True),
        ({"seeed": 1}, False),
        ({"seed": -1}, False),
        ({"seed": 2**64}, False),
        ({"layers": [{"type": "Dense"}]}, False),
        ({"layers": [{**DENSE, "unit": 3}]}, False),
        ({"layers": [{**DENSE, "units": 0}]}, False),
        ({"layers": [{**DENSE, "use_bias": "no"}]}, False),
        ({"layers": [{**DENSE, "activation": "rellu"}]}, False),
        ({"layers": [{"type": "Dens", "units": 3}]}, False),
        ({"layers": [{"units": 3}]}, False),
        ({"layers": [{**DENSE, "kernel_initializer": {"name": "constant", "valu": 1}}]}, False),
        ({"tensors": {"w": {"shape": [3], "initialiser": "zeros"}}}, False),
        ({"tensors": {"w": {"shape": [0], "initializer": "zeros"}}}, False),
        ({"tensors": {"w": 0}}, False),
        ({"tensors": {"w": 3}}, True),
        ({"tensors": {"w": [3, 4]}}, True),
        ({"tensors": [{"name": "w", "shape": [3]}, {"v": [4]}]}, True),
        ({"tensors": [{"name": True, "shape": [3]}]}, False),
        ({"layers": {"a": [3, 4], "b": DENSE, "c": {"shape": 3, "bias": True}}}, True),
        ({"layers": {"a": {"shap": [3, 4]}}}, False),
        ({"layers": [{"name": "a", "shape": [3, 4], "type": "conv2d"}]}, True),
        ({"layers": [{"shape": [3, 4]}]}, False),
        ({"layers": [{"type": "dense", "units": 3, "input_dim": 4}]}, True),
        ({"layers": [{"type": "batch_normalization", "input_shape": 4}]}, True),
        ({"dialect": "torch", "layers": [{"type": "linear", "in_features": 3}]}, False),
        ({"a": [3, 4], "b": [], "c": 4}, True),
        ({"a": [3, 4], "seed": 4}, False),
        ({"a": [3, "d"]}, False),
        ({"$schema": "s", "name": "n", "x-y": {}, "layers": [DENSE], "initializer": "ones"}, True),
        ({"$schema": "s", "name": "n", "description": "d", "x-y": {}, "a": [3]}, True),
        ({"name": [3], "a": [3]}, False),
        ({"fans": "pytorch"}, False),
        ([], False),
    ],
)
def test_the_schema_tells_good_specs_from_bad(spec: object, valid: bool, validator: Any) -> None:
    assert validator.is_valid(spec) is valid


# Trouble


def test_ctrl_c_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "pwrite", interrupt)
    arguments = ("init", MLP, "-o", "w.h5", "--seed", "1")
    assert run(*arguments) == (130, "", "glorot: interrupted\n")
    assert list(Path.cwd().iterdir()) == []


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    head = shutil.which("true")
    assert head is not None
    command = [sys.executable, "-m", "glorot_cli", "plan", str(SAMPLES / "mobilenet_v1.yaml")]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        ended = subprocess.run([*command, "--quiet", "--json"], stdout=pipe, stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_pipe_into_head_prints_its_lines() -> None:
    command = f"{sys.executable} -m glorot_cli plan {SAMPLES}/mobilenet_v1.yaml --json | head -n 2"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert ended.stdout == '{\n  "tensors": [\n'
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("moment", ["printing", "flushing"])
def test_a_broken_pipe_in_this_process(
    moment: str, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def gone(*_: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with monkeypatch.context() as patch:
            patch.setattr(out, "write" if moment == "printing" else "flush", gone)
            assert main(["plan", str(MLP), "--seed", "1"]) == 141


@pytest.mark.parametrize("moment", ["write", "flush"])
def test_output_onto_a_full_disk_is_one_line(
    moment: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, moment, fail)
        code = main(["plan", str(MLP), "--seed", "1"])
    assert (code, capsys.readouterr().err) == (
        2,
        "glorot: cannot write the output: No space left on device\n",
    )


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("glorot_cli.plan.make_plan", bug)
    with pytest.raises(ZeroDivisionError):
        main(["plan", str(MLP)])


def test_an_error_cannot_move_the_cursor(run: Run) -> None:
    code, out, err = run("plan", "a\x1b[2Jb\nc")
    assert (code, out) == (2, "")
    assert err == "glorot: cannot read the spec 'a\\x1b[2Jb\\nc': No such file or directory\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_the_commands(shell: str) -> None:
    environment = {
        **os.environ,
        "_GLOROT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "glorot pl",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "glorot pl",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    script = "import sys; sys.argv = ['glorot']; from glorot_cli.__main__ import run; run()"
    ended = python("-c", script, env=environment)
    assert "plan" in ended.stdout
    assert "Traceback" not in ended.stderr


# On a terminal


class Terminal(io.StringIO):
    """A terminal that remembers what was written on it."""

    def isatty(self) -> bool:
        """Say that a person looks on."""
        return True


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert main(["plan", str(MLP), "--seed", "42"]) == 0
    text = terminal.getvalue()
    assert "\x1b[3" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["dense/bias", "(64)", "float32", "zeros", "0"] in rows
    assert "7,114 parameters, 28.5 kB" in text


def test_a_terminal_gets_the_table_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    np.save("w.npy", np.zeros((2, 3), "f4"))
    Path("w.npy").rename("[bold]w.npy")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert main(["inspect", "[bold]w.npy"]) == 0
    rows = [line.split() for line in terminal.getvalue().splitlines()]
    assert ["[bold]w", "(2,", "3)", "float32", "2", "3", "1.095", *"0000", "zeros"] in rows


def test_a_progress_bar_shows_once_work_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with report.progress_bar(1000, True) as update:
        assert update is not None
        update(10)
        assert terminal.getvalue() == ""
        monkeypatch.setattr(report, "PROGRESS_SECONDS", 0.0)
        update(500)
        update(1000)
    assert "1.0/1.0 kB" in terminal.getvalue()


@pytest.mark.parametrize("shown", [False, True])
def test_no_progress_bar_where_nobody_looks(shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO() if shown else Terminal())
    with report.progress_bar(1000, shown) as update:
        assert update is None


def test_info_says_what_a_bug_report_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from glorot_cli.streams.kernels import kernels

    monkeypatch.setenv("GLOROT_KERNELS", "off")
    kernels.cache_clear()
    code, out, err = run("info", "--json")
    kernels.cache_clear()
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["version"] == glorot.__version__
    assert found["kernels"] == "NumPy (off by GLOROT_KERNELS)"
    assert found["libraries"]["numpy"] == np.__version__
    assert found["streams"]["aes-ctr"] == 1
    assert found["formats"]["npy"] == ".npy, one tensor"
    code, out, _ = run("info")
    assert (code, out.splitlines()[0]) == (0, f"glorot {glorot.__version__}")
    assert "kernels: " in out
