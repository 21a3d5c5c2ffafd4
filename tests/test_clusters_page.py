"""docs/clusters.md: its scripts run, with small sizes, and write what one process writes.

Slurm and MPI are stood in for by programs that set what the real ones set and start the command as
often. torchrun and Dask are real, and in `tests/interop/test_cluster_docs.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import pages
from tests.interop import test_cluster_docs

# Dozens of processes each: too slow for the plain suite.
pytestmark = pytest.mark.interop

BLOCKS = pages.named_blocks("clusters.md")

SBATCH = r"""
dependency= command= id=41
for word in "$@"; do
    case $word in
        --parsable) echo $id ;;
        --dependency=afterok:*) dependency=${word#*:} ;;
        --wrap=*) command=${word#--wrap=} ;;
        *) script=$word ;;
    esac
done
if [ -n "$command" ]; then
    [ "$dependency" = $id ]
    exec sh -c "$command"
fi
range=$(sed -n 's/^#SBATCH --array=//p' "$script")
first=${range%-*} last=${range#*-}
export SLURM_ARRAY_TASK_MIN=$first SLURM_ARRAY_TASK_COUNT=$((last - first + 1))
export SLURM_CPUS_PER_TASK=$(sed -n 's/^#SBATCH --cpus-per-task=//p' "$script")
export SLURM_PROCID=0 SLURM_NTASKS=1
for task in $(seq "$last" -1 "$first"); do
    SLURM_ARRAY_TASK_ID=$task sh -e "$script"
done
"""
SRUN = r"""
[ "$1" = "--cpus-per-task=$SLURM_CPUS_PER_TASK" ]
shift
tasks=()
for rank in 2 0 3 1; do
    SLURM_PROCID=$rank SLURM_NTASKS=4 "$@" & tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task"; done
"""
MPIRUN = r"""
[ "$1" = -n ]
count=$2
shift 2
for rank in $(seq 0 $((count - 1))); do
    OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_SIZE=$count "$@"
done
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages.copy_samples(tmp_path)
    command = "glorot init sample_specs/llama2_7b.yaml -o one --seed 42 --max-shard-size 1GB -q"
    pages.ran(pages.small(command), tmp_path)
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
    }


def shell_loop(folder: Path) -> None:
    pages.ran(pages.small(BLOCKS["shell-loop"]), folder)


def slurm_array(folder: Path) -> None:
    pages.put_program(folder, "sbatch", SBATCH)
    (folder / "array.sh").write_text(pages.small(BLOCKS["slurm-array"]), "utf-8")
    pages.ran(BLOCKS["slurm-submit"], folder)


def slurm_srun(folder: Path) -> None:
    pages.put_program(folder, "srun", SRUN)
    # What the batch script itself is given, as the first of the tasks.
    batch = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_CPUS_PER_TASK": "4"}
    assert "#SBATCH --ntasks=4\n#SBATCH --cpus-per-task=4\n" in BLOCKS["slurm-srun"]
    pages.ran(pages.small(BLOCKS["slurm-srun"]), folder, batch)


def mpi(folder: Path) -> None:
    pages.put_program(folder, "mpirun", MPIRUN)
    pages.ran(pages.small(BLOCKS["mpi"]), folder)


RUNS: dict[str, Callable[[Path], None]] = {
    "shell-loop": shell_loop,
    "slurm-array": slurm_array,
    "slurm-submit": slurm_array,
    "slurm-srun": slurm_srun,
    "mpi": mpi,
}


@pytest.mark.parametrize("run", {run.__name__: run for run in RUNS.values()}.values())
def test_a_script_writes_what_one_process_writes(folder: Path, run: Callable[[Path], None]) -> None:
    run(folder)
    assert hashes(folder / "llama") == hashes(folder / "one")
    assert len(hashes(folder / "one")) > 8


def test_every_block_is_run() -> None:
    assert sorted(BLOCKS) == sorted([*RUNS, *test_cluster_docs.RUNS])


def test_the_array_started_again_keeps_what_a_member_wrote(folder: Path) -> None:
    pages.put_program(folder, "sbatch", SBATCH)
    (folder / "array.sh").write_text(pages.small(BLOCKS["slurm-array"]), "utf-8")
    member = {
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_COUNT": "4",
        "SLURM_CPUS_PER_TASK": "1",
    }
    pages.ran("sh array.sh", folder, member)
    kept = {file.name: file.stat().st_mtime_ns for file in (folder / "llama").iterdir()}
    assert kept
    assert "model.safetensors.index.json" not in kept
    pages.ran(BLOCKS["slurm-submit"], folder)
    assert hashes(folder / "llama") == hashes(folder / "one")
    assert {name: (folder / "llama" / name).stat().st_mtime_ns for name in kept} == kept


def test_a_batch_script_without_srun_is_rank_0_alone(folder: Path) -> None:
    script = pages.small(BLOCKS["slurm-srun"])
    script = re.sub(r"srun .*\\\n", "", script).replace("glorot verify llama --quiet", "")
    batch = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_CPUS_PER_TASK": "4"}
    pages.ran(script, folder, batch)
    written = [int(name[6:11]) for name in hashes(folder / "llama")]
    assert written == list(range(1, len(hashes(folder / "one")), 4))


def test_the_page_names_what_the_program_reads(folder: Path) -> None:
    text = (pages.DOCS / "clusters.md").read_text("utf-8")
    table = text.partition("\n## The index\n")[0].rpartition("| rank |")[2]
    named = re.findall(r"`([A-Z_]+)`", table)
    command = "glorot init sample_specs/mlp.yaml -o x --max-shard-size 1GB --seed 1 --ranks auto"
    message = pages.shell(command, folder).stderr
    assert sorted({*named} - {"SLURM_ARRAY_TASK_MIN"}) == sorted(re.findall("[A-Z_]{4,}", message))
