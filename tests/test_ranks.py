"""Shards written by several processes, or by one that is killed and resumed."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import glorot_cli as glorot
from glorot_cli.formats.base import INDEX
from glorot_cli.writing import sharding
from glorot_cli.writing.fill import fill as writing_fill
from glorot_cli.writing.ranks import Ranks, checked_ranks, ranks_of_environment
from tests.faults.forked import forked

Run = Callable[..., tuple[int, str, str]]

SPEC = """
seed: 7
dims: {n: 9}
tensors:
  "w.{i}": {shape: [64, 64], axes: IO, initializer: glorot_uniform, repeat: {i: n}}
"""
SIZE = "40KB"  # two tensors of 16 KiB each


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path


def hashes(folder: str | Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(Path(folder).iterdir())
    }


def init(*options: str) -> list[str]:
    return ["init", "spec.yaml", "--max-shard-size", SIZE, "--quiet", *options]


def test_ranks_together_write_what_one_process_does(run: Run, folder: Path) -> None:
    assert run(*init("-o", "one")) == (0, "", "")
    for rank in ("2", "0", "1"):
        assert not Path("three", "model.safetensors.index.json").exists()
        found = run(*init("-o", "three", "--rank", rank, "--world-size", "3"))
        assert found == (0, "", "")
    assert hashes("three") == hashes("one")
    assert len(hashes("one")) == 6


def test_more_ranks_than_shards_have_nothing_to_do(run: Run, folder: Path) -> None:
    assert run(*init("-o", "one")) == (0, "", "")
    for rank in range(7):
        options = ("-o", "seven", "--rank", str(rank), "--world-size", "7")
        assert run(*init(*options)) == (0, "", "")
    assert hashes("seven") == hashes("one")


def test_a_shard_that_is_whole_is_kept(run: Run, folder: Path) -> None:
    assert run(*init("-o", "out")) == (0, "", "")
    expected = hashes("out")
    times = {file.name: file.stat().st_mtime_ns for file in Path("out").iterdir()}
    names = [f"model-0000{n}-of-00005.safetensors" for n in range(1, 6)]
    Path("out", names[1]).unlink()
    data = Path("out", names[2]).read_bytes()
    Path("out", names[2]).write_bytes(data[:-1])  # cut short: not whole
    assert run(*init("-o", "out", "--resume")) == (0, "", "")
    assert hashes("out") == expected
    again = {file.name: file.stat().st_mtime_ns for file in Path("out").iterdir()}
    kept = {name for name in names if again[name] == times[name]}
    assert kept == {names[0], names[3], names[4]}


def of_another_run(shard: Path) -> tuple[int, str, str]:
    return (
        2,
        "",
        f"glorot: {shard} is of another run, with another spec, seed, base or size of shards; "
        "replace it with --force\n",
    )


def test_shards_of_another_plan_are_replaced_only_by_force(run: Run, folder: Path) -> None:
    assert run(*init("-o", "one", "--seed", "1")) == (0, "", "")
    before = hashes("one")
    found = run(*init("-o", "one", "--seed", "2", "--resume"))
    assert found == of_another_run(folder / "one" / "model-00001-of-00005.safetensors")
    assert hashes("one") == before
    assert run(*init("-o", "two", "--seed", "2")) == (0, "", "")
    assert run(*init("-o", "one", "--seed", "2", "--resume", "--force")) == (0, "", "")
    assert hashes("one") == hashes("two")


CUTS = """
seed: 1
tensors:
  a: {shape: [1000], initializer: random_normal}
  b: {shape: [500], initializer: random_normal}
  c: {shape: [500], initializer: random_normal}
  d: {shape: [500], initializer: random_normal}
