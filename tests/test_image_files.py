"""Readers of image files: what is read, and what is said of files that cannot be."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from odebench.errors import DataError
from odebench.workloads import image_files
from odebench.workloads.image_files import CIFAR, Idx, read_images

PARTS = {"train": 7, "t10k": 3}
BLANK = np.zeros((3, 28, 28), np.uint8)


def idx(array: np.ndarray) -> bytes:
    """The array in an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


def arrays() -> dict[str, np.ndarray]:
    """Name of a file -> what is in it, ten images in all, no two alike."""
    draw, found = np.random.default_rng(0), {}
    for part, count in PARTS.items():
        found[f"{part}-images-idx3-ubyte"] = draw.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        found[f"{part}-labels-idx1-ubyte"] = draw.integers(0, 10, count).astype(np.uint8)
    return found


def write(folder: Path, spell: Callable[[str], str] = str) -> dict[str, np.ndarray]:
    """The arrays, each written to the file of its name as `spell` spells it; packed where that ends in .gz."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (found := arrays()).items():
        packed = gzip.compress(idx(array), mtime=0) if spell(name).endswith(".gz") else idx(array)
        (folder / spell(name)).write_bytes(packed)
    return found


@pytest.mark.parametrize(
    ("data", "below", "spell"),
    [
        ("mnist", ".", str),
        ("mnist", "raw", lambda name: f"{name}.gz"),
        ("mnist", "MNIST/raw", lambda name: name.replace("-idx", ".idx")),
        ("fashion_mnist", "FashionMNIST/raw", lambda name: f"{name}.gz"),
        ("kmnist", "KMNIST/raw", str),
    ],
)
def test_idx_files_are_read_packed_or_not_from_where_people_have_them(
    tmp_path: Path, data: str, below: str, spell: Callable[[str], str]
) -> None:
    wrote = write(tmp_path / below, spell)
    found = read_images(data, str(tmp_path), checksums=False)
    assert found.train.shape == (7, 1, 28, 28)
    assert found.test.shape == (3, 1, 28, 28)
    assert np.array_equal(found.train[:, 0], wrote["train-images-idx3-ubyte"])
    assert np.array_equal(found.test[:, 0], wrote["t10k-images-idx3-ubyte"])
    assert np.array_equal(found.train_labels, wrote["train-labels-idx1-ubyte"])
    assert np.array_equal(found.test_labels, wrote["t10k-labels-idx1-ubyte"])


def labels_of(*values: int) -> bytes:
    return idx(np.array(values, np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train-images-idx3-ubyte", idx(np.zeros((7, 28, 28), np.uint8))[:-1], "says 16 + 5488 bytes, and it has 5503"),
        ("train-images-idx3-ubyte", idx(np.zeros((7, 28, 28), np.uint8)) + b"x", "and it has 5505"),
        ("train-images-idx3-ubyte", idx(np.zeros((7, 28, 28), np.uint8))[:9], "and it has 9"),
        ("train-images-idx3-ubyte", b"<html>404</html>", "as no IDX file of bytes does"),
        ("train-images-idx3-ubyte", b"", "begins with b''"),
        ("train-images-idx3-ubyte", idx(np.zeros((7, 28, 27), np.uint8)), "images of shape (7, 28, 27)"),
        ("train-images-idx3-ubyte", labels_of(1, 2, 3), "images of shape (3,)"),
        ("train-labels-idx1-ubyte", labels_of(1, 2, 3), "one label of 0 to 9 for each of 7 images"),
        ("t10k-labels-idx1-ubyte", labels_of(1, 2, 10), "one label of 0 to 9 for each of 3 images"),
        ("t10k-labels-idx1-ubyte", idx(np.zeros((3, 1), np.uint8)), "one label of 0 to 9 for each of 3 images"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(idx(BLANK), mtime=0)[:-9], "cannot be unpacked"),
        ("t10k-images-idx3-ubyte.gz", b"no archive", "cannot be unpacked"),
    ],
)
def test_a_damaged_idx_file_is_refused_whole_with_what_is_wrong(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_images("mnist", str(tmp_path), checksums=False)
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "get it from https://" in str(caught.value)


@pytest.mark.parametrize(("data", "name"), [("mnist", "t10k-labels-idx1-ubyte.gz"), ("cifar10", "data_batch_4")])
def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path, data: str, name: str) -> None:
    write(tmp_path)
    write_cifar(tmp_path)
    (tmp_path / name.removesuffix(".gz")).unlink()
    with pytest.raises(DataError, match=f"there is no {name} in it; get it from https://"):
        read_images(data, str(tmp_path), checksums=False)
    with pytest.raises(DataError, match="no such folder"):
        read_images(data, str(tmp_path / "elsewhere"))


def test_a_file_is_the_published_one_by_its_archive_or_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "plain")
    write(tmp_path / "packed", lambda name: f"{name}.gz")

    def published(archives: bool, contents: bool) -> None:
        def md5(file: Path, known: bool) -> str:
            return hashlib.md5(file.read_bytes()).hexdigest() if known else "0"

        files = tuple(
            Idx(name, md5(tmp_path / "packed" / f"{name}.gz", archives), md5(tmp_path / "plain" / name, contents))
            for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                         "t10k-labels-idx1-ubyte")
        )  # fmt: skip
        monkeypatch.setitem(image_files.IDX, "mnist", files)

    def taken() -> list[str]:
        found = []
        for folder in ("plain", "packed"):
            with suppress(DataError):
                read_images("mnist", str(tmp_path / folder))
                found.append(folder)
        return found

    with pytest.raises(DataError, match="is not the published one; `checksums: false` takes files of your own"):
        read_images("mnist", str(tmp_path / "plain"))
    published(archives=True, contents=False)
    assert taken() == ["packed"]
    published(archives=False, contents=True)
    assert taken() == ["plain", "packed"]


def test_what_no_checksum_is_published_of_is_taken_unpacked_but_not_packed(tmp_path: Path) -> None:
    write(tmp_path / "plain")
    write(tmp_path / "packed", lambda name: f"{name}.gz")
    assert len(read_images("kmnist", str(tmp_path / "plain")).train) == 7
    with pytest.raises(DataError, match="is not the published one"):
        read_images("kmnist", str(tmp_path / "packed"))


def batch(count: int, seed: int) -> dict[str, object]:
    draw = np.random.default_rng(seed)
    return {
        "data": draw.integers(0, 256, (count, 3072)).astype(np.uint8),
        "labels": draw.integers(0, 10, count).tolist(),
    }


def write_cifar(folder: Path) -> list[dict[str, object]]:
    """Six batches of two images; read back in the order written."""
    folder.mkdir(exist_ok=True)
    batches = [batch(2, seed) for seed in range(6)]
    for name, each in zip(CIFAR, batches, strict=True):
        (folder / name).write_bytes(pickle.dumps(each, protocol=3))
    return batches


def of_python_2(images: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2 wrote, by its opcodes: strings are bytes there, and NumPy's module was another."""

    def string(content: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(content)) + content

    def integers(values: list[int]) -> bytes:
        return b"".join(b"J" + struct.pack("<i", value) for value in values)

    shape = b"(" + integers(list(images.shape)) + b"t"
    dtype = b"cnumpy\ndtype\n(" + string(b"u1") + integers([0, 1]) + b"tR"
    dtype += b"(" + integers([3]) + string(b"|") + b"NNN" + integers([-1, -1, 0]) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + integers([0]) + b"t" + string(b"b") + b"tR"
    array += b"(" + integers([1]) + shape + dtype + b"\x89" + string(images.tobytes()) + b"tb"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + b"](" + integers(labels) + b"eu."


