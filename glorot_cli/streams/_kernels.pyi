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
def moments(set: int, values: Buffer, about: float) -> tuple[float, float, float, float]: ...
