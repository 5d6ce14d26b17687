"""Every benchmark runs, on little, and prints its table and its aim; what it measures is for `make bench`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmmie.media import models

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_benchmark_runs(program, tmp_path):
    if program.stem == "video" and any(models.verify(name) for name in models.MODELS):
        pytest.skip("the model files are not fetched: mmmie models fetch")
    command = [sys.executable, str(program), "--quick"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^aims?: ", done.stdout, re.MULTILINE)
    assert re.search(r"\d\.\d", done.stdout)
    assert not list(tmp_path.iterdir())


def test_make_runs_them_all():
    listed = re.search(r"for program in ([a-z_ ]+);", (ROOT / "Makefile").read_text("utf-8"))
    assert listed
    assert sorted(listed.group(1).split()) == [path.stem for path in PROGRAMS]
