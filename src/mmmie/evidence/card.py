"""The card of a model, made from its run: what it is, what it learned from, what it scores, and what it is not for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmmie.corpus.schema import SPLITS
from mmmie.corpus.store import Corpus
from mmmie.errors import CorpusError
from mmmie.evidence.calibration import CALIBRATION_FILE, Calibration
from mmmie.evidence.coverage import SHOWN_AS, Coverage
from mmmie.evidence.evaluation import EVALUATION_FILE, Evaluation
from mmmie.evidence.metrics import CONVENTIONS, METRICS, show

if TYPE_CHECKING:
    from mmmie.learning.run import Run

RECONSTRUCTION = (
    "MMMIE is reconstructed from the abstract of Zheng, Zhang, Wang and Zeng, arXiv:2201.03969, alone. It is not the "
    "authors' model, and their scores are not known to us."
)
USE = (
    "Study of the sentiment that people express in speech, over many utterances, by someone who can look at the "
    "recording beside the result."
)
LIMITS = (
    "A score is what annotators like those of the corpus would say is expressed, not what a person feels.",
    "It is no ground for a decision about a person: not for hiring, schooling, policing, health or credit.",
    "Languages, ways of speaking and recordings unlike those of the corpus are read worse, and are not always flagged.",
    "Intervals cover the stated share over many utterances like those of valid, not every utterance or every speaker.",
)


@dataclass(frozen=True)
class Card:
    """A card as plain values, which `str` shows as Markdown."""

    values: Mapping[str, Any]

    def __str__(self) -> str:
        return _markdown(self.values)


def make_card(run: "Run") -> Card:
    """The card of a run; what is not there (evaluation, calibration, corpus) is said to be missing, not guessed.

    Raises:
        CheckpointError: the run has no checkpoint.
        EvidenceError: its evaluation, calibration or measured coverage is damaged.
    """
    contract, recipe = run.contract, run.recipe
    evaluated = (run.path / EVALUATION_FILE).exists()
    calibrated = (run.path / CALIBRATION_FILE).exists()
    coverage = Coverage.read(run)
    data = _data(run)
    before = contract.get("began_with", [])
    licence = data["licence"]
    if before:  # of which one that is not stated permits nothing
        named = (f"{corpus['name']}: {corpus['licence'] or 'not stated'}" for corpus in before)
        licence = "; ".join((licence or "not stated", *named))
    values = {
        "name": run.name,
        "seed": run.seed,
        "system": recipe.model.system,
        "reconstruction": RECONSTRUCTION,
        "data": data,
        "began_with": [corpus["name"] for corpus in before],
        "licence": licence,
        "research_only": any(map(_research_only, (data["licence"], *(corpus["licence"] for corpus in before)))),
        "label": contract.get("label", {}),
        "modalities": contract.get("modalities", {}),
        "text_encoder": contract.get("text_encoder"),
        "settings": {
            "method": recipe.method,
            "start_from": recipe.start_from or None,
            "text depth": recipe.text.depth,
            "text rank": recipe.text.lora_rank or None,
            "width": recipe.model.width,
            "context": recipe.model.context,
            "MI maximised by": recipe.maximise.estimator,
            "MI minimised by": recipe.minimise.estimator,
            "rate target (nats)": recipe.minimise.target_nats,
            "identity": [name for name in ("role", "modality", "same_speaker") if getattr(recipe.model.identity, name)],
            "epochs": run.status.get("epochs"),
            "best epoch": None if run.status.get("best_epoch") is None else run.status["best_epoch"] + 1,
        },
        "checkpoint_sha256": contract.get("sha256"),
        "results": _results(Evaluation.read(run.path)) if evaluated else None,
        "calibration": _calibration(Calibration.read(run.path)) if calibrated else None,
        "coverage": coverage.model_dump(mode="json") if coverage else None,
        "use": USE,
        "limits": [*LIMITS, *_limits(coverage)],
    }
    return Card(values)


def _data(run: "Run") -> dict[str, Any]:
    """What the corpus says, or, where it is not there, what the contract of a checkpoint that travels says of it."""
    unknown = {"source": "", "licence": None, "sizes": None}
    values: dict[str, Any] = {**unknown, **run.contract.get("corpus", {}), "fingerprint": run.corpus_fingerprint}
    values.pop("path", None)  # where it lay says who trained, not what
    corpus = _corpus(run)
    if corpus is None:
        return values
    videos = np.array(corpus.table.column("video").to_pylist(), dtype=np.str_)
    sizes = {
        split: {
            "utterances": int((corpus.splits == split).sum()),
            "videos": len(np.unique(videos[corpus.splits == split])),
        }
        for split in SPLITS
    }
    return {**values, "source": corpus.info.source, "licence": corpus.info.licence, "sizes": sizes}


def _corpus(run: "Run") -> Corpus | None:
    try:
        corpus = Corpus.open(run.corpus_path)
    except CorpusError:
        return None
    return corpus if corpus.info.fingerprint == run.corpus_fingerprint else None


def _research_only(licence: str | None) -> bool:
    """Where a licence is not known, nothing is permitted by it."""
    text = (licence or "").lower()
    return not text or any(word in text for word in ("research", "non-commercial", "noncommercial", "-nc", "academic"))


def _results(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "test": evaluation.test.to_json(),
        "test_videos": evaluation.test_videos,
        "valid": evaluation.valid.to_json() if evaluation.valid else None,
        "openings": str(evaluation.openings),
        "intervals": evaluation.reliability.to_json() if evaluation.reliability else None,
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    coverage = calibration.levels.coverage
    return {
        "coverage": coverage,
        "sign_level": calibration.levels.sign,
        "subsets": {
            name: {
                "utterances": margins.utterances,
                "videos": margins.videos,
                "half_width": margins.half_width if np.isfinite(margins.half_width) else None,
                "coverage_range": list(margins.coverage_range(coverage)),
            }
            for name, margins in calibration.margins.items()
        },
    }


def _limits(coverage: Coverage | None) -> list[str]:
    failing = coverage.failing() if coverage else {}
    if not coverage or not failing:
        return []
    named = " or ".join(SHOWN_AS[modality] for modality in failing)
    return [f"Intervals of {named} alone do not hold on new kinds of recordings: {coverage.limit(failing)}."]


def _markdown(card: Mapping[str, Any]) -> str:
    licence = card["licence"] or "unknown: the corpus is not there to say"
    terms = "Research only, non-commercial. " if card["research_only"] else ""
    data, label, before = card["data"], card["label"], card["began_with"]
    lines = [
        f"# {card['name']}, seed {card['seed']}",
        f"Sentiment of utterances from {', '.join(card['modalities']) or 'unknown modalities'}, by {card['system']}. "
        f"Scores are in [{label.get('min')}, {label.get('max')}]: {label.get('meaning')}.",
        card["reconstruction"],
        "## Licence",
        f"{terms}Of the data it was trained on: {licence}.",
        "## Data",
        f"{data.get('name')} (fingerprint {data['fingerprint']}). {data.get('source', '')}".strip(),
        *([f"Training began with what a run had learned from {', then '.join(before)}."] if before else []),
        _table(["split", "utterances", "videos"], [[s, n["utterances"], n["videos"]] for s, n in data["sizes"].items()])
        if data["sizes"]
        else "Its sizes are unknown: the corpus is not where it was.",
        "## Features",
        _table(
            ["modality", "width", "read as", "fingerprint"],
            [
                [name, shape["input_dim"], "sequence" if shape["sequence"] else "vector", shape["fingerprint"]]
                for name, shape in card["modalities"].items()
            ],
        ),
        f"Text encoder: {card['text_encoder'] or 'none'}. `mmmie licenses` names source and licence of every network "
        "in use.",
        "## Training",
        _table(["setting", "value"], [[name, _plain(value)] for name, value in card["settings"].items()]),
        f"sha256 of the weights: `{card['checkpoint_sha256']}`.",
        "## Results",
        *_results_shown(card["results"]),
        "## What a prediction is worth",
        *_worth_shown(card["calibration"], card["results"]),
        *_coverage_shown(card["coverage"]),
        "## Intended use",
        card["use"],
        "## Limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
    ]
    return "\n\n".join(lines) + "\n"


def _results_shown(results: Mapping[str, Any] | None) -> list[str]:
    if results is None:
        return ["Not evaluated yet."]
    valid = results["valid"] or {}
    rows = [
        [title, show(name, valid.get(name)), show(name, results["test"][name]), CONVENTIONS[name]]
        for name, title in METRICS.items()
    ]
    return [
        f"{results['test']['n']} test utterances of {results['test_videos']} videos. {results['openings']}",
        _table(["metric", "valid", "test", "convention"], rows),
    ]


def _worth_shown(calibration: Mapping[str, Any] | None, results: Mapping[str, Any] | None) -> list[str]:
    if calibration is None:
        return ["Not calibrated yet: scores come without intervals."]
    rows = [
        [
            name,
            "whole range" if m["half_width"] is None else f"± {m['half_width']:.2f}",
            f"{m['utterances']} of {m['videos']} videos",
            "{:.0%} to {:.0%}".format(*m["coverage_range"]),
        ]
        for name, m in calibration["subsets"].items()
    ]
    lines = [
        f"Split-conformal intervals at {calibration['coverage']:.0%}, signs at {calibration['sign_level']:.0%}, "
        "fitted on valid. By what an utterance has:",
        _table(["modalities", "interval", "fitted on", "coverage to expect"], rows),
    ]
    measured = (results or {}).get("intervals")
    if measured:
        lines.append(
            f"On test {measured['coverage']:.1%} of the labels lay inside, at a mean width of "
            f"{measured['mean_width']:.2f}; on {measured['abstained']:.0%} of the utterances no sign was given."
        )
    return lines


def _coverage_shown(coverage: Mapping[str, Any] | None) -> list[str]:
    if coverage is None:
        return []
    rows = [
        [
            row["modality"],
            row["trained_on"],
            row["read_on"],
            row["utterances"] or "",
            f"{row['coverage']:.0%}",
            "yes" if row["new"] else "no",
        ]
        for row in coverage["rows"]
    ]
    return [
        f"Measured of intervals stated at {coverage['stated']:.0%} ({coverage['source']}):",
        _table(["read", "trained on", "read on", "utterances", "coverage", "set unseen in training"], rows),
    ]


def _table(header: list[str], rows: list[list[Any]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def write_card(run: "Run", path: str | Path) -> Card:
    """Makes a card and writes it as Markdown. Raises EvidenceError: the file cannot be written."""
    from mmmie.evidence.predictions import replacing

    card = make_card(run)
    with replacing(path) as temporary:
        temporary.write_text(str(card), encoding="utf-8")
    return card
