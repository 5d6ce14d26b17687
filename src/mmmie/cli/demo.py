"""`mmmie demo`: the whole road on a generated corpus, in minutes and without a network."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmmie.corpus.store import Corpus
    from mmmie.evidence.evaluation import Evaluation
    from mmmie.learning.run import Run

MARK = ".mmmie-demo"
"""Stands in a folder that a demo made, and allows the next demo to replace what it made there."""
MADE = ("demo.corpus", "text-only", "mmmie", "figures", "talk.mmmie")


def command(
    out: Annotated[Path, typer.Option(help="Where to; an earlier demo there is replaced.")] = Path("runs/demo"),
) -> int:
    """Generate a corpus of known mutual information, train on it, evaluate once on test, show a table and figures.

    Then analyze a recording with its transcript by the packaged checkpoint.
    """
    from mmmie.corpus.synthetic import SIZES, SyntheticSettings, generate
    from mmmie.errors import EvidenceError
    from mmmie.evidence.compare import compare
    from mmmie.evidence.evaluation import evaluate

    _clear(out)
    corpus = generate(out / "demo.corpus", SyntheticSettings(**SIZES["demo"]))
    print(f"corpus {corpus.path}: {len(corpus)} utterances, three modalities, mutual information known", flush=True)
    text_only = _train(corpus, out / "text-only", {"model.modalities": ["text"]})
    mmmie = _train(corpus, out / "mmmie", {})
    evaluations = {"text only": evaluate(text_only), "MMMIE": evaluate(mmmie)}
    print(f"\n{_table(corpus, evaluations)}\n")
    contrast = compare({name: [e.predictions] for name, e in evaluations.items()}).contrasts["MMMIE"]
    low, value, high = (
        f"{x:+.3f}" for x in (contrast.difference.low, contrast.difference.value, contrast.difference.high)
    )
    print(f"MMMIE against text only: MAE {value}, 95 % interval over test videos [{low}, {high}]: {contrast.verdict}\n")
    try:
        _draw(corpus, mmmie, evaluations["MMMIE"], out / "figures")
    except EvidenceError as error:
        print(f"no figures: {error}")
        return 1
    print(f"figures  {', '.join(str(path) for path in sorted((out / 'figures').glob('*.png')))}")
    print(_analyze(out))
    print(f"next     mmmie inspect {corpus.path}    mmmie verify {mmmie.path}    docs/tutorial.md")
    return 0


def _clear(out: Path) -> None:
    """Removes what an earlier demo made in `out`, and refuses a folder that none made."""
    from mmmie.errors import MmmieError

    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise MmmieError(f"{out} exists, and no demo made it. Choose another --out, or remove it.")
    try:
        for name in MADE:
            if (out / name).exists():
                shutil.rmtree(out / name)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise MmmieError(f"could not make {out}: {error}. Choose another --out.") from None


def _train(corpus: "Corpus", out: Path, overrides: dict[str, object]) -> "Run":
    from mmmie.learning.progress import Shown
    from mmmie.learning.training import fit
    from mmmie.settings import Recipe

    with as_file(files("mmmie") / "recipes" / "demo.toml") as path:
        recipe = Recipe.load(path, {**overrides, "name": out.name, "corpus": str(corpus.path)})
    return fit(recipe, corpus.training(), out, progress=Shown(out.name))


def _table(corpus: "Corpus", evaluations: "dict[str, Evaluation]") -> str:
    import numpy as np

    from mmmie.evidence.metrics import METRICS, measure, show
    from mmmie.evidence.table import table

    test = evaluations["MMMIE"].predictions.part("test")
    median = float(np.median(corpus.training().train.labels))
    systems = {"median of train": measure(test.labels, np.full(len(test), median), test.origin.label_range)}
    systems |= {name: evaluation.test for name, evaluation in evaluations.items()}
    rows = [[f"{len(test)} test utterances", *METRICS.values()]]
    rows += [[name, *(show(key, metrics.value(key)) for key in METRICS)] for name, metrics in systems.items()]
    return table(rows)


def _analyze(out: Path) -> str:
    """Analyzes a hummed recording, which is made here, by its transcript; says where the page is."""
    from importlib.util import find_spec

    if find_spec("av") is None:
        return "analyze  needs: pip install 'mmmie[video]'"
    from mmmie.analysis.request import Input, Request
    from mmmie.study.batch import analyze_all

    recording, transcript = out / "talk.wav", out / "talk.srt"
    transcript.write_bytes((files("mmmie") / "recipes" / "demo.srt").read_bytes())
    _hum(recording, seconds=16.0)
    request = Request.from_words(transcript=transcript, modalities="text")
    (analysis,) = analyze_all([Input(recording, out / "talk.mmmie")], request, 1, 300.0, lambda _event: None)
    return f"{analysis}\nreport   {out / 'talk.mmmie' / 'report.html'}"


def _hum(path: Path, seconds: float) -> None:
    """Writes a voice without words: harmonics of a pitch that wanders, in syllables."""
    import wave

    import numpy as np

    rate = 16000
    time = np.arange(round(seconds * rate)) / rate
    pitch = 130 + 25 * np.sin(2 * np.pi * 0.4 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(n * phase) / n for n in range(1, 12)) * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((voice * 6000).astype("<i2").tobytes())


def _draw(corpus: "Corpus", run: "Run", evaluation: "Evaluation", folder: Path) -> None:
    from mmmie.evidence.figures import draw_information, draw_predictions, draw_training

    draw_training(run, folder / "training.png")
    draw_information(run, folder / "information.png", corpus.info.notes["true_mi_nats"])
    draw_predictions(evaluation.predictions, folder / "predictions.png")
