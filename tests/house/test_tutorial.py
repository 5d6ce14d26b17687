"""The tutorial runs as it stands: its Python blocks in order, in one namespace and an empty folder."""

import re
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


def python_blocks() -> list[tuple[int, str]]:
    """Each block with the line of the file it begins at."""
    text = TUTORIAL.read_text("utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: match.start(1)].count("\n"), match.group(1)) for match in found]


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    blocks = python_blocks()
    assert len(blocks) == 7
    for line, block in blocks:
        exec(compile("\n" * line + block, str(TUTORIAL), "exec"), namespace)  # errors then name the tutorial's own line
    printed = capsys.readouterr().out
    assert "Did you mean 'width'?" in printed
    assert "max audio-vision" in printed
    assert (tmp_path / "runs" / "toy" / "0" / "evaluation.json").is_file()
