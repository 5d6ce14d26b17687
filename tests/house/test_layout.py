"""The rules of the house that a reader relies on: short files, one way in, one door to test, nothing unpickled."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "mmmie"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
NO_HOME = {"utils", "util", "common", "helpers", "helper", "misc"}
ONE_TORCH_FILE = ("media/speakers.py", "torch.load")
"""The voice network is published as a torch file only."""
HEAVY_AND_OPTIONAL = (
    "h5py",
    "matplotlib",
    "pandas",
    "av",
    "onnxruntime",
    "faster_whisper",
    "ai_edge_litert",
    "cv2",
    "optuna",
    "praatio",
)


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a file as `name` or `owner.name`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 40


@pytest.mark.parametrize(
    "path", SOURCES + sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_file_is_short_and_has_one_subject(path):
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES
    assert path.stem not in NO_HOME


def test_test_files_have_names_of_their_own():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_one_file_opens_the_test_split():
    opening = {
        relative(path) for path in SOURCES for name, call in calls(path) if name.endswith(".test") and not call.args
    }
    assert opening == {"evidence/evaluation.py"}


def test_nothing_is_unpickled_or_executed():
    forbidden = {"torch.load", "pickle.load", "pickle.loads", "pickle.Unpickler", "eval", "exec", "os.system"}
    for path in SOURCES:
        for name, call in calls(path):
            if (relative(path), name) == ONE_TORCH_FILE:  # pinned by its sha256, and tensors only
                assert ast.unparse(call).endswith("weights_only=True)")
                continue
            assert name not in forbidden, f"{relative(path)}:{call.lineno} calls {name}"
            for keyword in call.keywords:
                allowed = keyword.arg not in ("allow_pickle", "shell", "trust_remote_code")
                assert allowed or ast.unparse(keyword.value) == "False", f"{relative(path)}:{call.lineno}"


def test_one_file_knows_pickle():
    assert {relative(path) for path in SOURCES if "pickle" in imports(path)} == {"corpus/importers/pickles.py"}


@pytest.mark.parametrize("library", HEAVY_AND_OPTIONAL)
def test_an_optional_library_is_imported_in_one_file_and_late(library):
    using = [path for path in SOURCES if any(name.split(".")[0] == library for name in imports(path))]
    assert len(using) == 1
    top = ast.parse(using[0].read_text("utf-8")).body
    assert library not in {n.split(".")[0] for node in top for n in _imported_by(node)}


def _imported_by(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_every_package_has_its_layer():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {name.strip() for layer in layers for name in layer.split("|")}
    there = {f"mmmie.{p.stem}" for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert named == there - {"mmmie.__init__"}


def test_imports_go_down_the_layers():
    lint = Path(sys.executable).parent / "lint-imports"
    if not lint.exists():
        pytest.skip("import-linter is not installed; it comes with mmmie[dev]")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_file_says_what_it_is():
    for path in SOURCES:
        if path.stat().st_size:  # the __init__.py of a package is empty
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), f"{relative(path)} has no docstring"
