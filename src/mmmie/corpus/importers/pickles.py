"""Pickles of plain containers and numpy arrays, read without running anything that they name.

A pickle is a program: its GLOBAL opcodes name functions, its REDUCE and BUILD opcodes call them and set their
attributes. Here a name is looked up in a short list and nowhere else, no module is imported, and what stands in the
list is not numpy's own unpickling but small records of ours: the arrays are built afterwards, out of checked shapes,
types and bytes. The objects that a name gives are without attributes that BUILD could set.

Protocols 0 to 5, of Python 2 and 3, of numpy 1 (`numpy.core`) and 2 (`numpy._core`).
"""

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.importers.sources import existing
from mmmie.errors import CorpusError

MAX_DEPTH = 64
"""Containers nested deeper than this are no data set."""


def read_pickle(path: Path) -> Any:
    """The content of a pickle: dict, list, tuple, set, str, bytes, numbers, None, and numpy arrays of those.

    Raises:
        CorpusError: no such file, damaged or truncated, or holding a name that is not allowed; nothing was executed.
    """
    try:
        with existing(path).open("rb") as file:
            return _resolved(_Unpickler(file, str(path)).load(), {}, 0)
    except CorpusError:
        raise
    except RecursionError:
        raise CorpusError(f"{path}: containers are nested without end") from None
    except Exception as error:  # a damaged stream makes the unpickler raise almost anything
        raise CorpusError(
            f"cannot read {path}: {type(error).__name__}: {error}. Expected a whole pickle of plain containers and "
            "numpy arrays; download or write it again."
        ) from None


class _Maker:
    """What an allowed name gives: it can be called, and nothing of it can be set."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise pickle.UnpicklingError(f"the pickle tries to set '{name}' of a name")


class _Type:
    """A numpy dtype: one of the plain kinds, or objects; never a structure."""

    __slots__ = ("_order", "_spec")

    def __init__(self, spec: str, *_: Any) -> None:
        if not isinstance(spec, str) or not re.fullmatch(r"[biufcSU]\d{1,9}|O\d?", spec):
            raise pickle.UnpicklingError(f"arrays of type {spec!r} are not allowed")
        self._spec, self._order = spec, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, subtype, names, fields, *_rest = state
        if order not in ("<", ">", "=", "|") or any(part is not None for part in (subtype, names, fields)):
            raise pickle.UnpicklingError("structured arrays are not allowed")
        self._order = order

    @property
    def is_object(self) -> bool:
        return self._spec.startswith("O")

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._spec)


class _Array:
    """An array whose state follows in the pickle."""

    __slots__ = ("_objects", "_shape", "_values")

    def __init__(self, *_: Any) -> None:
        self._values: NDArray[Any] | None = None
        self._objects: list[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, fortran, raw = state[-4:]
        if kind.is_object:
            self._shape, self._objects = _shape(shape), list(raw)
            if len(self._objects) != math.prod(self._shape):
                raise pickle.UnpicklingError(f"{len(self._objects)} objects for an array of shape {self._shape}")
        else:
            self._values = _plain_array(raw, kind, shape, "F" if fortran else "C")

    def resolved(self, done: dict[int, Any], depth: int) -> NDArray[Any]:
        if self._objects is None:
            if self._values is None:
                raise pickle.UnpicklingError("an array without content")
            return self._values
        flat = np.empty(len(self._objects), dtype=object)
        for i, value in enumerate(self._objects):
            flat[i] = _resolved(value, done, depth)
        return flat.reshape(self._shape)


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError(f"an array of shape {shape!r}")
    return shape


def _bytes(raw: Any) -> bytes | bytearray:
    """Raw data; Python 2 wrote it as text."""
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes | bytearray):
        raise pickle.UnpicklingError(f"array data of type {type(raw).__name__}")
    return raw


def _plain_array(raw: Any, kind: _Type, shape: Any, order: Any) -> NDArray[Any]:
    if kind.is_object or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array of objects out of bytes")
    dtype, shape, raw = kind.dtype(), _shape(shape), _bytes(raw)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise pickle.UnpicklingError(f"{len(raw)} bytes for an array of shape {shape} and type {dtype}")
    if not len(raw):
        return np.zeros(shape, dtype)
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _scalar(kind: _Type, raw: Any = b"") -> Any:
    return _plain_array(raw, kind, (), "C")[()]


def _latin1(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the encoding {encoding!r} is not allowed")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_ALLOWED: dict[tuple[str, str], Any] = (
    {
        ("numpy", "ndarray"): "numpy.ndarray",
        ("numpy", "dtype"): _Maker(_Type),
        ("_codecs", "encode"): _Maker(_latin1),
        ("collections", "OrderedDict"): dict,
    }
    | {
        (module, name): made
        for core in ("numpy.core", "numpy._core")
        for module, name, made in (
            (f"{core}.multiarray", "_reconstruct", _Maker(_Array)),
            (f"{core}.multiarray", "scalar", _Maker(_scalar)),
            (f"{core}.numeric", "_frombuffer", _Maker(_plain_array)),
        )
    }
    | {
        (module, name): made
        for module in ("builtins", "__builtin__")
        for name, made in (("set", set), ("frozenset", frozenset), ("bytes", _Maker(_no_bytes)))
    }
)
"""Name -> what stands for it. The built-in types among them have no attribute that can be set."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, origin: str) -> None:
        super().__init__(file, encoding="latin1")
        self._origin = origin

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise CorpusError(
                f"{self._origin} names '{module}.{name}', which a data set of plain containers and numpy arrays does "
                "not need. It was not executed. Do not open this file with other tools unless you trust its maker."
            ) from None

    def persistent_load(self, pid: Any) -> NoReturn:
        raise CorpusError(f"{self._origin} refers to an object outside of it ({pid!r}), which is not allowed")


def _resolved(value: Any, done: dict[int, Any], depth: int) -> Any:
    """The value with arrays in the place of their records; each object is resolved once."""
    if not isinstance(value, dict | list | tuple | set | frozenset | _Array | _Maker | _Type | type):
        return value
    if id(value) in done:
        return done[id(value)]
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, _Array):
        result: Any = value.resolved(done, depth + 1)
    elif isinstance(value, dict):
        result = {_resolved(k, done, depth + 1): _resolved(v, done, depth + 1) for k, v in value.items()}
    elif isinstance(value, list | tuple | set | frozenset):
        result = type(value)(_resolved(v, done, depth + 1) for v in value)
    else:
        raise pickle.UnpicklingError("a bare name in the place of data")
    done[id(value)] = result
    return result
