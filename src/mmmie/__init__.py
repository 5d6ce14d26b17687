"""mmmie: multimodal sentiment analysis by mutual information and identity embedding, honestly evaluated.

    corpus = mmmie.Corpus.open("mosi.corpus")
    run = mmmie.fit(mmmie.Recipe.load("recipes/mosi.toml"), corpus.training(), "runs/mosi/0")
    print(mmmie.evaluate(run, corpus))

A name is imported when it is first used, so that `import mmmie` costs neither torch nor anything else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmmie.errors import MmmieError

if TYPE_CHECKING:
    from mmmie.analysis.analysis import Analysis
    from mmmie.analysis.analyzer import Analyzer
    from mmmie.corpus.store import Corpus
    from mmmie.evidence.compare import compare
    from mmmie.evidence.evaluation import evaluate
    from mmmie.learning.prediction import predict
    from mmmie.learning.run import Run
    from mmmie.learning.training import fit
    from mmmie.settings import Recipe

__all__ = ["Analysis", "Analyzer", "Corpus", "MmmieError", "Recipe", "Run", "compare", "evaluate", "fit", "predict"]

_HOMES = {
    "Analysis": "mmmie.analysis.analysis",
    "Analyzer": "mmmie.analysis.analyzer",
    "Corpus": "mmmie.corpus.store",
    "Recipe": "mmmie.settings",
    "Run": "mmmie.learning.run",
    "compare": "mmmie.evidence.compare",
    "evaluate": "mmmie.evidence.evaluation",
    "fit": "mmmie.learning.training",
    "predict": "mmmie.learning.prediction",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mmmie' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
