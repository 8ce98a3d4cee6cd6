"""The programs, at which commit each is run, and how it is had."""

from __future__ import annotations

from typing import NamedTuple


class Program(NamedTuple):
    """`title` is owner/name on GitHub, `folders` go on the path, `needs` are packages beside torch and torchdiffeq."""

    title: str
    version: str
    folders: tuple[str, ...]
    needs: str = ""


PROGRAMS = {
    "flow_matching": Program("facebookresearch/flow_matching", "11568d3 (1.0.10)", ("flow_matching",), "pytest"),
    "torchcfm": Program(
        "atong01/conditional-flow-matching",
        "cacd4dc (1.0.7)",
        ("conditional-flow-matching",),
        "pot scikit-learn torchdyn==1.0.6 matplotlib pandas absl-py",
    ),
    "sit": Program("willisma/SiT", "947f95b", ("SiT",)),
    "k_diffusion": Program("crowsonkb/k-diffusion", "4601bf0", ("k-diffusion",), "torchsde scipy tqdm"),
    "rectified_flow": Program("lucidrains/rectified-flow-pytorch", "0.14.0", (), "rectified-flow-pytorch==0.14.0"),
    "cont_ddpm": Program("google-research/torchsde", "eb3a00e", ("torchsde",), "fire einops kornia torchvision"),
    "torchdyn": Program("DiffEqML/torchdyn", "95cc74b (1.0.6)", ("torchdyn",), "pytorch-lightning scikit-learn pytest"),
    "latent_ode": Program("YuliaRubanova/latent_ode", "c0682d4", ("latent_ode",), "pandas scikit-learn matplotlib"),
    "scnode": Program("rsinghlab/scNODE", "ba55e8d", ("scNODE",)),
    "mioflow": Program("KrishnaswamyLab/MIOFlow", "ec4b8ba", ("MIOFlow",), "pot torchsde scikit-learn pandas"),
    "anode": Program("EmilienDupont/augmented-neural-odes", "88d9865", ("augmented-neural-odes",)),
    "torchdiffeq_examples": Program("rtqichen/torchdiffeq", "657943a", ("torchdiffeq/examples",), "matplotlib"),
    "torchcde": Program("patrick-kidger/torchcde", "9ff6aba (0.2.5)", ("torchcde",), "torchsde pytest"),
    "bgflow": Program("noegroup/bgflow", "fbba56f", ("bgflow",), "einops matplotlib"),
    "stribor": Program("mbilos/stribor", "f5ba941", ("stribor",), "torchtyping typeguard==2.13.3"),
    "symoden": Program("d-biswa/Symplectic-ODENet", "9ccc0bb", ("Symplectic-ODENet",)),
    "neuromancer": Program("pnnl/neuromancer", "1.5.6", (), "neuromancer==1.5.6"),
    "chirho": Program("BasisResearch/chirho", "8ba2c39d (0.3.0)", ("chirho",), "pyro-ppl pytest"),
    "ffjord": Program("rtqichen/ffjord", "994864a", ("ffjord",), "six"),
    "trajectorynet": Program("KrishnaswamyLab/TrajectoryNet", "810c89b", ("TrajectoryNet",), "six"),
    "torchflows": Program("davidnabergoj/torchflows", "10b6d6e", ("torchflows",), "tqdm"),
}
