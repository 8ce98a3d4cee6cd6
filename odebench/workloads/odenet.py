"""The image classifier of the first neural ODE paper, and the ResNet that it replaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from odebench.registry import workload

if TYPE_CHECKING:
    import torch

    from odebench.workloads.odenet_task import Classifier

Data = Literal["digits", "mnist", "fashion_mnist", "kmnist", "cifar10"]
Activation = Literal["relu", "silu", "softplus", "elu", "gelu", "tanh", "sigmoid"]


@workload(
    "odenet",
    reference="R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, Neural ordinary differential equations, "
    "NeurIPS 2018 (arXiv 1806.07366), section 3",
)
@dataclass(frozen=True)
class OdeNet:
    """Images -> convolutions that make them smaller -> one ODE block on [0, 1] -> average pooling -> 10 classes.

    `block: residual` has `blocks` residual blocks (6) in its place, each of the layers of the field, and calls no
    solver. The layers are those of torchdiffeq's example `odenet_mnist.py`. What differs by default is the size, and a
    smooth activation: relu gives the field kinks, in which the tight solve that gradients are judged by takes far more
    steps. The example is `{data: mnist, width: 64, activation: relu, crop: 4}` with `batches: [128]` and
    `train: {optimiser: sgd, lr: 0.1}`: 208,266 parameters, and with `block: residual` 576,778.

    `network: mlp` has no convolutions: the field is W₂(act(W₁(y, t) + b₁), t) + b₂ on the pixels, before a linear
    readout. With `data: mnist`, `batches: [512]`, tsit5 at 1.4e-8 and `train: {lr: 1e-3}` that is the MNIST model of
    A. Pal, A. Edelman, C. Rackauckas, Locally regularized neural differential equations, ICML 2023 (arXiv 2303.02262):
    166,418 parameters.

    Options: `path`, the folder with the files of any data but `digits`, which come with scikit-learn; a relative one
    is taken from where odebench is started. `checksums`: whether the files must be the published ones. `width`:
    channels of a convolution (16), or hidden units (100). `halvings`: convolutions of stride 2 (1 of digits, else 2).
    `activation`: silu, of an MLP tanh, where nothing else is asked for. `crop`: in training, a random window of the
    image's size is taken after this many pixels of padding. Images are scaled to [0, 1], and those of CIFAR-10
    standardised by channel.

    Raises:
        ValueError: options that no model has, or that do not go together.
    """

    quality: ClassVar[str] = "accuracy"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    optimiser: ClassVar[str] = "adam"
    lr: ClassVar[float] = 1e-2

    data: Data = "digits"
    path: str | None = None
    checksums: bool = True
    network: Literal["conv", "mlp"] = "conv"
    block: Literal["ode", "residual"] = "ode"
    blocks: int | None = None
    width: int | None = None
    halvings: int | None = None
    activation: Activation | None = None
    crop: int = 0

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if (got := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(str, known))}; got {got!r}")
        if self.data == "digits" and self.path is not None:
            raise ValueError("digits come with scikit-learn and are read from no path; leave it out")
        if self.data != "digits" and self.path is None:
            raise ValueError(f"{self.data} is read from files of yours; give `path`, the folder that they are in")
        if self.blocks is not None and self.solves:
            raise ValueError("blocks are of `block: residual`; an ODE block is one")
        if self.halvings is not None and self.network == "mlp":
            raise ValueError("halvings are convolutions, and `network: mlp` has none; leave them out")
        self._check_sizes()

    def _check_sizes(self) -> None:
        for name, least in {"blocks": 1, "width": 1, "halvings": 0, "crop": 0}.items():
            if (got := getattr(self, name)) is not None and got < least:
                raise ValueError(f"{name} must be at least {least}, got {got}")
        if self.network == "conv":
            width = self.width_
            if width % 2 or (width > 64 and width % 32):
                raise ValueError(f"width must be even, and a multiple of 32 beyond 64, to be normalised; got {width}")
            if (most := 2 if self.data == "digits" else 4) < self.halvings_:
                raise ValueError(f"{self.data} can be halved {most} times at most, got {self.halvings_}")

    @property
    def solves(self) -> bool:
        """Whether the model calls a solver at all."""
        return self.block == "ode"

    @property
    def span(self) -> float:
        """Of the block."""
        return 1.0

    @property
    def structured(self) -> bool:
        """Whether the field is a product of layers, so that its task has a `path_matrix`."""
        return self.network == "mlp" and self.solves

    @property
    def width_(self) -> int:
        """`width`, or its default."""
        return self.width if self.width is not None else 16 if self.network == "conv" else 100

    @property
    def blocks_(self) -> int:
        """`blocks`, or the source's number of them."""
        return self.blocks if self.blocks is not None else 6

    @property
    def halvings_(self) -> int:
        """`halvings`, or its default."""
        return self.halvings if self.halvings is not None else 1 if self.data == "digits" else 2

    @property
    def activation_(self) -> str:
        """`activation`, or its default."""
        return self.activation or ("silu" if self.network == "conv" else "tanh")

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> Classifier:
        """Images read, model initialised.

        Raises:
            DataError: files are missing, truncated or corrupted, or scikit-learn is not there.
        """
        from odebench.workloads.digits import digits, logistic_accuracy
        from odebench.workloads.image_files import load_images
        from odebench.workloads.odenet_task import Classifier

        if self.path is None:
            return Classifier(self, digits(), seed, dtype, device, logistic_accuracy())
        return Classifier(self, load_images(self.data, self.path, self.checksums), seed, dtype, device)


_CHOICES = {
    "data": get_args(Data),
    "network": ("conv", "mlp"),
    "block": ("ode", "residual"),
    "activation": (None, *get_args(Activation)),
}
