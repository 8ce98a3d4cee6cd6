"""Minibatches of a finite training set, each a function of the seed and of its number alone."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.workloads.workload import streams


def shuffled(seed: int, stream: int, samples: int, step: int, batch: int) -> Tensor:
    """Indices of minibatch number `step`, shape (batch,), on the CPU.

    One epoch after the other goes through all samples in an order of its own; a minibatch may run on into the next
    epoch, and may be larger than the set.
    """
    first, last = divmod(step * batch, samples), divmod(step * batch + batch - 1, samples)
    epochs = range(first[0], last[0] + 1)
    order = [torch.randperm(samples, generator=streams(seed, stream, epoch)) for epoch in epochs]
    return torch.cat(order)[first[1] : first[1] + batch]
