"""`mmmie mi` from its files to what it prints, writes and returns."""

import json
import pickle

import numpy as np
import pytest

from mmmie.cli.main import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with `a.npy` (1-D), `b.npy` and `video.txt` of 80 rows in 16 videos."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=80)
    np.save(tmp_path / "a.npy", a.astype(np.float32))
    np.save(tmp_path / "b.npy", np.stack([a + rng.normal(size=80), rng.normal(size=80)], axis=1))
    (tmp_path / "video.txt").write_text("".join(f"video {row // 5}\n" for row in range(80)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


QUICK = ("--permutations", "19", "--no-checks")


def refusal(capsys, *arguments):
    assert main(["mi", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    return err


def test_prints_a_table_and_writes_all_of_it(place, capsys):
    arguments = ["mi", "a.npy", "b.npy", "--groups", "video.txt", "--permutations", "19", "--out", "found.json"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("80 rows in 16 groups, 1 x 2 columns; all values in nats\n")
    found = json.loads((place / "found.json").read_text())
    assert f"I in [{found['low']:.3f}, {found['high']:.3f}] (95 %)" in out
    assert f"p of independence {found['p']:.3g}" in out
    assert f"ceiling {found['ceiling']:.2f}" in out
    assert {value["name"] for value in found["values"]} >= {"InfoNCE, chosen critic", "Gaussian copula", "KSG"}
    assert all(value["name"] in out for value in found["values"])
    assert out.count("check, ") == 3
    assert not list(place.glob(".*"))


def test_without_groups_a_note_says_what_that_means(place, capsys):
    assert main(["mi", "a.npy", "b.npy", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "80 rows in 80 groups" in out
    assert "note: no groups were given, so each row counts as independent" in out


def test_python_objects_are_not_opened(place, capsys):
    class Trap:
        def __reduce__(self):
            return (open, (str(place / "sprung"), "w"))

    np.save(place / "trap.npy", np.array([Trap()] * 80, dtype=object), allow_pickle=True)
    assert "holds Python objects, which are never opened" in refusal(capsys, "trap.npy", "b.npy")
    (place / "raw.npy").write_bytes(pickle.dumps(Trap()))
    assert "raw.npy" in refusal(capsys, "raw.npy", "b.npy")
    assert not (place / "sprung").exists()


def test_files_that_are_no_arrays(place, capsys):
    np.savez(place / "many.npz", a=np.zeros(3))
    assert "many.npz: expected a .npy file" in refusal(capsys, "many.npz", "b.npy")
    (place / "many.npz").rename(place / "many.npy")
    assert "an archive of several arrays" in refusal(capsys, "many.npy", "b.npy")
    assert "no array at aa.npy. Did you mean 'a.npy'?" in refusal(capsys, "aa.npy", "b.npy")
    (place / "cut.npy").write_bytes((place / "b.npy").read_bytes()[:300])
    assert "cut.npy cannot be read as .npy" in refusal(capsys, "cut.npy", "b.npy")
    (place / "empty.npy").write_bytes(b"")
    assert "empty.npy cannot be read as .npy" in refusal(capsys, "empty.npy", "b.npy")


def test_rows_that_do_not_fit(place, capsys):
    np.save(place / "short.npy", np.arange(70.0))
    assert "came 70 and 80" in refusal(capsys, "short.npy", "b.npy")


def test_groups_that_do_not_fit(place, capsys):
    assert "no groups at vide.txt. Did you mean 'video.txt'?" in refusal(
        capsys, "a.npy", "b.npy", "--groups", "vide.txt"
    )
    (place / "one.txt").write_text("only\n" * 80)
    assert "at least 10 groups are needed, but came 1" in refusal(capsys, "a.npy", "b.npy", "--groups", "one.txt")
    (place / "gap.txt").write_text("a\n\nb\n")
    assert "gap.txt, line 2: a group is missing" in refusal(capsys, "a.npy", "b.npy", "--groups", "gap.txt")
    (place / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    assert "must be UTF-8 text" in refusal(capsys, "a.npy", "b.npy", "--groups", "bytes.txt")


def test_an_output_that_cannot_be_written(place, capsys):
    assert main(["mi", "a.npy", "b.npy", *QUICK, "--out", "nowhere/found.json"]) == 2
    assert "cannot write nowhere/found.json" in capsys.readouterr().err
