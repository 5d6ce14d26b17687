"""What the package shows to the outside, and what it costs to look at it."""

import inspect
import subprocess
import sys

import pytest

import mmmie
from mmmie.cli.main import VERBS

EXPORTED = {"Analysis", "Analyzer", "Corpus", "MmmieError", "Recipe", "Run", "compare", "evaluate", "fit", "predict"}
HEAVY = ("torch", "pydantic", "numpy", "pyarrow", "transformers", "rich", "h5py", "matplotlib")


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after `code`."""
    shown = f"{code}\nimport sys\nprint('\\nloaded', *(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_the_exported_names_are_those_of_the_documents():
    assert set(mmmie.__all__) == EXPORTED
    assert set(dir(mmmie)) >= EXPORTED
    assert all(inspect.getdoc(getattr(mmmie, name)) for name in EXPORTED)


def test_exported_names_are_the_things_themselves():
    from mmmie.evidence.evaluation import evaluate
    from mmmie.learning.training import fit

    assert mmmie.fit is fit
    assert mmmie.evaluate is evaluate
    assert issubclass(__import__("mmmie.errors").errors.RecipeError, mmmie.MmmieError)


def test_fit_has_no_parameter_that_could_take_the_test_split():
    assert list(inspect.signature(mmmie.fit).parameters) == ["recipe", "parts", "out", "start", "resume", "progress"]
    assert mmmie.Corpus.training.__annotations__["return"]._fields == ("train", "valid")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'mmmie' has no attribute 'train'"):
        mmmie.train  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import mmmie",
        "import mmmie\nmmmie.MmmieError",
        "from mmmie.cli.main import main\nmain(['--help'])",
        "from mmmie.cli.main import main\nmain(['--version'])",
        "from mmmie.cli.main import main\nmain(['trian'])",
    ],
)
def test_a_first_look_loads_nothing_heavy(code):
    assert loaded_by(code) == set()


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_loads_no_torch(verb):
    assert "torch" not in loaded_by(f"from mmmie.cli.main import main\nmain([{verb!r}, '--help'])")


def test_the_probe_sees_what_is_loaded():
    assert "numpy" in loaded_by("import mmmie\nmmmie.Corpus")
