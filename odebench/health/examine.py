"""All facts of one examination."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from odebench.health import gpu, load, power, processor, software
from odebench.health.floor import SECONDS, Floor, measure_floor
from odebench.health.gpu import Gpu
from odebench.health.load import Counters, Load
from odebench.health.power import Power
from odebench.health.processor import Processor
from odebench.health.roots import Roots
from odebench.health.software import Software


@dataclass(frozen=True)
class Facts:
    """What was found, before anybody judges it. `before` and `after` are two looks with the noise floor in between."""

    processor: Processor
    load: Load
    power: Power
    gpus: tuple[Gpu, ...]
    software: Software
    before: Counters
    after: Counters
    floors: tuple[Floor, ...] = ()  # empty where nobody wanted to wait for it

    def to_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def examine(devices: tuple[str, ...] = ("cpu",), roots: Roots | None = None, seconds: float = SECONDS) -> Facts:
    """Look at the machine, then measure the noise floor of each device for `seconds`; of none if there are no devices.

    The others are watched first: what is measured here is itself a load.
    """
    roots = roots or Roots()
    tools = software.gather()
    found = load.gather(roots)
    before = load.count(roots)
    wanted = devices if tools.torch else ()
    floors = tuple(measure_floor(device, seconds) for device in wanted)
    return Facts(
        processor=processor.gather(roots),
        load=found,
        power=power.gather(roots),
        gpus=tuple(gpu.gather()),
        software=tools,
        before=before,
        after=load.count(roots),
        floors=floors,
    )
