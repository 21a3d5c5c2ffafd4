"""What the system refuses and what signals stop: the line each prints, and that nothing is left."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli import __main__
from glorot_cli.errors import explained
from glorot_cli.formats import folders, leavings, replacing
from tests.faults.forked import forked
from tests.faults.runs import OUTPUTS, START, STOPS, Replacing, Resumed

Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

SPEC = "seed: 1\ntensors:\n  w: {shape: [8, 8], axes: IO, initializer: glorot_uniform}\n"
ACCENT = "seed: 1\ntensors:\n  wé: {shape: [3], initializer: ones}\n"
DEEP = "seed: 1\ntensors:\n  a/w: {shape: [3], initializer: ones}\n"
SIX = """
seed: 1
tensors:
  "w.{i}": {shape: [64, 64], axes: IO, initializer: glorot_uniform, repeat: {i: 6}}
"""
SHARDS = "--max-shard-size 40KB"
LONG = "a" * 300


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a few specs."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, text in (("spec", SPEC), ("accent", ACCENT), ("six", SIX), ("deep", DEEP)):
        Path(f"{name}.yaml").write_text(text, "utf-8")
    return folder


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Faults of paths and disks, in this process: what is done first, the command, and its line. The
# folder that it is run in is {here}.


class Fault(NamedTuple):
    """Say what is done first, which command meets it, and what that prints."""

    before: Callable[[], object]
    command: str
    line: str


def nothing() -> None:
    """Do nothing first."""


def npy_folder(*more: str) -> None:
    """Make a folder of .npy that holds something else too."""
    assert glorot.write_weights(glorot.make_plan(glorot.load_spec("spec.yaml")), "f/")
    for name in more:
        Path("f", name).parent.mkdir(exist_ok=True)
        Path("f", name).touch()


def linked_npy_folder() -> None:
    """Make a folder of .npy in which a link stands for a folder outside."""
    spec = {"seed": 1, "tensors": {"a/w": {"shape": [3], "initializer": "ones"}}}
    glorot.write_weights(glorot.make_plan(glorot.load_spec(spec)), "f/")
    Path("f/a").rename("outside")
    Path("f/a").symlink_to(Path("outside").absolute())


def others_manifest() -> None:
    """Make a folder with a manifest that is not of glorot's."""
    Path("f").mkdir()
    Path("f/manifest.json").write_text('{"name": "an extension for a browser"}')


def others_tensor() -> None:
    """Make a folder with a file of the name that a tensor's gets."""
    Path("f").mkdir()
    Path("f/w.npy").touch()


def link_loop() -> None:
    """Make two links that lead to each other."""
    Path("w.h5").symlink_to("v.h5")
    Path("v.h5").symlink_to("w.h5")


def old_shard() -> None:
    """Leave a shard in the way, which is not the first."""
    Path("x").mkdir()
    Path("x/model-00003-of-00003.safetensors").touch()


