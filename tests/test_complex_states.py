"""Complex states in implicit schemes and in forward sensitivities: those of the same problem in real parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from matrix import relative
from torch import Tensor

from odebench import odeint, registry
from odebench.solvers.krylov import gmres

C, D = torch.complex128, torch.float64
IMPLICIT = ("implicit_euler", "kvaerno3", "kvaerno4", "kvaerno5")
BACKWARDS = ("direct", "aca", "recursive")
T = torch.tensor([0.0, 0.4, 1.0], dtype=D)
OPERATOR = torch.tensor([[0.0, 1.0, 0.2], [1.0, -40.0, 0.5], [0.2, 0.5, 3.0]], dtype=D)


def schroedinger(t: Tensor, y: Tensor, rate: Tensor, shift: Tensor) -> Tensor:
    """Linear and holomorphic; stiff in a damped part."""
    return -1j * (y @ OPERATOR.to(y.dtype)) * rate - 0.2 * y * shift * torch.cos(t)


def saturated(t: Tensor, y: Tensor, rate: Tensor, shift: Tensor) -> Tensor:
    """Not holomorphic: |y|, the conjugate, and a real part."""
    return -rate * y * y.abs() + 0.3j * y.conj() * shift + y.real * t - 3.0 * (y - 0.5)


def across_rows(t: Tensor, y: Tensor, rate: Tensor, shift: Tensor) -> Tensor:
    """Rows that depend on one another."""
    return -20.0 * (y - y.mean(0, keepdim=True).conj()) * rate + 1j * shift * y


FIELDS = [schroedinger, saturated, across_rows]


def leaves() -> tuple[Tensor, Tensor, Tensor]:
    """(y0 complex, a real parameter, a complex one)."""
    y0 = torch.tensor([[0.8 + 0.1j, -0.2j, 0.3], [0.4, 0.5 - 0.7j, -0.1 + 0.2j]], dtype=C)
    rate, shift = torch.tensor(1.3, dtype=D), torch.tensor(0.7 - 0.4j, dtype=C)
    return y0.requires_grad_(), rate.requires_grad_(), shift.requires_grad_()


def loss(ys: Tensor) -> Tensor:
    return (ys[1:].abs().square() * 0.5).sum() + (ys[-1] * (0.3 - 0.2j)).real.sum() + ys[1].imag.sum()


def in_complex(field: Callable[..., Tensor], **asked: object) -> tuple[Tensor, Tensor]:
    """(the solution, the gradient in all leaves) as real numbers."""
    y0, rate, shift = leaves()
    ys = odeint(lambda t, y: field(t, y, rate, shift), y0, T, params=(rate, shift), **asked)
    found = torch.autograd.grad(loss(ys), (y0, rate, shift))
    return numbers(ys), torch.cat([numbers(each) for each in found])


def in_parts(field: Callable[..., Tensor], **asked: object) -> tuple[Tensor, Tensor]:
    """The same of the problem written in real parts, real and imaginary side by side on the last axis."""
    y0, rate, shift = leaves()
    whole, parts = torch.view_as_complex, torch.view_as_real
    start = parts(y0.detach()).flatten(1).requires_grad_()

    def f(t: Tensor, y: Tensor) -> Tensor:
        return parts(field(t, whole(y.reshape(2, 3, 2)), rate, shift).resolve_conj()).flatten(1)

    ys = odeint(f, start, T, params=(rate, shift), **asked)
    found = torch.autograd.grad(loss(whole(ys.reshape(3, 2, 3, 2))), (start, rate, shift))
    return ys.detach().flatten(), torch.cat([numbers(each) for each in found])


def numbers(x: Tensor) -> Tensor:
    return (torch.view_as_real(x.detach().resolve_conj()) if x.is_complex() else x.detach()).flatten()


@pytest.mark.parametrize("linear", ["auto", "krylov"])
@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("solver", IMPLICIT)
def test_an_implicit_scheme_takes_the_steps_of_the_same_problem_in_real_parts(
    solver: str, field: Callable[..., Tensor], linear: str
) -> None:
    asked = {"method": {solver: {"linear": linear}}, "options": {"dt": 0.1}}
    wanted = in_parts(field, method=solver, gradient="direct", options=asked["options"])
    # With steps from GMRES Newton's method converges linearly, and ends on a forecast of what is left.
    allowed = 1e-11 if linear == "krylov" else 1e-13
    for gradient in BACKWARDS:
        ys, found = in_complex(field, gradient=gradient, **asked)
        assert relative(ys, wanted[0]) < allowed, gradient
        assert relative(found, wanted[1]) < allowed, gradient


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.__name__)
def test_differences_solve_complex_states_too(field: Callable[..., Tensor]) -> None:
    asked = {"method": {"kvaerno5": {"jacobian": "differences"}}, "options": {"dt": 0.1}}
    ys, found = in_complex(field, gradient="aca", **asked)
    wanted = in_parts(field, method="kvaerno5", gradient="direct", options={"dt": 0.1})
    assert relative(ys, wanted[0]) < 1e-13
    assert relative(found, wanted[1]) < 1e-12


@pytest.mark.parametrize("gradient", [*BACKWARDS, "adjoint", "interpolated", "forward"])
def test_adaptive_implicit_steps_end_near_an_explicit_solve(gradient: str) -> None:
    field = saturated
    wanted = in_complex(field, method="dopri8", rtol=1e-11, atol=1e-12, gradient="direct")
    ys, found = in_complex(field, method="kvaerno5", rtol=1e-7, atol=1e-9, gradient=gradient)
    assert relative(ys, wanted[0]) < 1e-5
    assert relative(found, wanted[1]) < 1e-4


EXPLICIT = ["rk4", "dopri5", "alf", "reversible_heun", "coupled", "abm", "ees25", "vern7", "kvaerno3"]


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("solver", EXPLICIT)
def test_forward_sensitivities_of_a_complex_state_equal_backpropagation(
    solver: str, field: Callable[..., Tensor]
) -> None:
    asked = {"method": solver, "options": {"dt": 0.02}}
    wanted, got = (in_complex(field, gradient=gradient, **asked) for gradient in ("direct", "forward"))
    assert relative(got[0], wanted[0]) < 1e-13
    assert relative(got[1], wanted[1]) < 1e-11


@pytest.mark.parametrize("control", [{"rtol": 1e-6, "atol": 1e-8}, {"rtol": 1e-6, "atol": 1e-8, "dense": True}])
def test_forward_takes_the_adaptive_steps_of_the_complex_solution_alone(control: dict[str, object]) -> None:
    options = {"dense": True} if control.pop("dense", False) else {}
    wanted, got = (
        in_complex(schroedinger, method="dopri5", gradient=how, options=options, **control)
        for how in ("aca", "forward")
    )
    assert relative(got[0], wanted[0]) < 1e-13
    assert relative(got[1], wanted[1]) < 1e-11


def test_a_complex_parameter_of_a_real_state_has_two_directions() -> None:
    found = []
    for gradient in ("direct", "forward"):
        w = torch.tensor([0.3 + 0.5j, -0.2 + 0.1j], dtype=C, requires_grad=True)
        ys = odeint(
            lambda t, y, w=w: -(y * w).abs() + w.imag * torch.sin(t),
            torch.tensor([1.0, 2.0], dtype=D), T, method="rk4", gradient=gradient, params=(w,),
            options={"dt": 0.1},
        )  # fmt: skip
        found.append(torch.autograd.grad(ys[-1].square().sum(), w)[0])
    assert relative(numbers(found[1]), numbers(found[0])) < 1e-12


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0, 3)])
@pytest.mark.parametrize("gradient", ["direct", "aca", "forward"])
def test_a_complex_state_may_have_any_shape(shape: tuple[int, ...], gradient: str) -> None:
    y0 = torch.full(shape, 0.5 - 0.2j, dtype=C, requires_grad=True)
    ys = odeint(lambda t, y: -30j * y, y0, T, method="kvaerno3", gradient=gradient, params=(), options={"dt": 0.1})
    (found,) = torch.autograd.grad(ys[-1].abs().square().sum(), y0)
    assert ys.shape == (3, *shape)
    assert found.shape == y0.shape
    assert bool(torch.isfinite(found).all())


def test_single_precision_is_solved_to_the_digits_it_has() -> None:
    y0 = torch.tensor([[1.0 + 0.5j]], dtype=torch.complex64, requires_grad=True)
    t = torch.tensor([0.0, 1.0])
    ys = odeint(lambda t, y: (-50 + 1j) * (y - 0.3j), y0, t, method="kvaerno5", gradient="aca", params=(), rtol=1e-4,
                atol=1e-6)  # fmt: skip
    assert ys.dtype == torch.complex64
    assert abs(complex(ys[-1].detach()) - 0.3j) < 1e-4
    assert torch.autograd.grad(ys.abs().sum(), y0)[0].dtype == torch.complex64


def test_an_oscillation_that_no_explicit_step_can_follow_is_damped() -> None:
    y0 = torch.ones(1, 1, dtype=C)
    ys = odeint(lambda t, y: -1e9j * (y - 0.25), y0, T, method="kvaerno5", options={"dt": 0.1})
    assert abs(complex(ys[-1]) - 0.25) < 1e-6


def test_gmres_solves_what_is_linear_over_the_real_numbers_alone() -> None:
    torch.manual_seed(0)
    a, b, wanted = (torch.randn(4, 4, dtype=C), torch.randn(4, 4, dtype=C), torch.randn(4, dtype=C))

    def product(v: Tensor) -> Tensor:
        return 4 * v + a @ v + b @ v.conj()

    found, left = gmres(product, product(wanted), 1e-14, cycles=3)
    assert left < 1e-13
    assert relative(numbers(found), numbers(wanted)) < 1e-12


def test_every_solver_takes_a_complex_state_or_refuses_it_by_a_sentence() -> None:
    registry.load_builtins()
    for name in (*IMPLICIT, *EXPLICIT):
        ys = odeint(lambda t, y: 1j * y, torch.ones(2, dtype=C), T, method=name, options={"dt": 0.05})
        assert torch.allclose(ys[-1], torch.exp(torch.tensor(1j, dtype=C)).expand(2), atol=0.1), name
