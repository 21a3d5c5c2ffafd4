"""How the results of one command line are written, whichever they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glorot_cli.cli.results import Result
from glorot_cli.errors import GlorotError

if TYPE_CHECKING:
    from glorot_cli.families import ModelConfig
    from glorot_cli.formats import Format
    from glorot_cli.moments import Moments
    from glorot_cli.plan import Plan
    from glorot_cli.writing.checkpoint import Checkpoint
    from glorot_cli.writing.ranks import Ranks
    from glorot_cli.writing.weights import WriteOptions

NOT_ON_DASK = "--dask writes shards: give --max-shard-size, and no rank"


class Way(NamedTuple):
    """Hold what a command line says of how to write."""

    format: str | None
    max_shard_size: str | None
    config: str | None
    base: Checkpoint | None
    ranks: Ranks | None
    resume: bool
    dask: str | None
    workers: int | None
    force: bool
    key: str | None = None

    def base_of(self, result: Result) -> Checkpoint | None:
        """Return the older file of a result: the spec itself where it is one that keeps a part.

        Where a spec says what is kept, and no option does, the rest is drawn.
        """
        marked = any(tensor.kept for tensor in result.start.tensors)
        base = self.base
        if base is not None:
            chosen = bool(base.only or base.resize or base.rows)
            return replace(base, marked=marked and not chosen)
        if not marked or result.derived is None:
            return None
        from glorot_cli.writing.checkpoint import Checkpoint

        return Checkpoint.read(result.spec, key=self.key, marked=True)

    def configuration_of(self, result: Result) -> str | None:
        """Return the file of a model's configuration: for .keras the spec itself, if it is one."""
        if self.config is not None or self.format_of(result).configuration != "keras":
            return self.config
        from glorot_cli.derive import is_keras_config

        path = Path(result.spec)
        return result.spec if path.is_file() and is_keras_config(path) else None

    def beside(self, result: Result) -> dict[str, bytes] | None:
        """Return the texts that go beside a model's weights; None where they are no folder."""
        if result.model is None:
            return None
        return _beside(result.model, result.output, self.format, self.config)

    def shard_size(self, result: Result) -> str | None:
        """Return the size of shards; a model's folder has them in any case."""
        from glorot_cli.formats.shards import SHARD_SIZE

        whole = None if self.beside(result) is None else SHARD_SIZE
        return self.max_shard_size or whole

    def format_of(self, result: Result) -> Format:
        """Return the format of a result.

        Raises:
            GlorotError: if its name does not say which, or a model's configuration is given twice.
        """
        from glorot_cli.formats import choose_format

        is_sharded = self.shard_size(result) is not None
        return choose_format(result.output, self.format, sharded=is_sharded)

    def is_carried(self, result: Result) -> bool:
        """Tell whether a result says itself how it was drawn."""
        from glorot_cli.writing.weights import carried

        return bool(carried(self.format_of(result), result.start, self.base))

    def left_out(self, result: Result) -> str | None:
        """Say so if a format that could hold how a result was drawn has no room for it."""
        chosen = self.format_of(result)
        if chosen.largest_provenance is None or self.is_carried(result):
            return None
        return (
            f"{result.output} does not say how it was drawn: its spec is longer than the "
            f"{chosen.largest_provenance} bytes that a {chosen.title.split(',')[0]} file has for it"
        )

    def write(
        self, result: Result, plan: Plan, progress: Callable[[int], None] | None
    ) -> list[Moments | None]:
        """Write a result, and return what was drawn."""
        from glorot_cli.writing.weights import write_weights

        settings: WriteOptions = {
            "max_shard_size": self.shard_size(result),
            "config": self.configuration_of(result),
            "beside": self.beside(result),
            "workers": self.workers,
            "force": self.force,
            "progress": progress,
        }
        if self.dask is None:
            return write_weights(
                plan,
                result.output,
                format=self.format,
                base=self.base_of(result),
                ranks=self.ranks,
                resume=self.resume,
                keras_names=None if result.derived is None else result.derived.attributes,
                **settings,
            )
        if settings["max_shard_size"] is None:
            raise GlorotError(NOT_ON_DASK)
        from glorot_cli.writing.cluster import write_on_cluster

        return write_on_cluster(
            self.dask,
            plan,
            result.output,
            base=self.base_of(result),
            resume=self.resume,
            **settings,
        )


def _beside(
    model: ModelConfig, output: str, format: str | None, config: str | None
) -> dict[str, bytes] | None:
    """Return the texts beside a model's weights, if the output is the folder of a model."""
    from glorot_cli.derive.models import texts_beside

    # That of a folder or of weights may be given once more.
    if config is not None and os.path.realpath(config) != os.path.realpath(model.path):
        raise GlorotError(f"--config: {model.path} is the configuration already; leave it out")
    if format not in (None, "safetensors"):
        return None
    is_folder = output.endswith("/") or Path(output).is_dir() or not Path(output).suffix
    return texts_beside(model) if is_folder else None
