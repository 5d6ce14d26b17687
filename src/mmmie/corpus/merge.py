"""Several corpora as one: their rows one after the other, each missing the modalities that its source did not have."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus, RaggedFeatures
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.errors import CorpusError


def merge(corpora: Sequence[Corpus], out: str | Path, name: str | None = None) -> Corpus:
    """One corpus of the rows of several, in their splits.

    Args:
        corpora: at least two; their labels have one range, and a modality that two of them hold has one fingerprint.
        out: the folder to make.
        name: of the new corpus; None: the names of its parts, joined by ` + `.

    Returns:
        The new corpus, opened. `notes["merged"]` holds name, fingerprint and utterances of each part.

    Raises:
        CorpusError: fewer than two corpora; another label range; features of one modality made in two ways; a video
            that is in two of them; `out` exists. Nothing is left behind.
    """
    if len(corpora) < 2:
        raise CorpusError("merging takes at least two corpora")
    first = corpora[0].info
    for corpus in corpora[1:]:
        if (corpus.info.label_min, corpus.info.label_max) != (first.label_min, first.label_max):
            raise CorpusError(
                f"{corpora[0].path} has labels in [{first.label_min}, {first.label_max}], {corpus.path} in "
                f"[{corpus.info.label_min}, {corpus.info.label_max}]. Import them with labels of one range."
            )
    info = CorpusInfo(
        name=name or " + ".join(corpus.info.name for corpus in corpora),
        label_min=first.label_min,
        label_max=first.label_max,
        label_meaning=_joined([corpus.info.label_meaning for corpus in corpora]),
        features=_features(corpora),
        source=_joined([corpus.info.source for corpus in corpora]),
        licence=_joined([f"{corpus.info.name}: {corpus.info.licence}" for corpus in corpora if corpus.info.licence]),
        notes={
            "merged": [
                {"name": corpus.info.name, "fingerprint": corpus.info.fingerprint, "utterances": len(corpus)}
                for corpus in corpora
            ]
        },
    )
    _check_videos(corpora)
    with CorpusWriter(out, info) as writer:
        for corpus in corpora:
            part = corpus.everything()
            for row, utterance in enumerate(part):
                frames = {modality: _frames(features, row) for modality, features in part.features.items()}
                writer.add(_speaker_of_its_own(utterance, corpus), frames)
    return Corpus.open(out)


def _features(corpora: Sequence[Corpus]) -> dict[str, FeatureInfo]:
    features: dict[str, FeatureInfo] = {}
    origin: dict[str, Corpus] = {}
    for corpus in corpora:
        for modality, info in corpus.info.features.items():
            known = features.setdefault(modality, info)
            if known.fingerprint != info.fingerprint:
                raise CorpusError(
                    f"{modality} of {origin[modality].path} was made by {known.extractor} {known.version}, that of "
                    f"{corpus.path} by {info.extractor} {info.version}, or with other settings. One model cannot read "
                    "both: extract one of them again."
                )
            origin.setdefault(modality, corpus)
    return features


def _check_videos(corpora: Sequence[Corpus]) -> None:
    seen: dict[str, Corpus] = {}
    for corpus in corpora:
        for video in dict.fromkeys(corpus.everything().videos):
            if video in seen:
                raise CorpusError(f"the video '{video}' is in {seen[video].path} and in {corpus.path}. Merge it once.")
            seen[video] = corpus


def _speaker_of_its_own(utterance: Utterance, corpus: Corpus) -> Utterance:
    """`S1` of one corpus is not `S1` of another."""
    if utterance.speaker is None:
        return utterance
    return replace(utterance, speaker=f"{corpus.info.name}:{utterance.speaker}")


def _frames(features: RaggedFeatures, row: int) -> Frames | None:
    values, _ = features[row]
    return Frames(values, features.times(row)) if len(values) else None


def _joined(texts: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))
