"""A text in another language than expected is noticed, and English is left alone."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from mmmie.media.languages import language_notes

ENGLISH = "I think that the film is really good, and the music was nice too, but they should have cut the end a little."
OTHERS = {
    "de": "Ich finde den Film wirklich sehr gut, und die Musik war auch schön, aber das Ende hat mir nicht gefallen, "
    "weil es so langsam war und ich mich dabei gelangweilt habe, während alle anderen noch immer lachten.",
    "nl": "Ik vind de film echt heel goed en de muziek was ook mooi, maar het einde vond ik niet leuk omdat het zo "
    "langzaam was en ik heb me verveeld, terwijl alle anderen nog steeds moesten lachen om die grap.",
    "fr": "Je trouve que le film est vraiment très bon et la musique était belle aussi, mais je n'ai pas aimé la fin "
    "parce que c'était si lent, on s'est ennuyé pendant une heure alors que les autres riaient encore.",
    "es": "Creo que la película es muy buena y la música también era bonita, pero no me gustó el final porque era tan "
    "lento, me aburrí durante una hora mientras todos los demás seguían riéndose de aquel chiste.",
}


@pytest.mark.parametrize("language", [None, "en", "en-GB", "EN"])
def test_english_is_left_alone(language: str | None) -> None:
    assert language_notes([ENGLISH] * 3, language) == []


@pytest.mark.parametrize("code", OTHERS)
def test_another_language_is_noticed_unless_it_is_the_one_that_was_given(code: str) -> None:
    (note,) = language_notes([OTHERS[code]], None)
    assert note.startswith("no language was given")
    assert "does not look like English" in note
    (note,) = language_notes(OTHERS[code].split(), "en")
    assert note.startswith("the language was given as 'en'")
    assert language_notes([OTHERS[code]], code) == []


def test_letters_tell_more_and_a_few_words_nothing() -> None:
    (note,) = language_notes(["Да, очень."], None)
    assert "written in Cyrillic letters" in note
    assert language_notes(["Да, очень."], "ru") == []
    assert language_notes(["Das ist schön."], None) == []
    assert language_notes([], None) == language_notes(["42 !"], "en") == []


@pytest.mark.real_data
def test_few_english_transcripts_are_doubted(real_data: Path) -> None:
    texts = defaultdict(list)
    for corpus in ("mosi", "mosei"):
        with (real_data / corpus / "utterances.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                texts[corpus, row["video_id"]].append(row["text"])
    doubted = [video for video, said in texts.items() if language_notes(said, None)]
    assert len(texts) > 2500
    assert len(doubted) <= 3
