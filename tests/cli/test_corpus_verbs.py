"""generate, resplit and inspect through the real process."""

import json
import subprocess
import sys
from pathlib import Path

from mmmie.corpus.store import Corpus


def mmmie(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mmmie.cli.main import run; run()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_generate_resplit_inspect(tmp_path: Path) -> None:
    toy, new = tmp_path / "toy.corpus", tmp_path / "-new.corpus"
    made = mmmie("generate", "--size", "small", "--videos", "12", "--seed", "3", "--out", toy)
    assert made.returncode == 0, made.stderr
    assert "audio-vision" in made.stdout
    assert len(set(Corpus.open(toy).everything().videos)) == 12

    refused = mmmie("resplit", toy, "--out", new)
    assert refused.returncode == 2
    assert "--include-test" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = mmmie("resplit", toy, "--out", new, "--include-test", "--fractions", "0.5", "0.25", "0.25", "--seed", "1")
    assert done.returncode == 0, done.stderr
    corpus = Corpus.open(new)
    assert f"test {len(corpus.test())}" in done.stdout
    assert corpus.info.notes["resplit"]["fractions"] == [0.5, 0.25, 0.25]

    report = mmmie("inspect", new)
    assert report.returncode == 0, report.stderr
    assert corpus.info.fingerprint in report.stdout
    values = json.loads(mmmie("inspect", new, "--json", "--no-leaks").stdout)
    assert values["splits"]["test"]["utterances"] == len(corpus.test())


def test_mistakes_end_with_status_2(tmp_path: Path) -> None:
    for arguments in (
        ["inspect", tmp_path / "none.corpus"],
        ["generate", "--out", tmp_path / "c", "--videos", "2"],
        ["generate", "--out", tmp_path / "c", "--size", "huge"],
        ["resplit", tmp_path / "none.corpus", "--out", tmp_path / "c"],
    ):
        done = mmmie(*arguments)
        assert done.returncode == 2, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_folds(tmp_path: Path) -> None:
    toy = tmp_path / "toy.corpus"
    assert mmmie("generate", "--size", "small", "--out", toy).returncode == 0
    done = mmmie("resplit", toy, "--out", tmp_path / "f", "--include-test", "--fold", "0", "--folds", "4")
    assert done.returncode == 0, done.stderr
    wrong = mmmie("resplit", toy, "--out", tmp_path / "g", "--include-test", "--fold", "4", "--folds", "4")
    assert wrong.returncode == 2
    assert "fold 4 of 4" in wrong.stderr
