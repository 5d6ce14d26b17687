"""Ids of speakers, whoever named them; and what is known not to hold of verdicts."""

from example_results import utterance, verdict
from mmmie.analysis.assembling import limits_of, speaker_ids
from mmmie.analysis.result import Reading
from mmmie.evidence.coverage import Coverage, Row


def test_voices_that_nobody_told_apart_are_everybodys() -> None:
    assert speaker_ids([None, None]) == {None: "all"}
    assert speaker_ids([]) == {None: "all"}


def test_what_can_be_an_id_is_one_and_other_names_get_one_that_is_free() -> None:
    ids = speaker_ids(["S1", "Ana Müller", "Ben", "<b>", "all", "S1", None])
    assert ids == {None: None, "S1": "S1", "Ben": "Ben", "Ana Müller": "S2", "<b>": "S3", "all": "S4"}
    assert len(set(ids.values())) == len(ids)


def test_verdicts_that_rest_on_what_does_not_hold_are_counted() -> None:
    ok, missing = Reading(status="ok", alone=0.5, without=0.0, contribution=0.5), Reading(status="missing", reason="no")
    coverage = Coverage(
        checkpoint_sha256="0",
        stated=0.9,
        source="here",
        rows=(
            Row(modality="audio", read_on="B", trained_on="A", new=True, utterances=None, coverage=0.7),
            Row(modality="vision", read_on="C", trained_on="A", new=True, utterances=None, coverage=0.6),
        ),
    )
    words = utterance(1, 0, 1, sentiment=verdict(0.5), modalities={"text": ok, "audio": ok, "vision": ok})
    voice = utterance(2, 1, 2, sentiment=verdict(0.5), modalities={"text": missing, "audio": ok, "vision": missing})
    unjudged = utterance(3, 2, 3, sentiment=None, modalities={"text": missing, "audio": ok, "vision": missing})
    assert limits_of([words], coverage) == ()
    assert limits_of([words, voice], None) == ()
    (said,) = limits_of([words, voice, unjudged], coverage)
    clause = "intervals stated at 90% covered 70% (voice, B) on sets that training had not seen"
    assert said == f"1 of 2 verdicts rest on voice alone: {clause}."
    both = utterance(4, 3, 4, sentiment=verdict(0.5), modalities={"audio": ok, "vision": ok})
    (said,) = limits_of([both], coverage)
    assert said.startswith(
        "1 of 1 verdicts rest on voice or face alone: intervals stated at 90% covered 70% (voice, B) and"
    )
