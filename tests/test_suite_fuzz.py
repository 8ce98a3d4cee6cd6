"""Two hundred ways to break the shipped suites: each ends in a suite or in located findings, never in anything else."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.errors import SuiteError
from odebench.plan import make_plan, needs_isolation
from odebench.suite.loading import load_suites, shipped_suites

PLAIN = """\
name: plain
description: Something to mutate besides what is shipped.
problems: [linear_decay, {mlp: {dim: 5, hidden: 11, span: [0, 10]}}]
solvers:
  - rk4
  - {coupled: {base: {dopri5: {}}, coupling: 0.999}}
gradients: [direct, &r {recursive: {checkpoints: 8}}, mali]
stepping:
  - {fixed: {steps: 100}}
  - {adaptive: {rtol: 1e-5, atol: 1e-6}}
exclude:
  - {solver: rk4, stepping: adaptive}
measure: {repeats: 10, warmup: auto, timeout: 120}
"""
WORDS = """
{ } [ ] , : - ? & * ! | > ' " % @ ` # ~ << *r &r !!str !!python/object:os.system --- ... null true no .nan .inf -.inf
1e999 0o17 0x1F 1e-5 -1 0 1.5 12:30:45 2020-01-01 rk4 mali naive exclude name
"""
ODD = ["\t", "\n", "\r", " ", "\0", "\x85", "\u2028", "\ufeff", "λ", "9" * 5000, "[" * 2000, "{a: " * 500]
TOKENS = [*WORDS.split(), *ODD]

Mutation = Callable[[random.Random, bytes], bytes]


def some_bytes(rng: random.Random, text: bytes) -> bytes:
    """Overwrite a few bytes with any others."""
    changed = bytearray(text)
    for _ in range(rng.randint(1, 5)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def a_cut(rng: random.Random, text: bytes) -> bytes:
    """Lose a stretch, or the end."""
    start = rng.randrange(len(text))
    return text[:start] + text[start + rng.choice((1, 3, 20, len(text))) :]


def lines(rng: random.Random, text: bytes) -> bytes:
    """Swap, repeat or lose a line."""
    rows = text.split(b"\n")
    one, other = rng.randrange(len(rows)), rng.randrange(len(rows))
    deed = rng.randrange(3)
    if deed == 0:
        rows[one], rows[other] = rows[other], rows[one]
    elif deed == 1:
        rows.insert(other, rows[one])
    else:
        del rows[one]
    return b"\n".join(rows)


def tokens(rng: random.Random, text: bytes) -> bytes:
    """Put something meaningful where it has no meaning."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(TOKENS).encode() + text[place:]
    return text


def values(rng: random.Random, text: bytes) -> bytes:
    """Replace a word or a number."""
    words = list(re.finditer(rb"[\w.+-]+", text))
    for word in sorted(rng.sample(words, min(2, len(words))), key=lambda word: -word.start()):
        text = text[: word.start()] + rng.choice(TOKENS).encode() + text[word.end() :]
    return text


def indentation(rng: random.Random, text: bytes) -> bytes:
    """Move a line to the left or right."""
    rows = text.split(b"\n")
    row = rng.randrange(len(rows))
    rows[row] = rng.choice((b" ", b"  ", b"\t", b"    ")) + rows[row] if rng.random() < 0.6 else rows[row].lstrip()
    return b"\n".join(rows)


MUTATIONS: tuple[Mutation, ...] = (some_bytes, a_cut, lines, tokens, values, indentation)


def findings(path: Path) -> tuple[str, ...]:
    """What is said of the file; nothing if it is a suite that plans."""
    needs_isolation({"suites": [str(path)]})
    try:
        make_plan(load_suites([path]), 0)
    except SuiteError as error:
        return error.findings
    return ()


def mutants(part: int) -> Iterator[tuple[int, bytes]]:
    """(seed, content) of the fifty files of one of four parts; always the same."""
    originals = [PLAIN.encode(), *(path.read_bytes() for path in shipped_suites().values())]
    for case in range(50 * part, 50 * part + 50):
        rng = random.Random(case)
        mutant = rng.choice(MUTATIONS)(rng, rng.choice(originals))
        if rng.random() < 0.3:
            mutant = rng.choice(MUTATIONS)(rng, mutant or b"x")
        yield case, mutant


@pytest.mark.parametrize("part", range(4))
def test_the_command_line_ends_with_0_or_with_2_and_places_for_a_mutated_suite(tmp_path: Path, part: int) -> None:
    path = tmp_path / "mutant.yaml"
    place = re.compile(rf"{re.escape(str(path))}:[1-9]\d*:[1-9]\d*: \S")
    codes = set()
    for case, mutant in mutants(part):
        path.write_bytes(mutant)
        result = CliRunner().invoke(app, ["validate", str(path)], prog_name="odebench")
        codes.add(result.exit_code)
        assert result.exit_code in (0, 2), (case, result.stderr)
        assert bool(result.stdout) is (result.exit_code == 0), case
        assert all(place.match(line) for line in result.stderr.splitlines()), (case, result.stderr)
        assert bool(result.stderr) is (result.exit_code == 2), case
    assert codes == {0, 2}


@pytest.mark.parametrize("part", range(4))
def test_a_mutated_suite_is_read_or_refused_with_places(tmp_path: Path, part: int) -> None:
    path = tmp_path / "mutant.yaml"
    place = re.compile(rf"{re.escape(str(path))}:[1-9]\d*:[1-9]\d*: \S")
    refused = 0
    for case, mutant in mutants(part):
        path.write_bytes(mutant)
        lines = findings(path)
        refused += bool(lines)
        for line in lines:
            assert place.match(line), (case, line)
            assert line.isprintable(), (case, line)
    assert 0 < refused < 50