@pytest.mark.parametrize("below", [".", "cifar-10-batches-py"])
def test_the_pickles_of_cifar_are_read_by_channel(tmp_path: Path, below: str) -> None:
    batches = write_cifar(tmp_path / below)
    found = read_images("cifar10", str(tmp_path), checksums=False)
    assert found.train.shape == (10, 3, 32, 32)
    assert found.test.shape == (2, 3, 32, 32)
    assert np.array_equal(found.train[2:4].reshape(2, 3072), batches[1]["data"])
    assert np.array_equal(found.train[0, 1, 0], batches[0]["data"][0, 1024:1056])  # the first row of green
    assert found.train_labels.tolist() == [label for each in batches[:5] for label in each["labels"]]
    assert found.test_labels.tolist() == batches[5]["labels"]


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    images = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
    (tmp_path / "test_batch").write_bytes(of_python_2(images, [3, 8]))
    found = read_images("cifar10", str(tmp_path), checksums=False)
    assert np.array_equal(found.test.reshape(2, 3072), images)
    assert found.test_labels.tolist() == [3, 8]


class Harmful:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(("checksums", "said"), [(True, "MD5"), (False, "only arrays are let in")])
def test_no_pickle_runs_code(tmp_path: Path, checksums: bool, said: str) -> None:
    write_cifar(tmp_path)
    content = pickle.dumps({"data": Harmful(tmp_path / "ran"), "labels": [0]})
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_images("cifar10", str(tmp_path), checksums)
    assert not (tmp_path / "ran").exists()
    pickle.loads(content)
    assert (tmp_path / "ran").exists(), "it would have been made"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(batch(2, 0))[:-40], "cannot be unpickled"),
        (pickle.dumps([1, 2]), "holds no `data`"),
        (pickle.dumps(batch(2, 0) | {"data": np.zeros((2, 3072))}), "holds no `data`"),
        (pickle.dumps(batch(2, 0) | {"data": np.zeros((2, 3071), np.uint8)}), "holds no `data`"),
        (pickle.dumps(batch(2, 0) | {"labels": [1, 10]}), "one label of 0 to 9"),
        (pickle.dumps(batch(2, 0) | {"labels": ["one", "two"]}), "one label of 0 to 9"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8)}), "one label of 0 to 9"),
    ],
)
def test_a_damaged_batch_is_refused_with_what_is_wrong(tmp_path: Path, content: bytes, said: str) -> None:
    write_cifar(tmp_path)
    (tmp_path / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_images("cifar10", str(tmp_path), checksums=False)
    assert said in str(caught.value)
    assert str(tmp_path / "data_batch_3") in str(caught.value)
    assert "cifar-10-python.tar.gz" in str(caught.value)
