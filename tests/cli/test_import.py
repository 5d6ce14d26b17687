"""`mmmie import` as it is typed: recipes, direct forms, status and what is printed."""

import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmmie.cli.main import main
from mmmie.corpus.store import Corpus

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "data"
TABLE = "split,video_id,utterance,text,label\ntrain,-a,1,one,0.5\nvalid,b,1, ,3\n"
NAMES = ["--set", "columns.video=video_id", "--set", "columns.index=utterance"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "utterances.csv"
    path.write_text(TABLE)
    np.savez(tmp_path / "sound.npz", audio=[[1.0], [np.nan]])
    return path


def test_the_direct_form_of_a_table(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "toy.corpus"
    assert main(["import", "csv", str(table), "--audio", "sound.npz:audio", *NAMES, "--out", str(out)]) == 0
    corpus = Corpus.open(out)
    assert corpus.info.name == "toy"
    assert corpus.everything().ids == ["-a/1", "b/1"]
    printed = capsys.readouterr().out
    assert "toy, 2 utterances of 2 videos" in printed
    assert "train 1 · valid 1 · test 0" in printed
    assert "1 of 2 frames masked" in printed
    assert "blank text, imported as without text: 1" in printed


def test_a_recipe_fills_the_same_settings(table: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "toy.toml"
    recipe.write_text(
        'format = "csv"\nname = "toy"\n[columns]\nvideo = "video_id"\nindex = "utterance"\n'
        '[features.audio]\nfile = "sound.npz"\n'
    )
    assert main(["import", str(recipe), str(tmp_path), "--out", str(tmp_path / "a.corpus")]) == 0
    assert main(["import", "csv", str(table), "--audio", "sound.npz", *NAMES, "--out", str(tmp_path / "b.corpus")]) == 0
    first, second = Corpus.open(tmp_path / "a.corpus"), Corpus.open(tmp_path / "b.corpus")
    assert first.info.fingerprint == second.info.fingerprint
    assert first.info.features == second.info.features


@pytest.mark.parametrize("given", [".", "toy", "elsewhere"])
def test_the_folder_is_that_of_the_files_or_the_one_around_it(given: str, table: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "toy.toml"
    recipe.write_text(
        'format = "csv"\nname = "toy"\nfolder = "toy"\n[columns]\nvideo = "video_id"\nindex = "utterance"\n'
        '[features.audio]\nfile = "sound.npz"\n'
    )
    home = tmp_path / ("elsewhere" if given == "elsewhere" else "toy")
    home.mkdir()
    for file in (table, tmp_path / "sound.npz"):
        file.rename(home / file.name)
    assert main(["import", str(recipe), str(tmp_path / given), "--out", str(tmp_path / "a.corpus")]) == 0
    assert Corpus.open(tmp_path / "a.corpus").info.checksums.keys() == {"utterances.csv", "sound.npz"}


def test_the_direct_form_of_a_pickle(tmp_path: Path) -> None:
    split = {"id": ["v$_$1"], "raw_text": ["x"], "regression_labels": [1.0], "audio": np.ones((1, 2, 3))}
    (tmp_path / "file.pkl").write_bytes(pickle.dumps({"train": split}))
    out = tmp_path / "m.corpus"
    assert main(["import", "mmsa", str(tmp_path / "file.pkl"), "--out", str(out)]) == 0
    assert list(Corpus.open(out).info.features) == ["audio"]


def test_the_direct_forms_of_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file["train/y"], file["train/audio"] = [1.0], [[1.0, 2.0]]
    out = tmp_path / "one.corpus"
    arguments = ["--labels", ":{split}/y", "--audio", ":{split}/audio"]
    assert main(["import", "h5", str(tmp_path / "all.h5"), *arguments, "--out", str(out)]) == 0
    with h5py.File(tmp_path / "Opinion_Labels.csd", "w") as file:
        file["L/data/v/intervals"], file["L/data/v/features"] = [[0.0, 1.0]], [[2.0]]
    (tmp_path / "splits.json").write_text('{"train": ["v"]}')
    out = tmp_path / "two.corpus"
    assert main(["import", "cmu-sdk", str(tmp_path), "--out", str(out)]) == 0
    assert Corpus.open(out).everything().labels.tolist() == [2]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["csv", "{folder}/utterances.csv"], "no column 'video'. Did you mean 'video_id'?"),
        (["cvs", "{folder}/utterances.csv"], "Did you mean 'csv'?"),
        (["csv", "{folder}/utterance.csv"], "Did you mean 'utterances.csv'?"),
        (
            ["csv", "{folder}/utterances.csv", "--set", "colums.video=a"],
            "unknown key 'colums'. Did you mean 'columns'?",
        ),
        (["mmsa", "{folder}/sound.npz"], "cannot read"),
        (["mmsa", "{folder}/sound.npz", "--words", "w"], "unknown key 'words'"),
        (["absent.toml", "{folder}"], "no import recipe at absent.toml"),
        (["absent.toml", "{folder}", "--audio", "a.npz"], "goes with a format"),
    ],
)
def test_mistakes_end_with_status_2_and_leave_nothing(
    tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "sub" / "x.corpus"
    stated = [argument.replace("{folder}", str(tmp_path)) for argument in arguments]
    assert main(["import", *stated, "--out", str(out)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert sorted(tmp_path.iterdir()) == before


def test_the_process_shows_no_traceback(table: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "mmmie")]
    arguments = ["import", "csv", str(table), "--out", str(tmp_path / "x.corpus")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("mmmie import: ")
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_full_in_mid_write_leaves_nothing(tmp_path: Path) -> None:
    """A real one: the process may write files of 64 KiB, and the corpus needs a megabyte."""
    rows = [f"train,v,{n},0" for n in range(1000)]
    (tmp_path / "utterances.csv").write_text("\n".join(["split,video,index,label", *rows]))
    np.save(tmp_path / "audio.npy", np.ones((1000, 256), np.float32))
    before = sorted(tmp_path.iterdir())
    command = [str(Path(sys.executable).parent / "mmmie"), "import", "csv", str(tmp_path / "utterances.csv")]
    done = subprocess.run(
        [*command, "--audio", "audio.npy", "--out", str(tmp_path / "x.corpus")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16)),
    )
    assert done.returncode == 2, done.stderr
    assert "could not write" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "sizes", "masked"),
    [
        ("mosi", {"train": 1284, "valid": 229}, {"audio": 0}),
        ("mosei", {"train": 16326, "valid": 1871}, {}),
        ("mosi31", {"train": 590, "valid": 34}, {"audio": 0, "vision": 0}),
        ("mmmo", {"train": 220, "valid": 40}, {"audio": 473, "vision": 503}),
    ],
)
def test_the_recipes_read_the_real_corpora(
    real_data: Path, tmp_path: Path, name: str, sizes: dict[str, int], masked: dict[str, int]
) -> None:
    out = tmp_path / f"{name}.corpus"
    folder = real_data / ("mosi" if name == "mosi31" else name)
    assert main(["import", str(RECIPES / f"{name}.toml"), str(folder), "--out", str(out)]) == 0
    corpus = Corpus.open(out)
    training = corpus.training()
    assert {split: int((corpus.splits == split).sum()) for split in sizes} == sizes
    assert len(corpus) == len(training.train) + len(training.valid)
    assert corpus.info.masked == masked


@pytest.mark.real_data
def test_the_mosi_recipe_takes_the_full_set(real_data: Path, tmp_path: Path) -> None:
    """The same files with test rows added, here made up: 686 utterances of 31 videos with audio."""
    folder = tmp_path / "mosi"
    folder.mkdir()
    table = (real_data / "mosi" / "utterances.csv").read_bytes().decode()
    rows = [(f"test{n % 31}", n // 31 + 1) for n in range(686)]
    added = "".join(f"test,{video},{index},0,1,NEW,0.2\r\n" for video, index in rows)
    (folder / "utterances.csv").write_bytes((table + added).encode())
    (folder / "words.csv").write_bytes((real_data / "mosi" / "words.csv").read_bytes())
    with np.load(real_data / "mosi" / "audio.npz") as known:
        np.savez(
            folder / "audio.npz",
            audio=np.concatenate([known["audio"], np.ones((686, 73), np.float32)]),
            video_id=np.concatenate([known["video_id"], [video for video, _ in rows]]),
            utterance=np.concatenate([known["utterance"], [index for _, index in rows]]),
        )
    out = tmp_path / "full.corpus"
    assert main(["import", str(RECIPES / "mosi.toml"), str(tmp_path), "--out", str(out)]) == 0
    assert len(Corpus.open(out).test()) == 686
    (folder / "utterances.csv").write_bytes((table + added[: added.rindex("test,")]).encode())
    assert main(["import", str(RECIPES / "mosi.toml"), str(tmp_path), "--out", str(tmp_path / "y.corpus")]) == 2
