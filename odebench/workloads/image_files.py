"""Images from files of the user's: MNIST and what is laid out like it (IDX), CIFAR-10 (pickles). Torch-free."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import zlib
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odebench.errors import DataError

CLASSES = 10
_SIDE = 28  # rows and columns of an image in all data sets of IDX files


@dataclass(frozen=True)
class Images:
    """Labelled images in two parts, of shape (n, channels, rows, columns); the arrays are not to be written to.

    `top` is the value of full brightness. `mean` and `std`, of values over `top`, one a channel, are what images are
    standardised by; 0 and 1 where the source of a model does not.
    """

    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    top: int = 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Idx:
    """One file of IDX: its name, the MD5 of it as published (.gz), and of what is in it where that is published."""

    name: str
    packed: str
    content: str | None = None


_TRAIN, _LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

# MD5 of the .gz files: torchvision/datasets/mnist.py at commit 01977a1. Of what is in them: several projects publish
# the same for MNIST (SecML's `load_utils`, …) and for Fashion-MNIST; for KMNIST none was found.
IDX = {
    "mnist": (
        Idx(_TRAIN, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        Idx(_LABELS, "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        Idx(_TEST, "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        Idx(_TEST_LABELS, "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    ),
    "fashion_mnist": (
        Idx(_TRAIN, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        Idx(_LABELS, "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        Idx(_TEST, "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        Idx(_TEST_LABELS, "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    ),
    "kmnist": (
        Idx(_TRAIN, "bdb82020997e1d708af4cf47b453dcf7"),
        Idx(_LABELS, "e144d726b3acfaa3e44228e80efcd344"),
        Idx(_TEST, "5c965bf0a639b31b8f53240b1b52f4d7"),
        Idx(_TEST_LABELS, "7320c461ea6c1c855c0b718fb2a4b134"),
    ),
}

# MD5: torchvision/datasets/cifar.py at commit 00ce2d0.
CIFAR = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
# Of the channels of the training images, as torchvision's users standardise them.
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

# Where the data are, and the folders below the user's own that torchvision puts them into.
_SOURCES = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "MNIST/raw"),
    "fashion_mnist": ("https://github.com/zalandoresearch/fashion-mnist", "FashionMNIST/raw"),
    "kmnist": ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/", "KMNIST/raw"),
    "cifar10": ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "cifar-10-batches-py"),
}
DATA = tuple(_SOURCES)


@lru_cache(maxsize=1)
def load_images(data: str, path: str, checksums: bool) -> Images:
    """`read_images`, once for all models of a process."""
    return read_images(data, path, checksums)


def read_images(data: str, path: str, checksums: bool = True) -> Images:
    """All images of one of `DATA`, from the folder `path` or from where torchvision puts them below it.

    With `checksums` every file must be the published one, as far as its MD5 is published; and no pickle is opened
    before. Without, files of the same layout will do, such as a part of the data.

    Raises:
        DataError: a file is missing, truncated, corrupted or another than the published one.
    """
    return _read_cifar(path, checksums) if data == "cifar10" else _read_mnist(data, path, checksums)


def _read_mnist(data: str, path: str, checksums: bool) -> Images:
    arrays = []
    for each in IDX[data]:
        # With a dot before idx as well: so some unpack the archives.
        names = (each.name, each.name.replace("-idx", ".idx"))
        file = _find(data, path, [name + end for name in names for end in (".gz", "")])
        arrays.append(_idx(data, file, each if checksums else None))
    train, train_labels, test, test_labels = arrays
    for images in (train, test):
        if images.ndim != 3 or images.shape[1:] != (_SIDE, _SIDE):
            raise _error(data, path, f"images of shape {images.shape} where (n, {_SIDE}, {_SIDE}) is expected")
    return Images(
        train[:, None], _labels(data, path, train_labels, len(train)),
        test[:, None], _labels(data, path, test_labels, len(test)),
    )  # fmt: skip


def _idx(data: str, file: Path, known: Idx | None) -> NDArray[np.uint8]:
    """The array of an IDX file: 0, 0, 8 for bytes, the number of axes, their lengths big-endian in 4 bytes, the bytes.

    The format: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, at the end of that page.
    """
    packed = content = _bytes(data, file)
    if file.suffix == ".gz":
        try:
            content = gzip.decompress(packed)
        except (OSError, EOFError, zlib.error) as error:
            raise _error(data, file, f"it cannot be unpacked ({error})") from error
    if content[:3] != b"\x00\x00\x08" or len(content) < 4:
        raise _error(data, file, f"it begins with {content[:4]!r}, as no IDX file of bytes does")
    start = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if len(content) != start + prod(shape):
        says = f"its header says {start} + {prod(shape)} bytes, and it has {len(content)}"
        raise _error(data, file, says)
    if known is not None and _differs(known, packed, content):
        raise _error(data, file, f"its MD5 {_md5(packed)} is not the published one; {_OWN}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


_OWN = "`checksums: false` takes files of your own"


def _differs(known: Idx, packed: bytes, content: bytes) -> bool:
    """Whether neither the archive nor what is in it is the published one; what cannot be told passes."""
    archive = packed is not content
    if archive and _md5(packed) == known.packed:
        return False
    return archive if known.content is None else _md5(content) != known.content


def _read_cifar(path: str, checksums: bool) -> Images:
    images, labels = [], []
    for name, md5 in CIFAR.items():
        file = _find("cifar10", path, [name])
        content = _bytes("cifar10", file)
        if checksums and _md5(content) != md5:
            raise _error("cifar10", file, f"its MD5 {_md5(content)} is not the published {md5}; {_OWN}")
        batch = _unpickled(file, content)
        found = batch.get("data") if isinstance(batch, dict) else None
        if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.shape[1:] != (3072,):
            raise _error("cifar10", file, "it holds no `data` of 3072 bytes an image")
        images.append(found.reshape(-1, 3, 32, 32))
        labels.append(_labels("cifar10", file, batch.get("labels"), len(found)))
    train, test = np.concatenate(images[:-1]), images[-1]
    return Images(train, np.concatenate(labels[:-1]), test, labels[-1], mean=_CIFAR_MEAN, std=_CIFAR_STD)


class _Arrays(pickle.Unpickler):
    """Of plain values and of NumPy's arrays: a pickle that names anything else is refused before it can do anything."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            # The module moved in NumPy 2, and the files are older.
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only arrays are let in")
        return known[module, name]


