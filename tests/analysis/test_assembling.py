"""Ids of speakers, whoever named them."""

from mmmie.analysis.assembling import speaker_ids


def test_voices_that_nobody_told_apart_are_everybodys() -> None:
    assert speaker_ids([None, None]) == {None: "all"}
    assert speaker_ids([]) == {None: "all"}


def test_what_can_be_an_id_is_one_and_other_names_get_one_that_is_free() -> None:
    ids = speaker_ids(["S1", "Ana Müller", "Ben", "<b>", "all", "S1", None])
    assert ids == {None: None, "S1": "S1", "Ben": "Ben", "Ana Müller": "S2", "<b>": "S3", "all": "S4"}
    assert len(set(ids.values())) == len(ids)
