"""Every command that a document shows exists, with the options it shows; the quick ones are run."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from mmmie.cli.main import VERBS, main

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [path for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))) if path.is_file()]
QUICK = {"generate", "inspect", "resplit"}


def shell_lines(text: str) -> list[str]:
    """The commands of the ```sh blocks, one a line: continued lines joined, comments and `&&` taken apart."""
    lines = []
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            lines += [part.strip() for part in re.sub(r"(^|\s)#.*", "", line).split("&&") if part.strip()]
    return lines


def shown(program: str) -> list[tuple[str, list[str]]]:
    """Document and words of every command of one program."""
    found = []
    for path in DOCUMENTS:
        for line in shell_lines(path.read_text("utf-8")):
            words = shlex.split(line)
            if program in words:
                found.append((path.relative_to(ROOT).as_posix(), words[words.index(program) + 1 :]))
    return found


def check_command(words: list[str]) -> None:
    """Parses a command as the real one would, without running it."""
    verb, *rest = words
    if verb in ("--help", "--version"):
        return
    assert verb in VERBS, f"no verb {verb}"
    if "--help" in rest:
        return
    app = typer.Typer(add_completion=False)
    app.command()(import_module(f"mmmie.cli.{VERBS[verb][0]}").command)
    get_command(app).make_context(verb, list(rest))


@pytest.mark.parametrize(("document", "words"), shown("mmmie"), ids=lambda v: v if isinstance(v, str) else " ".join(v))
def test_a_command_of_a_document_exists(document, words):
    check_command(words)


def test_documents_show_commands():
    assert {"README.md", "docs/tutorial.md"} <= {document for document, _ in shown("mmmie")}


@pytest.mark.parametrize("words", [["trian", "a.toml"], ["train"], ["train", "a.toml", "--sed", "3"]])
def test_a_wrong_command_would_be_noticed(words):
    with pytest.raises((AssertionError, typer.TyperException)):
        check_command(words)


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    asked = {words[0] for _, words in shown("make") if words}
    assert {"demo", "test"} <= targets
    assert asked <= targets


@pytest.mark.parametrize("document", sorted({document for document, _ in shown("mmmie")}))
def test_the_quick_commands_run(document, tmp_path, monkeypatch):
    """In an empty folder, in order: those that make a small corpus, and what is asked of corpora made so."""
    monkeypatch.chdir(tmp_path)
    made: set[str] = set()
    for of, words in shown("mmmie"):
        if of != document or words[0] not in {*QUICK, "--help", "--version"}:
            continue
        small = words[0] == "generate" and ("small" in words or "--videos" in words)
        if words[0].startswith("--") or small or any(word in made for word in words):
            assert main(words) == 0
            made |= {words[i + 1] for i, word in enumerate(words) if word == "--out"}


def test_the_installed_command_is_the_one_that_is_tested():
    done = subprocess.run([Path(sys.executable).parent / "mmmie", "--help"], capture_output=True, text=True, check=True)
    assert all(f"  {verb} " in done.stdout for verb in VERBS)
