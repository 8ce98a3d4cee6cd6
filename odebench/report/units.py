"""Figures as people read them: three significant digits, and the unit that keeps them short. Tables only."""

from __future__ import annotations

import math

SECONDS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))
BYTES = ((1, "B"), (2**10, "KiB"), (2**20, "MiB"), (2**30, "GiB"), (2**40, "TiB"))


def digits(value: float) -> str:
    """Three significant digits and no exponent below 1e6: `0.0123`, `1.31`, `12.3`, `1310`."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    magnitude = math.floor(math.log10(abs(float(f"{value:.2e}"))))
    return f"{value:.{max(0, 2 - magnitude)}f}"


def seconds(value: float) -> str:
    """`12.3 ms`."""
    return _scaled(value, SECONDS, 1e3)


def size(value: float) -> str:
    """`241 MiB`; binary units."""
    if abs(value) < BYTES[1][0]:
        return f"{value:.0f} B"
    return _scaled(value, BYTES, 2**10)


def error(value: float) -> str:
    """`1.2e-07`; an exact zero is `0`."""
    return "0" if value == 0 else f"{value:.1e}"


def count(value: float) -> str:
    """All digits of a count."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else digits(value)


def duration(value: float) -> str:
    """Whole seconds of something a person waits for: `0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(max(0, round(value)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _scaled(value: float, units: tuple[tuple[float, str], ...], step: float) -> str:
    if value == 0 or not math.isfinite(value):
        return digits(value)
    for factor, unit in units:
        # 999.6 µs is 1.00 ms, not 1000 µs.
        if abs(value / factor) < step - 0.5 or (factor, unit) == units[-1]:
            return f"{_three(value / factor)} {unit}"
    raise AssertionError("the last unit takes everything")


def _three(value: float) -> str:
    magnitude = math.floor(math.log10(abs(float(f"{value:.2e}"))))
    return f"{value:.{max(0, min(2 - magnitude, 3))}f}"
