"""The user's side of the process that reads HDF5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glorot_cli.child import DATA
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import reader_process
from glorot_cli.formats.reader_process import Process, Program
from glorot_cli.formats.table import H5

# What HDF5's library may take, beyond its own size, before it is ended.
LARGEST_MEMORY = 768 << 20
PROGRAM = Program(
    str(H5.process),
    LARGEST_MEMORY,
    "HDF5's library",
    "it is damaged, or its chunks lie across the order of its elements",
)
_process = Process(PROGRAM)


class OpenFile(reader_process.OpenFile):
    """Be an HDF5 file that the process reads for any thread."""

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        super().__init__(path, request, _process)

    def block(self, dataset: str, name: str, number: int, nbytes: int) -> bytes:
        """Return the bytes of a block of a dataset.

        Raises:
            FormatError: if they cannot be read, or are not as many.
        """
        question = {"dataset": dataset, "number": number}
        found = self.ask(question, DATA, f"{self.path}: {shown(name)}", nbytes)
        if len(found) != nbytes:
            raise FormatError(f"{self.path}: {shown(name)}: the file has changed")
        return found
