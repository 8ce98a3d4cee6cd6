"""The filter of -k."""

from __future__ import annotations

import pytest

from odebench.errors import UsageError
from odebench.record import Cell
from odebench.registry import load_builtins
from odebench.spec import Spec
from odebench.suite.select import Filter

load_builtins()
CELL = Cell(
    suite="my suite",
    problem=Spec.of("mlp", {"dim": 5, "activation": "tanh"}),
    solver=Spec.of("coupled", {"base": "rk4", "coupling": 0.999}),
    gradient=Spec("direct"),
    stepping=Spec.of("adaptive", {"rtol": 1e-5, "atol": 1.0}),
    device="cuda:1",
    dtype="float64",
    batch=32,
    seed=7,
)


@pytest.mark.parametrize(
    "text",
    [
        "solver=coupled",
        "coupled",
        "mlp and coupled and direct",
        "solver=alf or gradient=direct",
        "not solver=alf",
        "not (alf or rk4)",
        "not(alf)and(coupled)",
        "solver != alf and device = cuda",
        "device=cuda:1",
        "device!=cpu",
        "batch=32 and seed=7 and batch!=1",
        "batch == 32",
        "dtype=float64",
        "gradient=naive",
        "backprop",
        "solver=coupled(base=rk4, coupling=0.999)",
        "solver=coupled( coupling=0.999,base=rk4 )",
        "solver='coupled(base=rk4, coupling=0.999)'",
        'coupled(base="rk4", coupling=9.99e-1)',
        "stepping=adaptive(atol=1, rtol=1e-5)",
        "problem=mlp(activation=tanh, dim=5)",
        "suite!=other",
        "suite='my suite'",
        'suite != "my"',
        "not not mlp",
        "alf and rk4 or mlp",
        "mlp or alf and rk4",
    ],
)
def test_a_filter_takes_the_cell(text: str) -> None:
    assert Filter.parse(text).matches(CELL)


@pytest.mark.parametrize(
    "text",
    [
        "solver=rk4",
        "rk4",
        "solver=coupled(base=rk4)",
        "coupled(base=rk4, coupling=0.99)",
        "device=cpu",
        "device=cuda:0",
        "device!=cuda",
        "gradient=adjoint",
        "gradient!=naive",
        "batch=3",
        "batch!=32",
        "not mlp",
        "mlp and not coupled",
        "(mlp or alf) and rk4",
        "solver=no_such_solver",
        "android",
        "nothing",
    ],
)
def test_a_filter_leaves_the_cell(text: str) -> None:
    assert not Filter.parse(text).matches(CELL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "column 1: expected a name or axis=value, got the end"),
        ("  ", "column 3: expected a name or axis=value, got the end"),
        ("alf and", "column 8: expected a name or axis=value, got the end"),
        ("or alf", "column 1: expected a name or axis=value, got 'or'"),
        ("alf rk4", "column 5: expected 'and', 'or' or the end, got 'rk4'"),
        ("(alf", "column 5: expected ')', 'and' or 'or', got the end"),
        ("alf)", "column 4: expected 'and', 'or' or the end, got ')'"),
        ("solver=", "column 8: expected a value of solver, got the end"),
        ("solver= and alf", "column 13: expected 'and', 'or' or the end, got 'alf'"),
        ("solver!alf", "column 8: expected '=' after '!', got 'alf'"),
        ("solvr=alf", "column 1: expected an axis, got 'solvr'; did you mean 'solver'?"),
        ("batch=many", "column 7: expected a whole number, got 'many'"),
        ("seed=1.0", "column 6: expected a whole number, got '1.0'"),
        ("device=cuda(x=1)", "column 8: expected a device without options, got 'cuda'"),
        ("alf(eta=1", "column 10: expected ',' or ')', got the end"),
        ("alf(eta=)", "column 9: expected a value, got ')'"),
        ("alf(eta)", "column 8: expected '=' after 'eta', got ')'"),
        ("alf(eta=1, eta=2)", "column 12: expected 'eta' only once, got 'eta'"),
        ("solver='alf", "column 12: expected a closing ', got the end"),
        ("alf & rk4", "column 5: expected 'and', 'or' or the end, got '&'"),
        ("(" * 10_000, "column 42: expected at most 40 levels"),
        ("not " * 10_000, "column 164: expected at most 40 levels"),
        ("a(x=" * 10_000, "expected less nesting"),
        ("a(x=" + "[" * 10_000, "expected less nesting"),
    ],
)
def test_a_filter_that_is_none_names_the_column_and_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        Filter.parse(text)
    assert expected in str(caught.value)


def test_a_filter_of_many_terms_is_no_deep_filter() -> None:
    assert Filter.parse(" or ".join(["alf"] * 5000 + ["mlp"])).matches(CELL)
