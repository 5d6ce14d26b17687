"""The allow-list unpickler: everything numpy writes comes back, and nothing a hostile stream names is executed."""

import collections
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmmie.corpus.importers import pickles
from mmmie.corpus.importers.pickles import read_pickle
from mmmie.errors import CorpusError

DATA = {
    "float": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "strided": np.arange(20)[::3],
    "empty": np.zeros((0, 5), np.float32),
    "bool": np.array([True, False]),
    "texts": np.array(["ä", "b,c"]),
    "bytes": np.array([b"ab", b"c"]),
    "objects": np.array(["one", None, np.arange(2)], dtype=object),
    "scalars": [np.float32(0.2), np.int64(-3), np.str_("x"), np.bool_(True)],
    "containers": ((1, 2.5), [None, True], {3}, frozenset({4}), b"", b"raw\xff", collections.OrderedDict(k=1)),
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and all(map(same, a.ravel().tolist(), b.ravel().tolist()))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def renamed(protocol: int) -> bytes:
    """As numpy 1 wrote it: with numpy.core in the place of numpy._core."""
    data = pickle.dumps(DATA, protocol)
    for module in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        old = module.replace(b"_core", b"core")
        data = data.replace(b"\x8c" + bytes([len(module)]) + module, b"\x8c" + bytes([len(old)]) + old)
        data = data.replace(b"c" + module + b"\n", b"c" + old + b"\n")
    assert b"numpy.core" in data
    assert b"numpy._core" not in data
    # frames of protocol 4 and 5 state their length, which has changed: leave the frame's opcode out
    return data[:2] + data[11:] if protocol >= 4 else data


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("old_names", [False, True])
def test_numpy_and_containers_come_back(tmp_path: Path, protocol: int, old_names: bool) -> None:
    data = pickle.dumps(DATA, protocol)
    if old_names:
        data = renamed(protocol)
    read = read_pickle(write(tmp_path / "data.pkl", data))
    assert read.keys() == DATA.keys()
    for name, value in DATA.items():
        assert same(read[name], value) or name == "containers", name
    assert read["containers"] == DATA["containers"]


def test_python_2_text_is_read_as_array_data(tmp_path: Path) -> None:
    raw = struct.pack("<2f", 1.5, -2.0)
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nU" + bytes([len(raw)]) + raw + b"tb."
    )
    assert read_pickle(write(tmp_path / "old.pkl", data)).tolist() == [1.5, -2.0]


class Reduces:
    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def hostile(marker: Path) -> dict[str, bytes]:
    command = f"touch {marker}"
    run = f"open({str(marker)!r}, 'w').close()"
    system = b"cposix\nsystem\n"
    return {
        "os.system": pickle.dumps(Reduces(os.system, (command,))),
        "os.system, protocol 0": system + f"(S'{command}'\ntR.".encode(),
        "eval": pickle.dumps(Reduces(eval, (run,))),
        "exec inside a list inside a dict": pickle.dumps({"train": {"id": [Reduces(exec, (run,))]}}),
        "python 2 eval": f'c__builtin__\neval\n(S"{run}"\ntR.'.encode(),
        "getattr chain": b"cbuiltins\ngetattr\n(cos\npath\nS'join'\ntR.",
        "dotted name": b"\x80\x04\x8c\x0anumpy.core\x8c\x14multiarray.os.system\x93.",
        "dotted name below an allowed one": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        "import of a module": b"c__builtin__\n__import__\n(S'os'\ntR.",
        "numpy loads a pickle": b"cnumpy\nload\n(S'/dev/null'\ntR.",
        "numpy runs a string": b"cnumpy.testing._private.utils\nrunstring\n(S'1'\n}tR.",
        "INST": f"(S'{command}'\niposix\nsystem\n.".encode(),
        "OBJ": b"(cposix\nsystem\nS'true'\no.",
        "NEWOBJ": b"\x80\x02csubprocess\nPopen\n)\x81.",
        "functools.partial": b"cfunctools\npartial\n(cposix\nsystem\ntR.",
        "copyreg": b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        "persistent id": b"Psomewhere\n.",
        "extension code": b"\x80\x02\x82\x01.",
        "codec that is no encoding": b"c_codecs\nencode\n(X\x01\x00\x00\x00aS'zlib'\ntR.",
        "huge bytes": b"cbuiltins\nbytes\n(L999999999999L\ntR.",
        "BUILD on a maker": b"cnumpy\ndtype\n}S'_make'\nI1\nsb.",
        "BUILD with slots on a maker": b"cnumpy\ndtype\n(N}S'_make'\nI1\nstb.",
        "BUILD with slots on a type": b"cbuiltins\nset\n(N}S'add'\nI1\nstb.",
        "BUILD on a list": b"]}S'append'\nI1\nsb.",
        "BUILD on a dict": b"}}S'items'\nI1\nsb.",
        "call of a list": b"]tR.",
        "call of the array type": b"cnumpy\nndarray\n(I4\ntR.",
        "bare name": b"cbuiltins\nset\n.",
        "bare maker in a list": b"]cnumpy\ndtype\na.",
    }