def _unpickled(file: Path, content: bytes) -> Any:
    try:
        # Written by Python 2: latin1 gives the bytes of an array back as they were.
        return _Arrays(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a broken pickle may raise anything
        raise _error("cifar10", file, f"it cannot be unpickled ({' '.join(str(error).split())})") from error


def _labels(data: str, where: str | Path, found: Any, images: int) -> NDArray[np.int64]:
    """Checked: one of 0 to 9 for each image."""
    try:
        labels = np.asarray(found, np.int64)
    except (TypeError, ValueError, OverflowError):
        labels = np.empty((0, 0), np.int64)
    if labels.shape != (images,) or images == 0 or labels.min() < 0 or labels.max() >= CLASSES:
        raise _error(data, where, f"there is not one label of 0 to {CLASSES - 1} for each of {images} images")
    return labels


def _find(data: str, path: str, names: list[str]) -> Path:
    """The first of the files that is there; packed ones come first, since their checksums are known."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise _error(data, folder, "there is no such folder")
    for place in (folder, folder / "raw", folder / _SOURCES[data][1]):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise _error(data, folder, f"there is no {names[0]} in it")


def _bytes(data: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _error(data, file, f"it cannot be read ({error.strerror})") from error


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _error(data: str, where: str | Path, what: str) -> DataError:
    source, below = _SOURCES[data]
    hint = "unpack it into this folder" if data == "cifar10" else "the four files, packed or not, go into this folder"
    return DataError(f"{data} from {where}: {what}; get it from {source} and {hint}, or as torchvision has it, {below}")
