"""Where the power comes from."""

from __future__ import annotations

from dataclasses import dataclass

from odebench.health.roots import Roots


@dataclass(frozen=True)
class Power:
    """`plugged` and `charge` are None where there is no battery."""

    plugged: bool | None
    charge: float | None  # per cent
    profile: str  # as the firmware calls it: low-power, balanced, performance


def gather(roots: Roots) -> Power:
    """Ask the operating system."""
    import psutil

    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError, RuntimeError):  # a system without sensors, or with broken ones
        battery = None
    profile = roots.of_sys("firmware/acpi/platform_profile")
    return Power(battery and battery.power_plugged, battery and battery.percent, profile)
