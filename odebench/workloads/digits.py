"""scikit-learn's digits, split in one way for every model, and what a plain classifier makes of them. Torch-free."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from odebench.errors import DataError
from odebench.workloads.image_files import Images

_EVERY = 5  # this many samples of a class give one to the held-out part


@cache
def digits() -> Images:
    """1797 images of 8 x 8, values 0 to 16, in 10 classes; 360 of them held out: every fifth of each class.

    No random number is in the split, so that it is the same for every seed and release. The classes are as frequent in
    one part as in the other, by one sample at most.

    E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI machine learning repository (1998).

    Raises:
        DataError: scikit-learn, which holds them, is not installed.
    """
    found = _part_of("datasets").load_digits()
    images, labels = found.images.astype(np.uint8)[:, None], found.target.astype(np.int64)
    held_out = np.argsort(labels, kind="stable")[::_EVERY]
    train = np.setdiff1d(np.arange(len(labels)), held_out)
    return Images(images[train], labels[train], images[held_out], labels[held_out], top=16)


@cache
def logistic_accuracy() -> float:
    """Of logistic regression, scikit-learn's with its own settings, on the held-out part.

    Raises:
        DataError: scikit-learn is not installed.
    """
    data = digits()
    train, test = (part.reshape(len(part), -1) / data.top for part in (data.train, data.test))
    model = _part_of("linear_model").LogisticRegression(max_iter=1000)
    return float(model.fit(train, data.train_labels).score(test, data.test_labels))


def _part_of(name: str) -> Any:
    try:
        return import_module(f"sklearn.{name}")
    except ImportError as error:
        raise DataError(
            f"the digits come with scikit-learn, and it cannot be imported ({error}); "
            "pip install 'odebench[train]', or name other data"
        ) from error