@pytest.mark.parametrize("name", hostile(Path("x")))
def test_hostile_pickles_are_refused(name: str, marker: Path, tmp_path: Path) -> None:
    before = {key: (value, getattr(value, "_make", None)) for key, value in pickles._ALLOWED.items()}
    path = write(tmp_path / "hostile.pkl", hostile(marker)[name])
    with pytest.raises(CorpusError, match=r"hostile\.pkl"):
        read_pickle(path)
    assert not marker.exists()
    assert before == {key: (value, getattr(value, "_make", None)) for key, value in pickles._ALLOWED.items()}


def test_the_hostile_pickles_are_hostile(marker: Path) -> None:
    """Else the tests above prove nothing."""
    pickle.loads(hostile(marker)["os.system"])
    assert marker.exists()
    marker.unlink()
    pickle.loads(hostile(marker)["exec inside a list inside a dict"])
    assert marker.exists()


def test_the_refused_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"names 'builtins\.eval'.*was not executed"):
        read_pickle(write(tmp_path / "a.pkl", pickle.dumps(Reduces(eval, ("1",)))))


def array_pickle(spec: bytes, state: bytes, shape: bytes = b"(I2\nt", raw: bytes = b"S'12345678'\n") -> bytes:
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape + b"cnumpy\ndtype\n"
        b"(S'" + spec + b"'\nI0\nI1\ntR" + state + b"I00\n" + raw + b"tb."
    )


GOOD_STATE = b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"


def test_the_crafted_array_is_read_when_it_is_honest(tmp_path: Path) -> None:
    assert read_pickle(write(tmp_path / "a.pkl", array_pickle(b"f4", GOOD_STATE))).shape == (2,)


@pytest.mark.parametrize(
    "data",
    [
        array_pickle(b"O8", GOOD_STATE),  # pointers out of bytes
        array_pickle(b"f4,O", GOOD_STATE),
        array_pickle(b"f4", b"(I3\nS'<'\nN(S'a'\nt}I4\nI1\nI0\ntb"),  # a structure
        array_pickle(b"f4", b"(I3\nS'<'\n(S'O'\n(I2\nttNNI4\nI1\nI0\ntb"),  # a subtype
        array_pickle(b"f4", GOOD_STATE, shape=b"(I3\nt"),
        array_pickle(b"f4", GOOD_STATE, shape=b"(I-2\nt"),
        array_pickle(b"f4", GOOD_STATE, shape=b"(L99999999999999999999L\nt"),
        array_pickle(b"f4", GOOD_STATE, raw=b"N"),
        array_pickle(b"f4", b"(I3\nS'x'\nNNNI-1\nI-1\nI0\ntb"),
        array_pickle(b"V8", GOOD_STATE),
        array_pickle(b"M8", GOOD_STATE),
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.",  # an array without content
    ],
)
def test_crafted_arrays_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        read_pickle(write(tmp_path / "a.pkl", data))


@pytest.mark.parametrize("protocol", range(6))
def test_every_truncation_is_refused(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps({"audio": np.arange(4.0), "id": ["a$_$1"]}, protocol)
    assert read_pickle(write(tmp_path / "whole.pkl", data))["id"] == ["a$_$1"]
    for length in range(len(data)):
        with pytest.raises(CorpusError, match=r"cut\.pkl"):
            read_pickle(write(tmp_path / "cut.pkl", data[:length]))


def test_containers_that_hold_themselves_are_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CorpusError, match="nested"):
        read_pickle(write(tmp_path / "a.pkl", pickle.dumps(endless)))


def test_shared_containers_cost_their_number_not_their_paths(tmp_path: Path) -> None:
    value: Any = [1]
    for _ in range(40):
        value = [value, value]
    assert read_pickle(write(tmp_path / "a.pkl", pickle.dumps(value)))[0] is not None
