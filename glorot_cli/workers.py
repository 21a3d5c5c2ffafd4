"""Threads that share what there is to do; the first error of one stops them all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

# NumPy calls on blocks under about 20 microseconds lose to the hand-off between threads, and blocks
# over the cache lose to memory: 2 MiB is drawn, measured and written, or read, whole.
BLOCK_BYTES = 1 << 21
# Work on tensors that are smaller on average is more Python than NumPy, and threads slow it down.
SMALL_BYTES = 1 << 16

Progress = Callable[[int], None]
Piece = TypeVar("Piece")


def thread_count(nbytes: int, tensors: int, wanted: int | None) -> int:
    """Return how many threads are worth their start for so many bytes; all cores by default."""
    if nbytes < SMALL_BYTES * tensors:
        return 1
    return min(wanted or os.cpu_count() or 1, nbytes // BLOCK_BYTES + 1)


class Workers(Generic[Piece]):
    """Hand out pieces of work to threads, and know how far they are."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self.lock = threading.Lock()
        self.done = 0
        self._pieces = pieces
        self._stopping = threading.Event()
        self._error: BaseException | None = None

    def next(self) -> Piece | None:
        """Return the next piece, or None if there is none or another thread has failed."""
        with self.lock:
            return None if self._stopping.is_set() else next(self._pieces, None)

    def fail(self, error: BaseException) -> None:
        """Note an error, the first of which is raised, and hand out nothing more."""
        self._error = self._error or error
        self._stopping.set()

    def run(
        self,
        work: Callable[[], None],
        count: int,
        progress: Progress | None = None,
        beside: Callable[[threading.Event], None] | None = None,
    ) -> None:
        """Have `count` threads work, and tell `progress` what is `done`, now and then.

        `beside` runs on a further thread until the event that it is given is set.
        """
        over = threading.Event()
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        if beside is not None:
            threads.append(threading.Thread(target=beside, args=(over,), daemon=True))
        started: list[threading.Thread] = []
        try:
            with suppress(RuntimeError):  # the system may start fewer threads, or none
                for thread in threads:
                    thread.start()
                    started.append(thread)
            if not started:
                work()
            for thread in started[:count]:
                while thread.is_alive():
                    thread.join(0.1)
                    if progress is not None:
                        progress(self.done)
        finally:
            self._stopping.set()
            over.set()
            for thread in started:
                thread.join()
        self.check()

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error
