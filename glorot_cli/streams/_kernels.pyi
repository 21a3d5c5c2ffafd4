from typing import Any

Buffer = Any

def sets() -> list[tuple[int, str]]: ...
def uniform(
    set: int,
    words: Buffer,
    out: Buffer,
    dtype: int,
    scale: float,
    half: float,
    centre: float,
    clips: int,
    low: float,
    high: float,
    about: float,
    table: Buffer,
    back: Buffer,
) -> tuple[float, float, float, float]: ...
def normal(
    set: int,
    words: Buffer,
    out: Buffer,
    dtype: int,
    lines: Buffer,
    tail: Buffer,
    stddev: float,
    centre: float,
    clips: int,
    low: float,
    high: float,
    about: float,
    table: Buffer,
    back: Buffer,
) -> tuple[float, float, float, float]: ...
def moments(
    set: int, values: Buffer, dtype: int, back: Buffer, about: float
) -> tuple[float, float, float, float]: ...
def runs(set: int, values: Buffer, starts: Buffer, scales: Buffer, moments: Buffer) -> None: ...
def mersenne(set: int, state: Buffer, words: Buffer) -> None: ...
def threefry(set: int, key0: int, key1: int, first: int, itemsize: int, words: Buffer) -> None: ...
def philox(
    set: int, key0: int, key1: int, high0: int, high1: int, first: int, words: Buffer
) -> None: ...
def box_muller(
    set: int, words: Buffer, out: Buffer, dtype: int, mean: float, stddev: float, about: float
) -> tuple[float, float, float, float]: ...
def box_muller_double(set: int, words: Buffer, out: Buffer, mean: float, stddev: float) -> None: ...
def range(
    set: int,
    words: Buffer,
    out: Buffer,
    dtype: int,
    shift: int,
    mask: int,
    offset: int,
    scale: float,
    span: float,
    least: float,
    fuses: int,
    steps: int,
    floor: float,
    last: float,
    first: float,
    wraps: int,
    about: float,
) -> tuple[float, float, float, float]: ...
