"""The JSON Schema says what the validator says, as far as a schema can."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from odebench.errors import OdebenchError
from odebench.registry import load_builtins, registries
from odebench.suite.bounds import bounds
from odebench.suite.grammar import KEYS, MEASURES, OF_TRAINING, TRAININGS, read_suite
from odebench.suite.loading import load_suites, shipped_suites
from odebench.suite.schema import DEFINED, suite_schema
from odebench.suite.yaml_source import read_documents

jsonschema = pytest.importorskip("jsonschema")
GOOD: dict[str, Any] = {
    "name": "x",
    "problems": ["linear_decay", {"mlp": {"dim": 4, "span": [0, 1], "saves": 2}}],
    "solvers": ["rk4", {"alf": None}, {"coupled": {"base": {"rk4": {}}, "coupling": 1}}],
    "stepping": [{"fixed": {"steps": 3}}, {"adaptive": {"rtol": 1e-5, "controller": "pi", "first_step": None}}],
    "gradients": ["naive", "mali", {"recursive": {"checkpoints": 8}}],
    "exclude": [{"solver": "coupled(base=rk4, coupling=1.0)", "batch": 1}, {"stepping": "adaptive"}],
    "measure": {"repeats": 1, "warmup": 2, "timeout": 0.5, "match_error": 1e-6, "match": "gradient_error"},
}


@pytest.fixture(scope="module")
def validator() -> Any:
    load_builtins()
    # Other tests of this process may have registered plugins, which explain nothing.
    everything = {kind: registry.entries for kind, registry in registries.items()}
    try:
        for registry in registries.values():
            registry.entries = {name: each for name, each in registry.entries.items() if each.source == "odebench"}
        schema = json.loads(json.dumps(suite_schema(), allow_nan=False))
    finally:
        for kind, registry in registries.items():
            registry.entries = everything[kind]
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_a_good_suite_is_valid(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(GOOD)] == []
    assert read_suite(GOOD)[1] == []


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
    alf = entries(validator, "solver")["alf"]
    assert alf["properties"]["eta"] | {"description": ""} == {
        "description": "", "type": "number", "default": 1.0, "exclusiveMinimum": 0, "maximum": 1, "not": {"const": 0.5},
    }  # fmt: skip
    assert alf["description"].startswith("Asynchronous leapfrog")
    assert validator.schema["properties"]["gradients"]["default"] == ["direct"]
    names = validator.schema["definitions"]["gradient"]["anyOf"]
    mali = next(each for each in names if each.get("const") == "mali")
    assert mali["description"].startswith("The same as reversible.")


def entries(validator: Any, kind: str) -> dict[str, Any]:
    """Name -> schema of its options."""
    found: dict[str, Any] = validator.schema["definitions"][kind]["anyOf"][-1]["properties"]
    return found


def test_everything_that_an_editor_can_hover_over_is_explained(validator: Any) -> None:
    def unexplained(properties: dict[str, Any]) -> list[str]:
        return [name for name, schema in properties.items() if not schema.get("description")]

    suite = validator.schema["properties"]
    assert set(suite) == {*KEYS, *OF_TRAINING}
    assert unexplained(suite) == []
    for key, known in (("measure", MEASURES), ("train", TRAININGS)):
        assert set(suite[key]["properties"]) == set(known)
        assert unexplained(suite[key]["properties"]) == []
    for kind in DEFINED:
        assert unexplained(entries(validator, kind)) == []
        for name, entry in entries(validator, kind).items():
            assert unexplained(entry["properties"]) == [], name
        assert [each for each in validator.schema["definitions"][kind]["anyOf"][:-1] if not each["description"]] == []


def test_bounds_are_those_of_the_entry_itself() -> None:
    for registry in registries.values():
        for entry in registry:
            for option in entry.options.values():
                if option.type in (int, float, int | None, float | None):
                    for value, taken in at_the_edges(bounds(entry, option)):
                        assert takes(entry, option.name, value) is taken, (entry.name, option.name, value)


def takes(entry: Any, option: str, value: float) -> bool:
    try:
        entry.build({option: value})
    except OdebenchError:
        return False
    return True


def at_the_edges(limits: dict[str, Any]) -> Iterator[tuple[float, bool]]:
    """(a number at or beyond a bound, whether it should be taken)."""
    edges = {
        "minimum": (True, -1),
        "maximum": (True, 1),
        "exclusiveMinimum": (False, -1),
        "exclusiveMaximum": (False, 1),
    }
    for name, limit in limits.items():
        if name == "not":
            yield limit["const"], False
        else:
            taken, beyond = edges[name]
            yield limit, taken
            yield limit + beyond, False


# Each changes one place of a suite: (what is there, what it is called) -> what is put in its place, or `LEFT`.
LEFT: Any = object()
NAMES = ("problems", "solvers", "gradients", "stepping", "base")
COUNTS = ("batches", "seeds", "saves", "steps", "checkpoints", "repeats")
MUTATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "a key is misspelt": lambda value, key: (
        {f"{name}z": each for name, each in value.items()} if value and isinstance(value, dict) else LEFT
    ),
    "a number is a word": lambda value, key: "many" if type(value) in (int, float) else LEFT,
    "a word is a number": lambda value, key: 7 if isinstance(value, str) and key != "plugins" else LEFT,
    "a list is empty": lambda value, key: [] if isinstance(value, list) and key not in ("exclude", "plugins") else LEFT,
    "a list is a mapping": lambda value, key: {"a": value} if isinstance(value, list) else LEFT,
    "an item is there twice": lambda value, key: (
        [*value, value[0]] if isinstance(value, list) and value and key not in ("span", "exclude", "plugins") else LEFT
    ),
    "a name is unknown": lambda value, key: "nonsense" if isinstance(value, str) and key in NAMES else LEFT,
    "a number is negative": lambda value, key: -1 - value if type(value) is int and key in COUNTS else LEFT,
}


def mutants(data: Any, mutate: Callable[[Any, Any], Any]) -> Iterator[Any]:
    """`data` with one place changed, for each place; items of a list are called as the list is."""

    def walk(value: Any, key: Any, put: Callable[[Any], None]) -> Iterator[Any]:
        changed = mutate(value, key) if key is not None and not isinstance(value, bool) else LEFT
        if changed is not LEFT:
            put(changed)
            yield copy.deepcopy(data)
            put(value)
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, child in list(children):
            yield from walk(
                child, name if isinstance(value, dict) else key, lambda new, at=name: put_at(value, at, new)
            )

    def put_at(container: Any, at: Any, new: Any) -> None:
        container[at] = new

    data = copy.deepcopy(data)
    yield from walk(data, None, lambda _: None)


@pytest.mark.parametrize("what", MUTATIONS)
def test_what_validate_refuses_for_its_structure_the_schema_refuses(validator: Any, what: str) -> None:
    refused = 0
    for suite in (GOOD, *(document.data for name in ("quickstart", "long_horizon") for document in shipped(name))):
        for mutant in mutants(suite, MUTATIONS[what]):
            assert read_suite(mutant)[1], mutant
            assert not validator.is_valid(mutant), mutant
            refused += 1
    assert refused


def shipped(name: str) -> list[Any]:
    return list(read_documents(shipped_suites()[name]))


def test_the_schema_never_refuses_what_validate_takes(validator: Any) -> None:
    tame = {
        "a number is another": lambda value, key: value + 1 if type(value) in (int, float) else LEFT,
        "a number is half": lambda value, key: value / 2 if type(value) is float else LEFT,
        "an item is dropped": lambda value, key: value[1:] if isinstance(value, list) else LEFT,
        "an option is dropped": lambda value, key: None if isinstance(value, dict) else LEFT,
    }
    taken = 0
    for mutate in tame.values():
        for mutant in mutants(GOOD, mutate):
            if not read_suite(mutant)[1]:
                assert [error.message for error in validator.iter_errors(mutant)] == []
                taken += 1
    assert taken > 10


def test_a_training_suite_has_models_for_problems_and_keys_of_its_own(validator: Any) -> None:
    suite = {
        "name": "t",
        "kind": "train",
        "problems": ["rk4"],
        "solvers": ["rk4"],
        "stepping": [{"fixed": {"dt": 0.1}}],
    }
    assert not validator.is_valid(suite)  # rk4 is no model
    assert not validator.is_valid(GOOD | {"train": {"steps": 3}})
    assert not validator.is_valid(GOOD | {"regularisers": ["none"]})
    assert validator.is_valid(GOOD | {"kind": "benchmark"})
    for workload in (each for each in registries["workload"] if each.source == "odebench"):
        # Files of the user's have no default.
        needed = {option.name: "data" for option in workload.options.values() if option.required}
        named = {workload.name: needed} if needed else workload.name
        good = suite | {"problems": [named], "regularisers": ["none", {"steer": {"width": 0.5}}]}
        assert validator.is_valid(good | {"train": {"steps": 3, "optimiser": "adam"}}), workload.name
        assert not validator.is_valid(good | {"train": {"steps": 0}})
