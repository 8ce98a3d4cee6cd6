"""patrick-kidger/torchcde: its tests of solver and gradients, and a classifier of made-up series in five set-ups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torchcde
from torch import Tensor, nn

from programs.case import Case, Run, found, gradients, own_tests

SERIES, LENGTH, CHANNELS, HIDDEN = 32, 20, 3, 6


class Field(nn.Module):
    """A matrix of shape (batch, hidden, channels) for each z."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(HIDDEN, 24), nn.Tanh(), nn.Linear(24, HIDDEN * CHANNELS), nn.Tanh())

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.net(z).reshape(*z.shape[:-1], HIDDEN, CHANNELS)


def _training(path: str, rtol: float | None, jumps: bool = False, **options: Any) -> Case:
    def prepare() -> Run:
        series = torch.randn(SERIES, LENGTH, CHANNELS).cumsum(1) / 3
        series[..., 0] = torch.linspace(0, 1, LENGTH)
        labels = torch.arange(SERIES) % 2
        first, field, last = nn.Linear(CHANNELS, HIDDEN), Field(), nn.Linear(HIDDEN, 2)
        parameters = [*first.parameters(), *field.parameters(), *last.parameters()]
        optimizer = torch.optim.Adam(parameters, 1e-2)
        if path == "linear":
            control = torchcde.LinearInterpolation(torchcde.linear_interpolation_coeffs(series))
        else:
            control = torchcde.CubicSpline(torchcde.hermite_cubic_coefficients_with_backward_differences(series))
        choices = {**options, **({"options": {"jump_t": control.grid_points}} if jumps else {})}

        def run() -> Mapping[str, Tensor]:
            losses = []
            for _ in range(3):
                optimizer.zero_grad()
                start = first(control.evaluate(control.interval[0]))
                z = torchcde.cdeint(X=control, func=field, z0=start, t=control.interval, **choices)
                loss = nn.functional.cross_entropy(last(z[:, -1]), labels)
                loss.backward()
                if not losses:
                    gradient = gradients(parameters)
                optimizer.step()
                losses.append(loss.detach())
            return {"losses": torch.stack(losses), "first gradient": gradient}

        return run

    return Case(prepare, rtol=rtol, rounds=5)


TESTS = found("torchcde").parents[1] / "test"

CASES = {
    "its solver and gradient tests": own_tests(TESTS, "test_cdeint.py", "test_tricks.py"),
    "classifier, cubic path, dopri5, adjoint": _training("cubic", 1e-4, method="dopri5"),
    "classifier, cubic path, dopri5, direct": _training("cubic", 1e-4, method="dopri5", adjoint=False),
    "classifier, cubic path, rk4, adjoint": _training("cubic", None, method="rk4", options={"step_size": 0.5}),
    "classifier, linear path, jumps, adjoint": _training("linear", 1e-4, jumps=True, method="dopri5"),
    "classifier, linear path, jumps, direct": _training("linear", 1e-4, jumps=True, method="dopri5", adjoint=False),
}
