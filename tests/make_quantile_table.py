"""Make glorot_cli/streams/quantile_table.txt: the normal quantile as piecewise polynomials.

Run `python tests/make_quantile_table.py > glorot_cli/streams/quantile_table.txt`; it needs mpmath.
The committed table is the definition of the quantile, and this script documents how it was made:
Chebyshev interpolation in 50 digits, rounded once to float64 and written as hex floats.

Centre, for u = 2p - 1 in [0, 31/32): 124 rows of width 1/128; with s = 128 u - row, the row is the
polynomial of degree 8 in s, constant term first. The first row has no constant term.
Tail, for t = 2**31 (1 - u) in [0.5, 2**26): 27 octaves of 16 rows; with
t = 2**e (1 + (k + s) / 16), the row is the polynomial of degree 5 in s.
"""

from __future__ import annotations

import sys

from mpmath import mp, mpf

CENTRE_ROWS, CENTRE_DEGREE = 124, 8
OCTAVES, SUB, TAIL_DEGREE = 27, 16, 5


def quantile(u: mpf) -> mpf:
    """Return the z with erf(z / sqrt(2)) = u."""
    return mp.sqrt(2) * mp.erfinv(u)


def upper_quantile(q: mpf) -> mpf:
    """Return the z with erfc(z / sqrt(2)) = q, which keeps its digits for a small q."""
    z = mp.sqrt(2) * mp.erfinv(1 - mpf(q)) if q > mpf(10) ** -12 else mp.sqrt(-2 * mp.log(q / 2))
    for _ in range(60):
        step = (mp.erfc(z / mp.sqrt(2)) - q) / (-mp.sqrt(2 / mp.pi) * mp.exp(-z * z / 2))
        z -= step
        if abs(step) < mpf(10) ** -45:
            break
    return z


def interpolate(function, degree: int) -> list[mpf]:  # type: ignore[no-untyped-def]
    """Return the coefficients in s on [0, 1] that agree with `function` at Chebyshev nodes."""
    nodes = [(1 + mp.cos(mp.pi * (2 * k + 1) / (2 * degree + 2))) / 2 for k in range(degree + 1)]
    matrix = mp.matrix([[node**power for power in range(degree + 1)] for node in nodes])
    return list(mp.lu_solve(matrix, mp.matrix([function(node) for node in nodes])))


def main() -> None:
    """Print the table, a row a line."""
    mp.dps = 50
    rows = []
    for row in range(CENTRE_ROWS):
        if row == 0:
            odd = interpolate(lambda s: quantile(s / 128) / s, CENTRE_DEGREE - 1)
            rows.append([mpf(0), *odd])
        else:
            rows.append(interpolate(lambda s, row=row: quantile((row + s) / 128), CENTRE_DEGREE))
    for octave in range(OCTAVES):
        for k in range(SUB):

            def tail(s: mpf, octave: int = octave, k: int = k) -> mpf:
                t = mpf(2) ** (octave - 1) * (1 + (k + s) / SUB)
                return upper_quantile(t / mpf(2) ** 31)

            rows.append(interpolate(tail, TAIL_DEGREE))
    for coefficients in rows:
        sys.stdout.write(" ".join(float(c).hex() for c in coefficients) + "\n")


if __name__ == "__main__":
    main()
