"""What a run's exit code says."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Name the exit codes."""

    DONE = 0
    DIFFERENT = 1
    MISTAKE = 2
    BUG = 70
    HUNG_UP = 129
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143
