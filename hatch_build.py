"""Compile the inner loops where there is a compiler; without one the wheel is a pure one.

`GLOROT_BUILD_KERNELS=off` leaves them out, `require` makes a failure an error, and `CC` names the
compiler.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULE = "glorot_cli/streams/_kernels"
SOURCES = ["_kernels.c", "_moments.c", "_frameworks.c"]
# Contraction would round a product and a sum once instead of twice: other bits.
FLAGS = [
    "-std=c11",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
]


class Kernels(BuildHookInterface):
    """Build the extension module for the stable ABI, and tag the wheel by it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is packed."""
        built = Path(self.root, f"{MODULE}.abi3.so")
        built.unlink(missing_ok=True)
        wish = os.environ.get("GLOROT_BUILD_KERNELS", "auto")
        # A free-threaded Python has no stable ABI.
        if wish == "off" or sysconfig.get_config_var("Py_GIL_DISABLED"):
            return
        reason = _compile(built)
        if reason is not None:
            if wish == "require":
                raise RuntimeError(f"the kernels were not built: {reason}")
            self.app.display_warning(f"kernels not built, NumPy is used instead: {reason}")
            return
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["artifacts"].append(f"{MODULE}.abi3.so")


def _compile(built: Path) -> str | None:
    """Compile with the first compiler that can, or say why none could."""
    shared = (
        ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    )
    named = os.environ.get("CC")
    compilers = [named] if named else [sysconfig.get_config_var("CC"), "cc", "gcc", "clang"]
    reason = "no compiler was found"
    for compiler in filter(None, compilers):
        command = [
            *shlex.split(compiler), *FLAGS, *shared, f"-I{sysconfig.get_path('include')}",
            *(str(built.with_name(name)) for name in SOURCES), "-lm", "-o", str(built),
        ]  # fmt: skip
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        except FileNotFoundError:
            continue
        except (OSError, subprocess.SubprocessError) as error:
            built.unlink(missing_ok=True)
            reason = f"{error} {getattr(error, 'stderr', None) or ''}"
            continue
        return None
    return reason
