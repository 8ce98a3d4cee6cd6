"""The JSON Schema says what the validator says, as far as a schema can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from odebench.registry import load_builtins
from odebench.suite.loading import load_suites, shipped_suites
from odebench.suite.schema import suite_schema
from odebench.suite.yaml_source import read_documents

jsonschema = pytest.importorskip("jsonschema")
GOOD: dict[str, Any] = {
    "name": "x",
    "problems": ["linear_decay", {"mlp": {"dim": 4, "span": [0, 1], "saves": 2}}],
    "solvers": ["rk4", {"alf": None}, {"coupled": {"base": {"rk4": {}}, "coupling": 1}}],
    "stepping": [{"fixed": {"steps": 3}}, {"adaptive": {"rtol": 1e-5, "controller": "pi", "first_step": None}}],
    "gradients": ["naive", "mali", {"recursive": {"checkpoints": 8}}],
    "exclude": [{"solver": "alf(eta=1.0)", "batch": 1}, {"stepping": "adaptive"}],
    "measure": {"repeats": 1, "warmup": 2, "timeout": 0.5, "match_error": 1e-6, "match": "gradient_error"},
}


@pytest.fixture(scope="module")
def validator() -> Any:
    load_builtins()
    schema = json.loads(json.dumps(suite_schema(), allow_nan=False))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_a_good_suite_is_valid(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(GOOD)] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("solverz", ["rk4"]),
        ("name", 3),
        ("problems", []),
        ("problems", "linear_decay"),
        ("problems", [{"mlp": {"dims": 4}}]),
        ("problems", [{"mlp": {"dim": "4"}}]),
        ("problems", [{"mlp": {}, "linear_decay": {}}]),
        ("problems", [{"linear_decay": {"span": [0]}}]),
        ("problems", [{"linear_decay": {"saves": 0}}]),
        ("solvers", ["rk5"]),
        ("solvers", ["rk4", "rk4"]),
        ("solvers", [{"coupled": {"base": "rk5"}}]),
        ("stepping", [{"adaptive": {"controller": "p"}}]),
        ("devices", ["gpu"]),
        ("dtypes", ["float16"]),
        ("batches", [0]),
        ("seeds", [-1]),
        ("measure", {"timeout": 0}),
        ("measure", {"repeat": 1}),
        ("measure", {"match_error": 0}),
        ("measure", {"match_error": 1e-6, "match": "error"}),
        ("measure", {"match": "gradient_error"}),
        ("exclude", [{"solvr": "rk4"}]),
        ("exclude", [{"solver": "rk5"}]),
    ],
)
def test_a_wrong_suite_is_invalid(validator: Any, key: str, value: Any) -> None:
    assert list(validator.iter_errors(GOOD | {key: value}))


def test_every_shipped_suite_is_valid_as_written_and_as_resolved(validator: Any) -> None:
    for path in shipped_suites().values():
        written = [document.data for document in read_documents(path)]
        resolved = [json.loads(json.dumps(suite.to_data())) for suite in load_suites([path])]
        for data in (*written, *resolved):
            assert [error.message for error in validator.iter_errors(data)] == [], path.name


def test_names_and_options_carry_what_the_registries_say(validator: Any) -> None:
    solvers = validator.schema["definitions"]["solver"]["anyOf"]
    alf = solvers[1]["properties"]["alf"]
    assert alf["properties"]["eta"] == {"type": "number", "default": 1.0}
    assert alf["description"].startswith("Asynchronous leapfrog")
    assert validator.schema["properties"]["gradients"]["default"] == ["direct"]
