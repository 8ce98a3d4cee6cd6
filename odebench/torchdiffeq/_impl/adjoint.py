"""Where torchdiffeq keeps its adjoint, and what finds the parameters of a module."""

from __future__ import annotations

from torch import Tensor, nn

from odebench.solve.faults import WrongType
from odebench.torchdiffeq.calls import odeint_adjoint

__all__ = ["find_parameters", "odeint_adjoint"]


def find_parameters(module: nn.Module) -> list[Tensor]:
    """The parameters of a module, those of its submodules included, each once and in the order of `parameters()`.

    A replica of `torch.nn.DataParallel` has none: its tensors are copies that hang on a graph, kept as attributes.

    Raises:
        UsageError: it is no module; a TypeError too.
    """
    if not isinstance(module, nn.Module):
        raise WrongType(f"find_parameters takes a torch.nn.Module; got {type(module).__name__}")
    own: list[Tensor] = list(module.parameters())
    if own:
        return own
    held = (x for each in module.modules() for x in vars(each).values() if isinstance(x, Tensor) and x.requires_grad)
    return list({id(x): x for x in held}.values()) if getattr(module, "_is_replica", False) else []
