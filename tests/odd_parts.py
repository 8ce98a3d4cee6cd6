"""What may be odd about a field, a part each; `clean` parts do the same in f alone, where that can be done."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from odd_fields import D, seeded
from torch import Tensor, nn
from torch.nn import functional

Part = Callable[[bool], nn.Module]


class Acts(nn.Module):
    """A part that is a function of (t, y, dy so far) with a scale that is learned."""

    def __init__(self, act: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor], **held: Any) -> None:
        super().__init__()
        self.act, self.scale = act, nn.Parameter(torch.tensor([0.9, 1.2], dtype=D))
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        return self.act(self, t, y, dy * self.scale)


def always(act: Any, **held: Callable[[], Any]) -> Part:
    return lambda clean: Acts(act, **{name: make() for name, make in held.items()})


def either(odd: Any, twin: Any, **held: Callable[[], Any]) -> Part:
    return lambda clean: Acts(twin if clean else odd, **{name: make() for name, make in held.items()})


def _counted(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    """In a buffer, as batch normalisation counts."""
    part.net.count += 1
    return dy * (1 + 1 / part.net.count)


def _numbered(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    """In a number of its own, from the first call on."""
    part.calls += 1
    return dy * (1 + 1 / part.calls)


def counter() -> nn.Module:
    held = nn.Module()
    held.register_buffer("count", torch.zeros((), dtype=D))
    return held


def _by_time(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    key = float(t)
    if key not in part.cache:
        part.cache[key] = part.hyper(t.reshape(1).to(D))
    return dy * part.cache[key]


def _last(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    key = (float(t), tuple(y.detach().flatten().tolist()))
    if part.cache.get("key") != key:
        part.cache.update(key=key, value=dy * part.hyper(t.reshape(1).to(D)))
    return part.cache["value"]


def _born(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    if not hasattr(part, "layer"):
        part.layer = linear()
    return part.layer(dy)


def _noise_once(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    if part.noise is None:
        part.noise = torch.randn(2, dtype=D)
    return dy * part.noise


def _pull(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    with torch.enable_grad():
        y.requires_grad_(True)
        pulled = torch.autograd.grad((part.scale * y).square().sum(), y, create_graph=True)[0]
    return dy - 0.1 * pulled


def _keeps(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    part.kept = dy
    return dy


def _in_turn(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    return (part.layer if t < 0.5 else part.hyper_too)(dy)


def linear() -> nn.Module:
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.8, 0.0], [0.0, -0.7]], dtype=D))
        layer.bias.copy_(torch.tensor([0.1, -0.2], dtype=D))
    return layer


def hyper() -> nn.Module:
    layer = nn.Linear(1, 2).double()
    with torch.no_grad():
        layer.weight.fill_(0.4)
        layer.bias.fill_(0.8)
    return layer


def _derived(clean: bool) -> nn.Module:
    part = Acts(lambda part, t, y, dy: dy * (part.hyper(part.one) if clean else part.z), hyper=hyper())
    part.one = torch.ones(1, dtype=D)
    part.z = None if clean else part.hyper(part.one)
    return part


def _hooked(clean: bool) -> nn.Module:
    part = Acts(lambda part, t, y, dy: dy)
    if not clean:
        part.scale.register_hook(lambda g: -0.5 * g)
    return part


def _stranger(clean: bool) -> nn.Module:
    u = torch.tensor([0.3, -0.2], dtype=D, requires_grad=True)
    return Acts(lambda part, t, y, dy: dy + u * (t > 0.3) if t > 0.3 else dy)


def _norm(clean: bool) -> nn.Module:
    return Acts(lambda part, t, y, dy: part.norm(dy), norm=nn.BatchNorm1d(2, track_running_stats=not clean).double())


def _spectral(clean: bool) -> nn.Module:
    return Acts(lambda part, t, y, dy: part.layer(dy), layer=nn.utils.parametrizations.spectral_norm(linear()))


def _plus_data(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    return dy * part.u * part.dose


def _numpy(part: Any, t: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    return dy * np.random.rand()


DRAWS: dict[str, Part] = {
    "dropout": always(lambda part, t, y, dy: functional.dropout(dy, 0.4, part.training)),
    "late dropout": always(lambda part, t, y, dy: functional.dropout(dy, 0.4, part.training) if t > 0.6 else dy),
    "own generator": always(
        lambda part, t, y, dy: dy * torch.rand(2, dtype=D, generator=part.mine),
        mine=lambda: torch.Generator().manual_seed(5),
    ),
    "numpy": always(_numpy),
    "python": always(lambda part, t, y, dy: dy * random.random()),
    "counter": always(_counted, net=counter),
    "own counter": always(_numbered, calls=lambda: 0),
}
STEADY: dict[str, Part] = {
    "nothing": always(lambda part, t, y, dy: dy),
    "noise once": always(_noise_once, noise=lambda: None),
    "batch norm": _norm,
    "memo by time": either(_by_time, lambda part, t, y, dy: dy * part.hyper(t.reshape(1).to(D)),
                           hyper=hyper, cache=dict),
    "memo of the last": either(_last, lambda part, t, y, dy: dy * part.hyper(t.reshape(1).to(D)),
                               hyper=hyper, cache=dict),
    "derived": _derived,
    "hooked": _hooked,
    "marks y": always(_pull),
    "keeps": either(_keeps, lambda part, t, y, dy: dy),
    "grad mode": either(lambda part, t, y, dy: dy * (0.7 if torch.is_grad_enabled() else 1.3),
                        lambda part, t, y, dy: dy * 0.7),
    "born leaf": either(lambda part, t, y, dy: dy * torch.full((2,), 0.9, dtype=D, requires_grad=True),
                        lambda part, t, y, dy: dy * 0.9),
    "born parameters": always(_born),
    "in turn": always(_in_turn, layer=linear, hyper_too=linear),
    "data": always(_plus_data, u=lambda: torch.full((2,), 0.9, dtype=D), dose=lambda: 1.1),
    "a view": either(lambda part, t, y, dy: torch.stack((dy, dy))[0], lambda part, t, y, dy: dy),
    "other precision": always(lambda part, t, y, dy: dy.float()),
}  # fmt: skip
REFUSED: dict[str, Part] = {"stranger": _stranger}
ODD: dict[str, Part] = {**DRAWS, **STEADY, **REFUSED, "spectral norm": _spectral}


class Field(nn.Module):
    """A field with odd parts, one after another. `apart`: rates of q hang on p and those of p on q, and no other."""

    def __init__(self, names: tuple[str, ...], clean: bool, apart: bool) -> None:
        super().__init__()
        seeded(1)
        # A matrix couples the halves for other values of it, though it may not for these.
        self.first = linear() if not apart else Acts(lambda part, t, y, dy: dy)
        self.parts = nn.ModuleList(ODD[name](clean) for name in names)
        self.apart = apart

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        turned = torch.stack((y[..., 1], -y[..., 0]), -1) if self.apart else y + 0.3 * y.flip(-1)
        dy = torch.tanh(self.first(t, y, turned) if self.apart else self.first(turned)) + 0.2
        for part in self.parts:
            dy = part(t, y, dy)
        return dy


def _other_data(f: Field) -> None:
    for part in f.parts:
        if hasattr(part, "dose"):
            part.dose, part.u = -1.0, torch.full((2,), 2.0, dtype=D)


def _data_in_place(f: Field) -> None:
    for part in f.parts:
        if hasattr(part, "dose"):
            part.u.fill_(2.0)


# What befalls f between the solve and its backward pass.
BETWEEN: dict[str, Callable[[Field], Any]] = {
    "nothing": lambda f: None,
    "eval": lambda f: f.eval(),
    "other data": _other_data,
    "data in place": _data_in_place,
}
