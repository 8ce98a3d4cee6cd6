"""The classifier of `odenet` in torch: its layers, its minibatches, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from odebench.workloads.image_files import CLASSES, Images
from odebench.workloads.shuffled import shuffled
from odebench.workloads.workload import Solve, streams

if TYPE_CHECKING:
    from odebench.workloads.odenet import OdeNet

_ORDER, _CROP = 1, 2  # streams of random numbers, beside those of the model
_CHUNK = 1000  # images evaluated at once, as in the source

Activation = Callable[[Tensor], Tensor]


class Classifier:
    """An `odenet` made."""

    def __init__(
        self,
        options: OdeNet,
        images: Images,
        seed: int,
        dtype: torch.dtype,
        device: torch.device,
        reference: float | None = None,
    ) -> None:
        self._options, self._seed, self._dtype, self._device = options, seed, dtype, device
        self._reference = reference  # the accuracy of another method on the same images
        # Bytes on the device, a minibatch of numbers at a time: eight times smaller than all of them in float64.
        self._train, self._test = (torch.from_numpy(part.copy()).to(device) for part in (images.train, images.test))
        labels = images.train_labels, images.test_labels
        self._train_labels, self._test_labels = (torch.from_numpy(part.copy()).to(device) for part in labels)
        shape = (1, -1, 1, 1)
        self._mean = torch.tensor(images.mean, dtype=dtype, device=device).reshape(shape) * images.top
        self._scale = torch.tensor(images.std, dtype=dtype, device=device).reshape(shape) * images.top
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            stem, block, head = _layers(options, tuple(images.train.shape[1:]))
        self.model: nn.Module = nn.ModuleDict({"stem": stem, "block": block, "head": head}).to(device, dtype)
        self._stem, self._block, self._head = stem, block, head

    @property
    def samples(self) -> int:
        """Images trained on."""
        return len(self._train)

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """The mean cross-entropy."""
        at = shuffled(self._seed, _ORDER, self.samples, step, batch).to(self._device)
        images = self._train[at]
        if self._options.crop:
            images = cropped(images, self._options.crop, streams(self._seed, _CROP, step))
        return functional.cross_entropy(self._logits(images, solve), self._train_labels[at])

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """`quality`, the accuracy on the held-out images, and their mean `cross_entropy`.

        `quality_reference` is the accuracy of logistic regression, on digits.
        """
        right = total = 0.0
        for start in range(0, len(self._test), _CHUNK):
            images, labels = self._test[start : start + _CHUNK], self._test_labels[start : start + _CHUNK]
            with torch.no_grad():
                logits = self._logits(images, solve)
            right += float((logits.argmax(1) == labels).sum())
            total += float(functional.cross_entropy(logits, labels, reduction="sum"))
        count = len(self._test)
        known = {} if self._reference is None else {"quality_reference": self._reference}
        return {"quality": right / count, "cross_entropy": total / count} | known

    def path_matrix(self) -> Tensor:
        """|W₂||W₁| of an MLP's field, shape (n, n), without the columns of t: see the regulariser `path`."""
        assert isinstance(self._block, MlpField), "the planner refuses others"
        first, second = (layer.weight[:, :-1].abs() for layer in (self._block.first, self._block.second))
        return second @ first

    def _logits(self, images: Tensor, solve: Solve) -> Tensor:
        y: Tensor = self._stem((images.to(self._dtype) - self._mean) / self._scale)
        if self._options.solves:
            y = solve(self._block, y, (0.0, 1.0), tuple(self._block.parameters()))[-1]
        else:
            y = self._block(y)
        logits: Tensor = self._head(y)
        return logits


def cropped(images: Tensor, padding: int, draw: torch.Generator) -> Tensor:
    """Each image moved by up to `padding` pixels in both directions, with zeros where it has left."""
    count, channels, rows, columns = images.shape
    padded = functional.pad(images, (padding,) * 4)
    corner = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=draw).to(images.device)
    row = corner[0] + torch.arange(rows, device=images.device)
    column = corner[1] + torch.arange(columns, device=images.device)
    sample = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return padded[sample, channel, row[:, None, :, None], column[:, None, None, :]]