"""


@pytest.mark.parametrize(
    "options",
    [
        ["--resume"],
        ["--rank", "1", "--world-size", "2"],
        ["--rank", "1", "--world-size", "2", "--resume"],
    ],
)
def test_a_shard_of_another_cut_is_not_adopted(
    options: list[str], run: Run, folder: Path
) -> None:  # fmt: skip
    Path("cuts.yaml").write_text(CUTS)
    command = ("init", "cuts.yaml", "-o", "out", "--quiet", "--max-shard-size")
    assert run(*command, "6KB", "--rank", "0", "--world-size", "2") == (0, "", "")
    shard = folder / "out" / "model-00001-of-00002.safetensors"
    before = hashes("out")
    assert run(*command, "8KB", *options) == of_another_run(shard)
    assert hashes("out") == before
    assert run(*command, "8KB", "--resume", "--force") == (0, "", "")
    assert run("verify", "out", "--quiet") == (0, "", "")


def test_the_second_of_two_that_resume_is_refused(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, said = writing_fill, []

    def meanwhile(*values: Any, **more: Any) -> Any:
        monkeypatch.setattr(sharding, "fill", fill)
        for options in (["--seed", "2", "--resume"], ["--rank", "0", "--world-size", "2"]):
            said.append(forked(init("-o", "out", *options), folder))
        return fill(*values, **more)

    monkeypatch.setattr(sharding, "fill", meanwhile)
    assert run(*init("-o", "out", "--resume")) == (0, "", "")
    line = f"glorot: another run is writing to {folder}/out; wait until it ends\n"
    assert said == [(2, "", line)] * 2
    assert run("verify", "out", "--quiet") == (0, "", "")
    assert len(hashes("out")) == 6


def test_ranks_of_two_seeds_do_not_both_end_well(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, said = writing_fill, []

    def meanwhile(*values: Any, **more: Any) -> Any:
        monkeypatch.setattr(sharding, "fill", fill)
        said.append(forked(init("-o", "out", "--rank", "1", "--world-size", "2"), folder))
        return fill(*values, **more)

    monkeypatch.setattr(sharding, "fill", meanwhile)
    found = run(*init("-o", "out", "--rank", "0", "--world-size", "2", "--seed", "2"))
    assert said == [(0, "", "")]
    assert found == of_another_run(folder / "out" / "model-00002-of-00005.safetensors")
    assert not Path("out", INDEX).exists()


def test_a_shard_that_is_there_is_not_replaced_unasked(run: Run, folder: Path) -> None:
    options = init("-o", "out", "--rank", "0", "--world-size", "2")
    assert run(*options) == (0, "", "")
    shard = folder / "out" / "model-00001-of-00005.safetensors"
    assert run(*options) == (2, "", f"glorot: {shard} exists; replace it with --force\n")
    assert run(*options, "--force") == (0, "", "")


def test_a_killed_run_goes_on(folder: Path, run: Run) -> None:
    big = SPEC.replace("[64, 64]", "[1024, 1024]").replace("n: 9", "n: 40")
    Path("spec.yaml").write_text(big, encoding="utf-8")
    command = [sys.executable, "-m", "glorot_cli", "init", "spec.yaml", "--max-shard-size", "4MiB"]
    command += ["-o", "out", "--quiet", "--workers", "1"]
    process = subprocess.Popen(command)
    while process.poll() is None:
        if list(Path().glob(".out.*.glorot-tmp/model-00003-*")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    assert process.wait() == -signal.SIGKILL
    (left,) = Path().glob(".out.*.glorot-tmp")
    assert not Path("out").exists()
    whole = {file.name: file.stat().st_mtime_ns for file in left.glob("model-*")}
    assert len(whole) >= 3
    resumed = ("init", "spec.yaml", "--max-shard-size", "4MiB", "-o", "out", "--quiet", "--resume")
    assert run(*resumed) == (0, "", "")
    kept = {name: Path("out", name).stat().st_mtime_ns for name in whole}
    assert kept == whole
    assert run("init", "spec.yaml", "--max-shard-size", "4MiB", "-o", "plain", "--quiet")[0] == 0
    assert hashes("out") == hashes("plain")
    assert not list(Path().glob(".out*"))
    shutil.rmtree("plain")


def test_two_ranks_at_once(folder: Path, run: Run) -> None:
    command = [sys.executable, "-m", "glorot_cli", *init("-o", "two")]
    processes = [
        subprocess.Popen([*command, "--ranks", "auto"],
                         env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"})
        for rank in range(2)
    ]  # fmt: skip
    assert [process.wait() for process in processes] == [0, 0]
    assert run(*init("-o", "one")) == (0, "", "")
    assert hashes("two") == hashes("one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rank", "2", "--world-size", "2"],
         "--rank: expected 0 to 1 of --world-size 2, found 2"),
        (["--rank", "0", "--world-size", "0"],
         "--world-size: expected 1 or more, found 0"),
        (["--rank", "1"], "--rank and --world-size go together"),
        (["--ranks", "slurm"], "--ranks: expected auto, found 'slurm'"),
        (["--ranks", "auto", "--rank", "0"], "--ranks auto takes no --rank and no --world-size"),
    ],
)  # fmt: skip
def test_mistakes(run: Run, folder: Path, options: list[str], message: str) -> None:
    assert run(*init("-o", "out", *options)) == (2, "", f"glorot: {message}\n")
    assert not Path("out").exists()


def test_ranks_need_shards_and_a_seed(run: Run, folder: Path) -> None:
    options = ("--rank", "0", "--world-size", "2")
    assert run("init", "spec.yaml", "-o", "w.safetensors", *options) == (
        2, "", "glorot: --resume and ranks are for shards: give --max-shard-size\n",
    )  # fmt: skip
    Path("spec.yaml").write_text(SPEC.replace("seed: 7", ""), encoding="utf-8")
    assert run(*init("-o", "out", *options)) == (
        2, "", "glorot: several processes need a seed, or each would draw its own: give --seed\n",
    )  # fmt: skip
    assert run(*init("-o", "out", "--seed", "7", "--rng", "torch", *options)) == (
        2,
        "",
        "glorot: several processes cannot share the stream torch, which is drawn from its start "
        "on; write all shards with one\n",
    )
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, (3, 8)),
        ({"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "2"},
         (3, 4)),
        ({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_PROCID": "0",
          "SLURM_NTASKS": "1"}, (1, 4)),
        ({"RANK": "0", "WORLD_SIZE": "2"}, (0, 2)),
    ],
)  # fmt: skip
def test_ranks_of_an_environment(environment: dict[str, str], ranks: tuple[int, int]) -> None:
    assert ranks_of_environment(environment) == Ranks(*ranks)


def test_an_environment_without_ranks() -> None:
    with pytest.raises(glorot.GlorotError) as caught:
        ranks_of_environment({"RANK": "0"})
    assert str(caught.value) == (
        "--ranks auto: expected in the environment one of: SLURM_PROCID and SLURM_NTASKS; "
        "SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT; RANK and WORLD_SIZE"
    )
    with pytest.raises(glorot.GlorotError, match=r"^RANK: expected a number, found 'x'$"):
        ranks_of_environment({"RANK": "x", "WORLD_SIZE": "2"})
    assert checked_ranks(0, 1) == Ranks(0, 1)


def test_an_older_index_goes_before_its_shards_do(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*init("-o", "out", "--seed", "1")) == (0, "", "")
    assert Path("out", INDEX).exists()
    options = ("-o", "out", "--seed", "2", "--rank", "1", "--world-size", "2", "--resume")
    assert run(*init(*options, "--force")) == (0, "", "")
    assert not Path("out", INDEX).exists()
    assert run("inspect", "out") == (
        2,
        "",
        f"glorot: out/ holds shards without {INDEX}: not all of them are written; "
        "glorot init --resume goes on\n",
    )
    assert run(*init("-o", "out", "--seed", "2", "--resume", "--force")) == (0, "", "")
    assert run("verify", "out", "--quiet") == (0, "", "")


def test_a_run_that_may_not_replace_shards_leaves_the_index(run: Run, folder: Path) -> None:
    assert run(*init("-o", "out")) == (0, "", "")
    before = hashes("out")
    code, _, _ = run(*init("-o", "out", "--seed", "2", "--rank", "0", "--world-size", "2"))
    assert code == 2
    assert hashes("out") == before


def test_shards_of_another_cut_are_not_mixed(run: Run, folder: Path) -> None:
    assert run(*init("-o", "out")) == (0, "", "")
    before = hashes("out")
    assert run(*init("-o", "out", "--max-shard-size", "60KB", "--resume")) == (
        2,
        "",
        f"glorot: {folder}/out/ holds shards of another cut, such as "
        "model-00001-of-00005.safetensors; remove them, or give --max-shard-size as it was\n",
    )
    assert hashes("out") == before


def test_a_rank_tells_of_its_own_tensors_and_of_what_is_to_come(run: Run, folder: Path) -> None:
    command = ["init", "spec.yaml", "--max-shard-size", SIZE, "-o", "out", "--world-size", "2"]
    code, out, err = run(*command, "--rank", "1")
    assert (code, err) == (
        0,
        "note: 2 shards are there so far; the rank that writes the last adds the index\n",
    )
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == ["w.2", "w.3", "w.6", "w.7"]
    assert out.splitlines()[-1] == "16,384 parameters, 65.5 kB"
    code, out, err = run(*command, "--rank", "0")
    assert (code, err, len(out.splitlines())) == (0, "", 7)
    again = run(*command, "--rank", "0", "--resume")
    assert again == (0, "", "note: every shard of this run is there already\n")


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize(
    "options", [["--resume"], ["--rank", "1", "--world-size", "2"],
                ["--rank", "0", "--world-size", "2", "--resume"]],
)  # fmt: skip
def test_weights_that_others_wrote_are_not_replaced(
    options: list[str], force: list[str], run: Run, folder: Path
) -> None:
    assert run(*init("-o", "out")) == (0, "", "")
    shard = folder / "out" / "model-00002-of-00005.safetensors"
    save_file({"w": np.ones(3, np.float32)}, shard)
    before = hashes("out")
    assert run(*init("-o", "out", *options, *force)) == (
        2,
        "",
        f"glorot: {shard} was not written by glorot, so it is not replaced; move it away\n",
    )
    assert hashes("out") == before
