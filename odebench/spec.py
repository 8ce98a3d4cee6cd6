"""A name with options: the one grammar of suites, filters, results and `odeint`.

`rk4` and `{coupled: {base: rk4, coupling: 0.999}}` are both a `Spec`. Its text, `coupled(base=rk4, coupling=0.999)`,
is the canonical spelling: those options that were given, sorted, numbers as `repr` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odebench.errors import OptionError

_BARE = re.compile(r"[^\W\d][\w.:+/-]*")  # a string that stands in a spelling without quotes
_OTHERS = ("null", "none", "true", "false", "inf", "nan")  # what would be read as something else


@dataclass(frozen=True)
class Spec:
    """One entry of a registry as somebody asked for it. Option values are scalars, tuples of scalars, or a `Spec`."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any] | None = None) -> Spec:
        """Sort and freeze `options`."""
        return cls(name, tuple(sorted((key, _freeze(value)) for key, value in (options or {}).items())))

    @classmethod
    def from_data(cls, data: Any) -> Spec:
        """Read a bare name or a one-key mapping, as YAML and JSON give it.

        Raises:
            OptionError: `data` is neither.
        """
        if isinstance(data, Spec):
            return data
        if isinstance(data, str):
            return cls(data)
        if isinstance(data, Mapping) and len(data) == 1:
            ((name, options),) = data.items()
            if isinstance(name, str) and (options is None or isinstance(options, Mapping)):
                return cls.of(name, options)
        raise OptionError(f"expected a name or a one-key mapping of a name to its options, got {data!r}")

    def to_data(self) -> Any:
        """The inverse of `from_data`."""
        if not self.options:
            return self.name
        return {self.name: {key: _thaw(value) for key, value in self.options}}

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}({', '.join(f'{key}={_text(value)}' for key, value in self.options)})"


def _freeze(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(item) for item in value)
    return Spec.from_data(value) if isinstance(value, Mapping) else value


def _thaw(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_data()
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) and value.lower() not in _OTHERS else repr(value)
    return str(value) if isinstance(value, Spec) else repr(value)