def _layers(options: OdeNet, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module, nn.Module]:
    """(what comes before the block, the block, what comes after it) for images of `shape`."""
    act, width = _ACTIVATIONS[options.activation_], options.width_
    if options.network == "mlp":
        size = prod(shape)
        block = _block(options, partial(MlpField, size, width, act), partial(MlpResidual, size, width, act))
        return nn.Flatten(), block, nn.Linear(size, CLASSES)
    stem: list[nn.Module] = [nn.Conv2d(shape[0], width, 3)]
    for _ in range(options.halvings_):
        stem += [_norm(width), Activated(act), nn.Conv2d(width, width, 4, stride=2, padding=1)]
    block = _block(options, partial(ConvField, width, act), partial(ConvResidual, width, act))
    head = (_norm(width), Activated(act), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))
    return nn.Sequential(*stem), block, nn.Sequential(*head)


def _block(options: OdeNet, field: Callable[[], nn.Module], residual: Callable[[], nn.Module]) -> nn.Module:
    return field() if options.solves else nn.Sequential(*(residual() for _ in range(options.blocks_)))


def _norm(channels: int) -> nn.GroupNorm:
    """Two channels a group, in 32 groups at most: the source's groups at its own width.

    Its rule for fewer channels, a group for each, would take from every channel its mean, and the pooling at the end
    reads means.
    """
    return nn.GroupNorm(min(32, channels // 2), channels)


class Activated(nn.Module):
    """A function as a layer."""

    def __init__(self, act: Activation) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class ConvField(nn.Module):
    """norm, act, conv, norm, act, conv, norm, with t as one more channel of what the convolutions read."""

    def __init__(self, channels: int, act: Activation) -> None:
        super().__init__()
        self.act = act
        self.norms = nn.ModuleList(_norm(channels) for _ in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(channels + 1, channels, 3, padding=1) for _ in range(2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        for norm, conv in zip(self.norms, self.convs, strict=False):  # the last norm ends it
            y = conv(_with_time(t, self.act(norm(y))))
        out: Tensor = self.norms[-1](y)
        return out


class ConvResidual(nn.Module):
    """y + (norm, act, conv, norm, act, conv)(y)."""

    def __init__(self, channels: int, act: Activation) -> None:
        super().__init__()
        self.act = act
        self.norms = nn.ModuleList(_norm(channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, y: Tensor) -> Tensor:
        out = y
        for norm, conv in zip(self.norms, self.convs, strict=True):
            out = conv(self.act(norm(out)))
        return y + out


class MlpField(nn.Module):
    """linear, act, linear, with t as one more input of both."""

    def __init__(self, size: int, hidden: int, act: Activation) -> None:
        super().__init__()
        self.act = act
        self.first, self.second = nn.Linear(size + 1, hidden), nn.Linear(hidden + 1, size)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        hidden = self.act(self.first(_with_time(t, y)))
        out: Tensor = self.second(_with_time(t, hidden))
        return out


class MlpResidual(nn.Module):
    """y + (linear, act, linear)(y)."""

    def __init__(self, size: int, hidden: int, act: Activation) -> None:
        super().__init__()
        self.act = act
        self.first, self.second = nn.Linear(size, hidden), nn.Linear(hidden, size)

    def forward(self, y: Tensor) -> Tensor:
        out: Tensor = y + self.second(self.act(self.first(y)))
        return out


def _with_time(t: Tensor, y: Tensor) -> Tensor:
    """One more column or channel, t everywhere."""
    return torch.cat((y, torch.ones_like(y[:, :1]) * t), 1)


_ACTIVATIONS: dict[str, Activation] = {
    "relu": functional.relu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