FAULTS: dict[str, Fault] = {
    "the folder is missing": Fault(
        nothing, "init spec.yaml -o no/w.h5",
        "cannot write {here}/no/w.h5: there is no folder {here}/no",
    ),
    "the folder of shards has none above it": Fault(
        nothing, f"init six.yaml -o no/x {SHARDS}",
        "cannot write {here}/no/x: there is no folder {here}/no",
    ),
    "the same for a rank": Fault(
        nothing, f"init six.yaml -o no/x {SHARDS} --rank 0 --world-size 2",
        "cannot write {here}/no/x: there is no folder {here}/no",
    ),
    "a file stands where the folder is to be": Fault(
        lambda: Path("x").touch(), f"init six.yaml -o x/ {SHARDS} --resume",
        "cannot write {here}/x/: it is a file",
    ),
    "a folder stands where the file is to be": Fault(
        lambda: Path("w.h5").mkdir(), "init spec.yaml -o w.h5 --format h5 -f",
        "cannot write {here}/w.h5: it is a folder",
    ),
    "the output is the spec": Fault(
        nothing, "init spec.yaml -o spec.yaml --format h5 -f", "-o: spec.yaml is the spec itself",
    ),
    "the output is a link to the spec": Fault(
        lambda: Path("w.h5").symlink_to("spec.yaml"), "init spec.yaml -o w.h5 -f",
        "-o: w.h5 is the spec itself",
    ),
    "the output is a link that leads in a circle": Fault(
        link_loop, "init spec.yaml -o w.h5 -f",
        "cannot write w.h5: Too many levels of symbolic links",
    ),
    "the output is a pipe with a name": Fault(
        lambda: os.mkfifo("w.h5"), "init spec.yaml -o w.h5 -f",
        "cannot write {here}/w.h5: it is not a regular file",
    ),
    "the output is a device": Fault(
        nothing, "init spec.yaml -o /dev/null --format h5 -f",
        "cannot write /dev/null: it is not a regular file",
    ),
    "the output's name has 300 letters": Fault(
        nothing, f"init spec.yaml -o {LONG}.h5",
        f"{LONG}.h5: File name too long",
    ),
    "the spec's name has 300 letters": Fault(
        nothing, f"plan {LONG}.yaml",
        f"cannot read the spec '{LONG[:56]}...: File name too long",
    ),
    "the output's name moves a cursor": Fault(
        nothing, "init spec.yaml -o a\nb\x1b[31m/w.h5",
        "cannot write {here}/a\\nb\\x1b[31m/w.h5: there is no folder {here}/a\\nb\\x1b[31m",
    ),
    "the file is there": Fault(
        lambda: Path("w.h5").touch(), "init spec.yaml -o w.h5",
        "{here}/w.h5 exists; replace it with --force",
    ),
    "the last of three shards is there": Fault(
        old_shard, f"init six.yaml -o x {SHARDS} --rank 0 --world-size 1",
        "{here}/x/model-00003-of-00003.safetensors was not written by glorot, so it is not "
        "replaced; move it away",
    ),
    "a folder in it is a link to elsewhere": Fault(
        linked_npy_folder, "init deep.yaml -o f/ -f",
        "{here}/f/a was not written by glorot, so it is not replaced; move it away",
    ),
    "its manifest is another program's": Fault(
        others_manifest, "init spec.yaml -o f/ -f",
        "{here}/f/manifest.json was not written by glorot, so it is not replaced; move it away",
    ),
    "a tensor's file is another program's": Fault(
        others_tensor, "init spec.yaml -o f/ -f",
        "{here}/f/w.npy was not written by glorot, so it is not replaced; move it away",
    ),
    "a folder stands where a tensor's file is to be": Fault(
        lambda: Path("f/w.npy").mkdir(parents=True), "init spec.yaml -o f/ -f",
        "{here}/f/w.npy was not written by glorot, so it is not replaced; move it away",
    ),
    "the output is the working folder": Fault(
        nothing, "init spec.yaml -o ./ -f",
        "cannot replace {here}/: it is the working folder, or holds it; run from another",
    ),
    "the output holds the working folder": Fault(
        nothing, f"init spec.yaml -o .. {SHARDS} -f",
        "cannot replace {here.parent}/: it is the working folder, or holds it; run from another",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_path_is_one_line(name: str, run: Run, here: Path) -> None:
    before, command, line = FAULTS[name]
    before()
    found = listing(here)
    assert run(*command.split(" ")) == (2, "", f"glorot: {line.format(here=here)}\n")
    assert listing(here) == found


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Let a folder be read only, and be a user whom that stops: root it does not."""
    is_root = os.geteuid() == 0
    parents = [path for path in folder.parents if is_root and not path.stat().st_mode & 1]
    modes = {path: path.stat().st_mode for path in (folder, *parents)}
    folder.chmod(0o555)
    for parent in parents:
        parent.chmod(0o755)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("-o w.safetensors", "/w.safetensors"),
        ("-o w.npy", "/w.npy"),
        ("-o f/", "/f"),
        (f"-o x {SHARDS}", "/x"),
        (f"-o x {SHARDS} --rank 0 --world-size 2", "/x"),
        ("-o w.h5 --force", "/w.h5"),
    ],
)
def test_a_folder_that_may_only_be_read(output: str, place: str, run: Run, here: Path) -> None:
    Path("w.h5").write_bytes(b"old")
    command = ["init", "spec.yaml", *output.split(" ")]
    run(*command[:2], "-o", "warm.h5")  # what is loaded when used is loaded by now
    found = listing(here)
    with as_nobody(here):
        said = run(*command)
    assert said == (2, "", f"glorot: cannot write {here}{place}: Permission denied\n")
    assert listing(here) == found
    assert Path("w.h5").read_bytes() == b"old"


def test_a_spec_that_may_not_be_read(run: Run, here: Path) -> None:
    Path("spec.yaml").chmod(0)
    with as_nobody(here):
        said = run("plan", "spec.yaml")
    assert said == (2, "", "glorot: cannot read the spec 'spec.yaml': Permission denied\n")


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("-o w.safetensors", "w.safetensors"),
        (f"-o x {SHARDS}", "x"),
        (f"-o x {SHARDS} --rank 0 --world-size 1", "x"),
    ],
)
def test_a_disk_that_is_too_small_is_said_before_the_first_byte(
    output: str, place: str, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(here)._replace(free=90_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert run("init", "six.yaml", *output.split(" ")) == (
        2,
        "",
        f"glorot: cannot write {here}/{place}: 98,304 bytes are needed, 90,000 are free\n",
    )
    assert not list(here.rglob("*safetensors"))


# Faults of streams, locales, limits and the like, each in a process of its own, by a shell: the
# command, its exit code, and what it prints on standard output and on standard error.

SHELL: dict[str, tuple[str, int, str, str]] = {
    "standard output is closed": (
        "glorot fans 3,4 --axes IO >&-", 2, "",
        "glorot: cannot write the output: Bad file descriptor\n",
    ),
    "and nothing was to be printed": ("glorot init spec.yaml -o a.h5 --quiet >&-", 0, "", ""),
    "standard output is closed for --version": (
        "glorot --version >&-", 2, "", "glorot: cannot write the output: Bad file descriptor\n",
    ),
    "standard error is closed for a note": (
        "sed 1d spec.yaml | glorot init - -o b.h5 --json 2>&- | head -n 2", 0,
        '{\n  "tensors": [\n', "",
    ),
    "standard error is closed for a mistake": ("glorot plan no.yaml 2>&-", 2, "", ""),
    "standard error is full": ("glorot plan no.yaml 2>/dev/full", 2, "", ""),
    "standard input is closed": (
        "glorot plan - <&-", 2, "", "glorot: cannot read the spec '<stdin>': Bad file descriptor\n",
    ),
    "standard output is full": (
        "glorot fans 3,4 --axes IO >/dev/full", 2, "",
        "glorot: cannot write the output: No space left on device\n",
    ),
    "standard output is full for --version": (
        "glorot --version >/dev/full", 2, "",
        "glorot: cannot write the output: No space left on device\n",
    ),
    "standard output is full for --help": (
        "glorot --help >/dev/full", 2, "",
        "glorot: cannot write the output: No space left on device\n",
    ),
    "the reader of --help has gone": (
        "{ sleep 0.1; glorot --help; echo $? >&2; } | true", 0, "", "141\n",
    ),
    "the reader of --version has gone": (
        "{ sleep 0.1; glorot --version; echo $? >&2; } | true", 0, "", "141\n",
    ),
    "the output is a pipe": (
        "glorot init spec.yaml -o /dev/stdout --format h5 -f | cat >&2", 0, "",
        "glorot: cannot write /dev/stdout: it is not a regular file\n",
    ),
    "there is no home": (
        "unset HOME; glorot plan spec.yaml | tail -n 1", 0, "64 parameters, 256 B\n", "",
    ),
    "there is no folder for temporary files": (
        "TMPDIR=/none HOME=/none glorot init spec.yaml -o c.h5 --quiet", 0, "", "",
    ),
    "the terminal knows ASCII only": (
        "PYTHONIOENCODING=ascii glorot plan accent.yaml | tail -n 2 | cut -d ' ' -f 1", 0,
        "w\\xe9\n3\n", "",
    ),
    "the terminal knows ASCII only, and a mistake": (
        "PYTHONIOENCODING=ascii glorot plan é.yaml", 2, "",
        "glorot: cannot read the spec '\\xe9.yaml': No such file or directory\n",
    ),
    "the terminal knows Latin-1 only": (
        "PYTHONIOENCODING=latin-1 glorot plan accent.yaml | tail -n 2 | cut -c 1-3 | od -A n -c", 0,
        "   w 351      \\n   3       p  \\n\n", "",
    ),
    "the locale is C": (
        "LC_ALL=C glorot plan accent.yaml | tail -n 2 | cut -d ' ' -f 1", 0, "wé\n3\n", "",
    ),
    "names of files are ASCII": (
        "LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 glorot init accent.yaml -o g/", 2, "",
        "glorot: cannot write {here}/g: no file's name can hold '\\xe9' in ascii; "
        "set PYTHONUTF8=1\n",
    ),
    "a path is not UTF-8": (
        "glorot plan \"$(printf 'a\\377.yaml')\"", 2, "",
        "glorot: cannot read the spec 'a\\udcff.yaml': No such file or directory\n",
    ),
    "an output's path is not UTF-8": (
        "glorot init spec.yaml -o \"$(printf 'a\\377/w.h5')\"", 2, "",
        "glorot: cannot write {here}/a\\udcff/w.h5: there is no folder {here}/a\\udcff\n",
    ),
    "the working folder is gone": (
        "mkdir gone; cd gone; rmdir ../gone; glorot init {here}/spec.yaml -o w.h5", 2, "",
        "glorot: cannot find the working folder: No such file or directory\n",
    ),
    "too little memory to start": (
        "ulimit -v 100000; glorot fans 7", 2, "",
        "glorot: out of memory: 102,400,000 bytes are allowed, 200,000,000 are needed\n",
    ),
    "few files may be open": (
        "ulimit -n 12; sed s/6}}/300}}/ six.yaml | glorot init - -o many/ --quiet; ls many | wc -l",
        0, "301\n", "",
    ),
    "a file may not grow": (
        "ulimit -f 8; glorot init six.yaml -o d.safetensors", 2, "",
        "glorot: cannot write {here}/d.safetensors: File too large\n",
    ),
    "a shard may not grow": (
        f"ulimit -f 8; glorot init six.yaml -o x {SHARDS}", 2, "",
        "glorot: cannot write {here}/x/model-00001-of-00003.safetensors: File too large\n",
    ),
    "a rank's shard may not grow": (
        f"ulimit -f 8; glorot init six.yaml -o y {SHARDS} --rank 1 --world-size 2", 2, "",
        "glorot: cannot write {here}/y/model-00002-of-00003.safetensors: File too large\n",
    ),
    "a hang-up is ignored, as under nohup": (
        "trap '' HUP; python -c 'import os; from glorot_cli import __main__ as m; "
        "m._answer_signals(); os.kill(os.getpid(), 1); print(1)'", 0, "1\n", "",
    ),
}  # fmt: skip

# The same, where this process may mount: a small disk, and none of /proc.
MOUNTED: dict[str, tuple[str, int, str, str]] = {
    f"the disk is full for {options.split(' ')[0]}": (
        f"mkdir {name}; mount -t tmpfs -o size=1m tmpfs {name}; cd {name}; "
        f"glorot init ../full.yaml -o {options}; ls -A",
        0, "",
        f"glorot: cannot write {{here}}/{name}/{place}: No space left on device\n",
    )
    for name, options, place in (
        ("m1", "w.safetensors", "w.safetensors"),
        ("m2", "w.h5", "w.h5"),
        ("m3", "w.npy", "w.npy"),
        ("m4", "f/", "f"),
        ("m5", "x --max-shard-size 1MiB", "x/model.safetensors"),
        ("m6", "y --max-shard-size 1MiB --resume; rmdir y", "y/model.safetensors"),
    )
} | {
    "the disk is read only": (
        "mkdir ro; mount -t tmpfs -o ro tmpfs ro; glorot init spec.yaml -o ro/w.h5", 2, "",
        "glorot: cannot write {here}/ro/w.h5: Read-only file system\n",
    ),
    "the output is a mount point": (
        "mkdir mp; mount -t tmpfs tmpfs mp; glorot init spec.yaml -o mp/ -f", 2, "",
        "glorot: cannot replace {here}/mp/: it is a mount point; write to a folder in it\n",
    ),
    "the output is a mount of a folder of the same disk": (
        "mkdir same bind; mount --bind same bind; glorot init spec.yaml -o bind/", 2, "",
        "glorot: cannot replace {here}/bind/: it is a mount point; write to a folder in it\n",
    ),
    "the output holds a mount point": (
        f"mkdir -p h/logs; mount -t tmpfs tmpfs h/logs; glorot init six.yaml -o h -f {SHARDS}", 2,
        "", "glorot: cannot replace {here}/h/: 'logs' is a mount point; write to a folder beside "
        "it\n",
    ),
    "a mount point is written shard by shard": (
        "mkdir sh; mount -t tmpfs tmpfs sh; echo {} > sh/tokenizer.json; "
        f"glorot init six.yaml -o sh {SHARDS} --resume --quiet; ls -A sh | wc -l", 0, "5\n", "",
    ),
    "there is no /proc": (
        "mount -t tmpfs tmpfs /proc; glorot init spec.yaml -o p.h5 --quiet", 0, "", "",
    ),
}  # fmt: skip


def shell(command: str, folder: Path, *before: str) -> tuple[int, str, str]:
    """Run a command by a shell that knows glorot."""
    python = f"{sys.executable} -c '{START}' \"$@\""
    script = f'glorot() {{ {python}; }}; python() {{ {sys.executable} "$@"; }}; {command}'
    ended = subprocess.run(
        [*before, "sh", "-c", script], cwd=folder, capture_output=True, text=True
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all of those commands, two at a time, and return what became of them."""
    folder = tmp_path_factory.mktemp("shells")
    for name, text in (("spec", SPEC), ("accent", ACCENT), ("six", SIX)):
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    full = "seed: 1\ntensors:\n  w: {shape: [262144], initializer: ones}\n"
    (folder / "full.yaml").write_text(full)
    found: dict[str, Any] = {"here": folder}
    commands: dict[str, tuple[Any, ...]] = {}
    for name, row in SHELL.items():
        commands[name] = (row[0].replace("{here}", str(folder)), folder)
    apart = ("unshare", "-m")
    if shutil.which("unshare") and shell("mount -t tmpfs tmpfs .", folder, *apart)[0] == 0:
        for name, row in MOUNTED.items():
            commands[name] = (row[0], folder, *apart)
    with ThreadPoolExecutor(2) as pool:
        ended = pool.map(lambda command: shell(*command), commands.values())
        found.update(zip(commands, ended, strict=True))
    found["left"] = [path.name for path in folder.rglob("*") if path.name.startswith(".")]
    return found


@pytest.mark.parametrize("name", [*SHELL, *MOUNTED])
def test_a_fault_of_a_process_is_one_line(name: str, shells: dict[str, Any]) -> None:
    if name not in shells:
        pytest.skip("this process may not mount")
    _, code, out, err = {**SHELL, **MOUNTED}[name]
    assert shells[name] == (code, out, err.replace("{here}", str(shells["here"])))
    assert shells["left"] == []


# Memory and threads


def test_a_block_without_memory_is_one_line(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    run("init", "spec.yaml", "-o", "warm.safetensors")
    monkeypatch.setattr(np, "empty", refuse)
    assert run("init", "spec.yaml", "-o", "w.safetensors") == (2, "", "glorot: out of memory\n")
    assert not list(here.glob("*w.safetensors*tmp"))


def test_without_threads_this_one_draws(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    assert run("init", "six.yaml", "-o", "v.bin", "--format", "safetensors", "--quiet") == (
        0,
        "",
        "",
    )
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert run("init", "six.yaml", "-o", "w.safetensors", "--quiet") == (0, "", "")
    assert Path("w.safetensors").read_bytes() == Path("v.bin").read_bytes()
    assert run("verify", "w.safetensors", "--quiet") == (0, "", "")


def failed_load() -> ImportError:
    """Return what NumPy raises where its own library cannot be loaded."""
    try:
        try:
            raise ImportError("libfoo.so: failed to map segment", name="foo")
        except ImportError as reason:
            raise ImportError("IMPORTANT: PLEASE READ THIS\n\n...") from reason
    except ImportError as error:
        return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("can't start new thread"),
         "cannot start a thread: the system's limit is reached"),
        (failed_load(), "cannot load foo: libfoo.so: failed to map segment"),
        (ImportError("no reason"), "cannot load a library: no reason"),
        (OSError(5, "Input/output error", "a"), "a: Input/output error"),
        (OSError(5, "Input/output error", b"a\xff"), "a\udcff: Input/output error"),
        (UnicodeEncodeError("ascii", "é", 0, 1, ""),
         "'é' cannot be written in ascii: set PYTHONUTF8=1"),
        (RuntimeError("a bug"), None),
        (KeyError("a bug"), None),
    ],
)  # fmt: skip
def test_what_is_explained_and_what_is_a_bug(error: BaseException, line: str | None) -> None:
    assert explained(error) == line


def test_a_bug_has_a_traceback_and_a_code_of_its_own(here: Path) -> None:
    def bug() -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError

        import glorot_cli.cli

        glorot_cli.cli.main = fail  # type: ignore[assignment]
        os._exit(__main__._main([]))

    ended = forked([], here, bug)
    assert ended.code == 70
    assert ended.err.endswith("ZeroDivisionError\n")


def test_a_signal_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    answers: dict[int, object] = {}
    monkeypatch.setattr(signal, "signal", answers.__setitem__)
    monkeypatch.setattr(os, "_exit", leave)
    __main__._answer_signals()
    assert set(answers) == set(STOPS)
    with pytest.raises(SystemExit) as left:
        __main__._stop(signal.SIGTERM, None)
    assert left.value.code == 143
    assert capfd.readouterr() == ("", "glorot: terminated\n")
    assert set(answers.values()) == {signal.SIG_IGN}  # a second one changes nothing


def test_a_limit_of_memory_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1000, 1000))
    assert __main__._main(["fans", "7"]) == 2
    line = "glorot: out of memory: 1,000 bytes are allowed, 200,000,000 are needed\n"
    assert capfd.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BrokenPipeError(), 141, ""),
        (OSError(28, "No space left on device"), 2,
         "glorot: cannot write the output: No space left on device\n"),
    ],
)  # fmt: skip
def test_a_version_that_cannot_be_printed_in_this_process(
    error: OSError,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(sys.stdout, "write", fail)
    assert __main__._print_version() == code
    monkeypatch.undo()
    assert capfd.readouterr().err == line


# Who may read what is written, and what it replaces


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o027, 0o640)])
def test_permissions_are_the_umask_s(mask: int, mode: int, run: Run, here: Path) -> None:
    Path("w.safetensors").touch(0o444)
    before = os.umask(mask)
    try:
        for output in (
            "-o w.safetensors -f",
            "-o w.h5",
            "-o w.npy --include",
            "-o f/",
            f"-o x {SHARDS}",
        ):
            if "include" not in output:
                assert run("init", "six.yaml", *output.split(" "), "--quiet") == (0, "", "")
        assert run("init", "spec.yaml", "-o", "w.npy", "--quiet") == (0, "", "")
    finally:
        os.umask(before)
    made = [path for path in here.rglob("*") if path.suffix != ".yaml"]
    assert len(made) == 3 + 1 + 7 + 1 + 4
    for path in made:
        expected = mode | (mode & 0o444) >> 2 if path.is_dir() else mode
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_link_is_followed_and_a_hard_link_is_not(run: Run, here: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.h5"
    Path("w.h5").symlink_to(real)  # which is not there yet
    assert run("init", "spec.yaml", "-o", "w.h5", "--quiet") == (0, "", "")
    first = real.read_bytes()
    Path("hard.h5").hardlink_to(real)
    assert run("init", "spec.yaml", "-o", "w.h5", "--quiet", "-f", "--seed", "2") == (0, "", "")
    assert Path("w.h5").is_symlink()
    assert real.read_bytes() != first
    assert Path("hard.h5").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


# Two runs at once


@pytest.mark.parametrize(
    ("output", "line"),
    [("w.h5", "{here}/w.h5 exists; replace it with --force"),
     ("f/", "{here}/f is not empty; replace it with --force")],
)  # fmt: skip
@pytest.mark.parametrize("links", [True, False])
def test_a_run_that_was_slower_does_not_replace_unasked(
    output: str, line: str, links: bool, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: object) -> None:
        if output == "f/":
            Path("f").mkdir(exist_ok=True)
            Path("f/theirs").touch()
        else:
            Path("w.h5").write_bytes(b"theirs")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(replacing, "_flush", other)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    assert run("init", "spec.yaml", "-o", output) == (2, "", f"glorot: {line.format(here=here)}\n")
    assert not list(here.glob(".*"))
    assert Path("f/theirs").exists() or Path("w.h5").read_bytes() == b"theirs"


@pytest.mark.parametrize("output", ["w.h5", "f/"])
def test_two_forced_runs_at_once_leave_one_s(
    output: str, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = replacing._flush

    def other(path: Path) -> None:
        monkeypatch.setattr(replacing, "_flush", flush)
        plan = glorot.make_plan(glorot.load_spec("spec.yaml", {"seed": 3}))
        glorot.write_weights(plan, output, force=True)
        flush(path)

    assert run("init", "spec.yaml", "-o", output, "--quiet") == (0, "", "")
    monkeypatch.setattr(replacing, "_flush", other)
    assert run("init", "spec.yaml", "-o", output, "-f", "--quiet", "--seed", "2") == (0, "", "")
    provenance = glorot.inspect_weights(output).provenance
    assert provenance is not None
    assert provenance["spec"]["seed"] == 2
    assert not list(here.glob(".*"))


# Signals and kills; `python -m tests.faults.kill` does it many more times.


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_kill_at_any_step_leaves_the_old_or_the_new(kind: str, tmp_path: Path) -> None:
    replaced = Replacing(tmp_path / "kill", kind, 64, "40KB")
    rng = random.Random(kind)
    last = replaced.steps()
    for step in [*rng.sample(range(1, last - 4), 2), *range(last - 4, last)]:
        replaced.kill_at(step)
    for step in rng.sample(range(1, last), 2):
        replaced.stop_at(rng.choice(list(STOPS)), step)


def test_signals_and_kills_at_random_moments(tmp_path: Path) -> None:
    replaced = Replacing(tmp_path / "stop", "safetensors", 1024)
    rng = random.Random(1)
    seconds = replaced.measure()
    for number in STOPS:
        replaced.stop(number, rng.uniform(0.0, seconds))
    seconds = replaced.measure_forked()
    for _ in range(4):
        replaced.kill(rng.uniform(0.0, seconds))


@pytest.mark.parametrize("kind", ["ranks", "resume"])
def test_a_run_within_a_folder_that_is_killed_is_resumed(kind: str, tmp_path: Path) -> None:
    resumed = Resumed(tmp_path / kind, kind, 512)
    assert resumed.kill(0.7 * resumed.seconds)["whole after --resume"] == 1


def test_a_folder_that_cannot_be_exchanged_is_put_aside(tmp_path: Path) -> None:
    def plainly() -> None:
        folders._exchange = lambda *_: False

    replaced = Replacing(tmp_path / "aside", "npy", 64)
    last = replaced.steps(plainly)
    found = sum(
        (replaced.kill_at(step, plainly) for step in range(last - 52, last - 40)), Counter()
    )
    assert found["put aside"] > 0
    for step in range(last - 48, last, 16):
        replaced.stop_at(signal.SIGTERM, step, plainly)


def test_what_was_put_aside_is_put_back_before_anything_else(run: Run, here: Path) -> None:
    npy_folder()
    Path("f").rename(".f.0badf00d.glorot-old")
    line = f"glorot: {here}/f is not empty; replace it with --force\n"
    assert run("init", "spec.yaml", "-o", "f/") == (2, "", line)
    assert sorted(path.name for path in Path("f").iterdir()) == ["manifest.json", "w.npy"]
    shutil.copytree("f", ".f.0badf00d.glorot-old")
    assert run("init", "spec.yaml", "-o", "f/", "-f", "--quiet") == (0, "", "")
    assert not list(here.glob(".*"))


def test_a_folder_gets_its_name_back_where_the_new_one_cannot_take_it(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npy_folder()
    kept = Path("f/w.npy").read_bytes()
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if not target.exists() and target == here / "f" and (self / "w.npy").read_bytes() != kept:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    code, _, err = run("init", "spec.yaml", "-o", "f/", "-f", "--quiet", "--seed", "99")
    assert (code, err) == (2, f"glorot: cannot write {here}/f: Input/output error\n")
    assert Path("f/w.npy").read_bytes() == kept
    assert not list(here.glob(".*"))


def test_a_stop_within_what_must_not_be_broken_waits() -> None:
    done: list[str] = []
    with leavings.unbroken():
        with leavings.unbroken():
            leavings.abandon(lambda: done.append("left"))
        assert done == []
    assert done == ["left"]


def test_what_dead_ranks_left_of_any_shard_is_removed(run: Run, here: Path) -> None:
    Path("x").mkdir()
    Path("x/.model-00007-of-00009.safetensors.0badf00d.glorot-tmp").touch()
    command = ("init", "six.yaml", "-o", "x", *SHARDS.split(" "), "--quiet")
    assert run(*command, "--resume") == (0, "", "")
    assert len(listing(here / "x")) == 4


def test_a_file_system_without_locks_or_links(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(os, "link", refuse)
    for output in ("w.h5", "f/"):
        assert run("init", "spec.yaml", "-o", output, "--quiet") == (0, "", "")
        assert run("init", "spec.yaml", "-o", output, "--quiet", "-f") == (0, "", "")
    assert not list(here.glob(".*"))
