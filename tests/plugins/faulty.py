"""Heun's scheme of order 2 and schemes like it, each with one fault that `odebench check` is to find."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from odebench import Step, solver
from odebench.solvers.alf import ALF
from odebench.solvers.runge_kutta import RungeKutta
from odebench.solvers.tableaus import RK4


class Heun:
    """No fault yet."""

    order, error_order = 2, 2

    def init(self, f, t, y):
        return (y,)

    def step(self, f, t, dt, state):
        (y,) = state
        k1 = f(t, y)
        k2 = f(t + dt, y + dt * k1)
        return Step((y + dt * (k1 + k2) / 2,), dt * (k2 - k1) / 2)


@solver("overclaimed")
class Overclaimed(Heun):
    order = 3


@solver("wrong_node")
class WrongNode(Heun):
    def step(self, f, t, dt, state):
        return super().step(lambda s, y: f(t, y), t, dt, state)


@solver("wrong_estimate")
class WrongEstimate(Heun):
    error_order = 4


@solver("wrong_inverse")
@dataclass(frozen=True)
class WrongInverse(ALF):
    def unstep(self, f, t, dt, state):
        return super().unstep(f, t, dt * 1.001, state)


class WrongWeight(RungeKutta):
    def pull(self, f, t, dt, state, bar, params):
        return super().pull(f, t, dt * 1.01, state, bar, params)


@solver("wrong_pull")
def wrong_pull():
    return WrongWeight(RK4)


@solver("in_place")
class InPlace(Heun):
    def step(self, f, t, dt, state):
        step = super().step(f, t, dt, state)
        state[0].copy_(step.state[0])
        return Step(state, step.error)


@solver("random")
class Random(Heun):
    def step(self, f, t, dt, state):
        (y,), error = super().step(f, t, dt, state)
        return Step((y + 1e-12 * torch.randn_like(y),), error)


@solver("leaking")
class Leaking(Heun):
    def step(self, f, t, dt, state):
        f(t + dt / 2, state[0])
        return super().step(f, t, dt, state)


@solver("growing")
class Growing(Heun):
    def __init__(self):
        self.taken = 0

    def step(self, f, t, dt, state):
        self.taken += 1
        for _ in range(self.taken):
            f(t, state[0])
        return super().step(f, t, dt, state)


@solver("double_only")
class DoubleOnly(Heun):
    def step(self, f, t, dt, state):
        if state[0].dtype != torch.float64:
            raise TypeError("float64 only")
        return super().step(f, t, dt, state)


@solver("cut_off")
class CutOff(Heun):
    def step(self, f, t, dt, state):
        (y,) = state
        k1 = f(t, y).detach()
        k2 = f(t + dt, y + dt * k1)
        return Step((y + dt * (k1 + k2) / 2,), dt * (k2 - k1) / 2)


@solver("hanging")
@dataclass(frozen=True)
class Hanging(ALF):
    def unstep(self, f, t, dt, state):
        while True:
            time.sleep(0.01)
