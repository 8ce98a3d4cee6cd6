"""YAML as suites use it: numbers of YAML 1.2, places of everything, and files that mean harm."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from odebench.errors import SuiteError
from odebench.suite.yaml_source import dump_documents, read_documents


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def findings(folder: Path, text: str | bytes) -> list[str]:
    path = write(folder, text)
    with pytest.raises(SuiteError) as caught:
        read_documents(path)
    prefix = f"{path}:"
    assert all(line.startswith(prefix) for line in caught.value.findings)
    return [line.removeprefix(prefix) for line in caught.value.findings]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("+.5", 0.5),
        ("-1.", -1.0),
        (".inf", inf),
        ("-.INF", -inf),
        ("0o17", 15),
        ("0x1F", 31),
        ("012", 12),
        ("-7", -7),
        ("1_000", "1_000"),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("~", None),
        ("", None),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("'1e-5'", "1e-5"),
        ('"true"', "true"),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(tmp_path: Path, text: str, value: object) -> None:
    (document,) = read_documents(write(tmp_path, f"a: {text}\n"))
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


def test_every_key_and_value_knows_its_place(tmp_path: Path) -> None:
    (document,) = read_documents(write(tmp_path, "a: 1\nb:\n  - {c: 2, d: [3, 4]}\n  - &x {e: 5}\n  - *x\n"))
    assert document.place(("b", 0, "d", 1)) == (3, 19)
    assert document.place(("b", 0, "d"), key=True) == (3, 12)
    assert document.place(("b", 2)) == (5, 5)
    assert document.place(("b", 2, "e")) == (4, 12), "inside an alias: where the text stands"
    assert document.place(("b", 0, "missing", "deeper")) == (3, 5), "what is not there: the nearest around it"


def test_a_file_may_hold_several_documents(tmp_path: Path) -> None:
    documents = read_documents(write(tmp_path, "---\na: 1\n---\na: 2\n"))
    assert [document.data for document in documents] == [{"a": 1}, {"a": 2}]


def test_a_byte_order_mark_is_no_part_of_the_suite(tmp_path: Path) -> None:
    (document,) = read_documents(write(tmp_path, b"\xef\xbb\xbfa: 1\n"))
    assert document.data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: key 'a' is given twice, first at line 1, column 1"),
        ("- {x: 1, x: 2}\n", "1:10: key 'x' is given twice, first at line 1, column 4"),
        ("<<: {a: 1}\n", "1:1: merge keys (<<) are not part of YAML 1.2; write the keys out"),
        ("1: a\n", "1:1: a key must be a string, got 1"),
        ("? [a]\n: b\n", "1:3: a key must be a string, got a list or mapping"),
        ("a: !!python/name:os.system x\n", "1:4: tag 'tag:yaml.org,2002:python/name:os.system': a suite has no tags"),
        ("a: !!float 1\n", "1:4: tag 'tag:yaml.org,2002:float': a suite has no tags"),
        ("a:\n\tb: 1\n", "2:1: a tab cannot stand here; indent with blanks"),
        ("a: *b\n", "1:4: alias *b has no anchor &b before it"),
        ("a: &b [*b]\n", "1:8: alias *b stands inside what it repeats"),
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("---\n---\na: 1\n", "2:1: there is nothing in this document"),
        ("a: b: c\n", "1:5: this is not YAML: mapping values are not allowed here"),
        ("a: 'b\n", "2:1: this is not YAML"),
        (b"a: 1\nb: \xff\n", "2:4: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a: 1\x00\n", "1:5: the character U+0000 is not allowed in YAML"),
        ('a: "\\UFFFFFFFF"\n', "1:1: this is not YAML"),
        ("a: " + "9" * 5000 + "\n", "1:4: a number of 5000 characters is absurd"),
        ("a: " + "[" * 100_000, "1:44: this is nested more than 40 deep"),
        ("- " * 5000, "1:83: this is nested more than 40 deep"),
        ("- 1\n" * 30_000, "20000:3: more than 20000 values up to here"),
        ("# " + "x" * (1 << 20), "1:1: the file is larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_suite_is_refused_where_it_goes_wrong(
    tmp_path: Path, text: str | bytes, expected: str
) -> None:
    (line,) = findings(tmp_path, text)
    assert line.startswith(expected)


def test_an_alias_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30)]
    (line,) = findings(tmp_path, "\n".join(["l0: &l0 [x]", *levels]))
    assert "more than 20000 values up to here, aliases written out" in line


def test_all_findings_of_a_file_are_reported_in_order(tmp_path: Path) -> None:
    lines = findings(tmp_path, "a: *x\na: 1\nb: !t 1\n<<: 2\nc: 'open\n")
    assert [line.partition(": ")[0] for line in lines] == ["1:4", "2:1", "3:4", "4:1", "6:1"]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None])
def test_what_is_no_file_is_a_located_finding(tmp_path: Path, make: object) -> None:
    path = tmp_path / "gone.yaml"
    make(path)  # type: ignore[operator]
    with pytest.raises(SuiteError, match=r"gone\.yaml:1:1: there is (no file|a folder) of this name"):
        read_documents(path)


def test_what_is_dumped_reads_back_the_same(tmp_path: Path) -> None:
    data = {
        "strings": ["1e-5", "no", "0o17", "~", "", "true", "12:30", "a: b", "- c", "x\ny", "<<", "λ", ".inf"],
        "numbers": [1e-5, 1.0, inf, 7, 1e300, -0.25],
        "others": [True, None, [], {}],
    }
    documents = read_documents(write(tmp_path, dump_documents([data, {"again": data["numbers"]}])))
    assert [document.data for document in documents] == [data, {"again": data["numbers"]}]
