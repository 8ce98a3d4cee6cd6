"""The solvers odebench holds. Importing this registers them; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable

from odebench.registry import Entry, solvers
from odebench.solvers import alf, coupled, reversible_heun, tableaus
from odebench.solvers.runge_kutta import RungeKutta
from odebench.solvers.tableaus import Tableau

__all__ = ["RungeKutta", "Tableau", "alf", "coupled", "reversible_heun", "tableaus"]

# name, tableau, summary, reference; order and stages are the tableau's own and are not repeated here
_ROSTER: tuple[tuple[str, Tableau, str, str], ...] = (
    ("euler", tableaus.EULER, "Forward Euler", "L. Euler, Institutionum calculi integralis (1768)"),
    ("midpoint", tableaus.MIDPOINT, "Explicit midpoint rule", "C. Runge, Math. Ann. 46 (1895)"),
    ("heun", tableaus.HEUN, "Heun's two-stage trapezoidal rule", "K. Heun, Z. Math. Phys. 45 (1900)"),
    ("ralston", tableaus.RALSTON, "Ralston's two-stage rule of least error bound", "A. Ralston, Math. Comp. 16 (1962)"),
    ("bosh3", tableaus.BOSH3, "Bogacki–Shampine 3(2), FSAL", "P. Bogacki, L. F. Shampine, Appl. Math. Lett. 2 (1989)"),
    ("rk4", tableaus.RK4, "The classic Runge–Kutta scheme", "W. Kutta, Z. Math. Phys. 46 (1901)"),
    ("rk38", tableaus.RK38, "Kutta's 3/8 rule (torchdiffeq's `rk4`)", "W. Kutta, Z. Math. Phys. 46 (1901)"),
    ("dopri5", tableaus.DOPRI5, "Dormand–Prince 5(4), FSAL", "Dormand, Prince, J. Comp. Appl. Math. 6 (1980)"),
    ("tsit5", tableaus.TSIT5, "Tsitouras 5(4), FSAL", "Ch. Tsitouras, Comput. Math. Appl. 62 (2011)"),
    ("dopri8", tableaus.DOPRI8, "Dormand–Prince 8(7), 13 stages", "Prince, Dormand, J. Comp. Appl. Math. 7 (1981)"),
)  # fmt: skip


def _factory(tableau: Tableau, summary: str) -> Callable[[], RungeKutta]:
    def build() -> RungeKutta:
        return RungeKutta(tableau)

    build.__doc__ = summary
    return build


for _name, _tableau, _summary, _reference in _ROSTER:
    solvers.add(Entry("solver", _name, _factory(_tableau, _summary), _summary, _reference))
