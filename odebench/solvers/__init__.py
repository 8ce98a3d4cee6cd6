"""The solvers odebench holds. Importing this registers them; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable

from odebench.registry import Entry, solvers
from odebench.solvers import adams, alf, backstep, coupled, esdirk, reversible_heun, splitting, tableaus, verner
from odebench.solvers.runge_kutta import RungeKutta
from odebench.solvers.tableau import Tableau

__all__ = [
    "RungeKutta",
    "Tableau",
    "adams",
    "alf",
    "backstep",
    "coupled",
    "esdirk",
    "reversible_heun",
    "splitting",
    "tableaus",
    "verner",
]

_VERNER = "J. H. Verner, Numer. Algorithms 53 (2010)"

# name, tableau, summary, reference, other names; order and stages are the tableau's own and are not repeated here
_ROSTER: tuple[tuple[str, Tableau, str, str, tuple[str, ...]], ...] = (
    ("euler", tableaus.EULER, "Forward Euler", "L. Euler, Institutionum calculi integralis (1768)", ()),
    ("midpoint", tableaus.MIDPOINT, "Explicit midpoint rule", "C. Runge, Math. Ann. 46 (1895)", ()),
    ("heun", tableaus.HEUN, "Heun's two-stage trapezoidal rule", "K. Heun, Z. Math. Phys. 45 (1900)",
     ("heun2", "adaptive_heun")),
    ("ralston", tableaus.RALSTON, "Ralston's two-stage rule of least error bound", "A. Ralston, Math. Comp. 16 (1962)",
     ()),
    ("fehlberg2", tableaus.FEHLBERG2, "Fehlberg's RKF1(2), carried on in its second order",
     "E. Fehlberg, NASA TR R-315 (1969)", ()),
    ("heun3", tableaus.HEUN3, "Heun's three-stage rule of order 3", "K. Heun, Z. Math. Phys. 45 (1900)", ()),
    ("ralston3", tableaus.RALSTON3, "Ralston's three-stage rule of least error bound",
     "A. Ralston, Math. Comp. 16 (1962)", ()),
    ("bosh3", tableaus.BOSH3, "Bogacki–Shampine 3(2), FSAL", "P. Bogacki, L. F. Shampine, Appl. Math. Lett. 2 (1989)",
     ()),
    ("rk4", tableaus.RK4, "The classic Runge–Kutta scheme", "W. Kutta, Z. Math. Phys. 46 (1901)", ()),
    ("rk38", tableaus.RK38, "Kutta's 3/8 rule (torchdiffeq's `rk4`)", "W. Kutta, Z. Math. Phys. 46 (1901)", ()),
    ("dopri5", tableaus.DOPRI5, "Dormand–Prince 5(4), FSAL", "Dormand, Prince, J. Comp. Appl. Math. 6 (1980)", ()),
    ("tsit5", tableaus.TSIT5, "Tsitouras 5(4), FSAL", "Ch. Tsitouras, Comput. Math. Appl. 62 (2011)", ()),
    ("dopri8", tableaus.DOPRI8, "Dormand–Prince 8(7), 13 stages", "Prince, Dormand, J. Comp. Appl. Math. 7 (1981)", ()),
    ("vern6", verner.VERN6, "Verner's efficient 6(5), 9 stages, FSAL", _VERNER, ()),
    ("vern7", verner.VERN7, "Verner's efficient 7(6), 10 stages", _VERNER, ()),
    ("vern8", verner.VERN8, "Verner's efficient 8(7), 13 stages", _VERNER, ()),
    ("vern9", verner.VERN9, "Verner's efficient 9(8), 16 stages", _VERNER, ()),
)  # fmt: skip


def _factory(tableau: Tableau, summary: str) -> Callable[[], RungeKutta]:
    def build() -> RungeKutta:
        return RungeKutta(tableau)

    build.__doc__ = summary
    return build


for _name, _tableau, _summary, _reference, _aliases in _ROSTER:
    solvers.add(Entry("solver", _name, _factory(_tableau, _summary), _summary, _reference, _aliases))
