"""What representations hold, on a generated corpus whose factors are known."""

import json
from pathlib import Path

import pytest

from mmmie.corpus.store import Corpus
from mmmie.corpus.synthetic import SyntheticSettings, generate
from mmmie.errors import EvidenceError
from mmmie.experiments import information
from mmmie.experiments.information import Information, measure_information, represent
from mmmie.experiments.information_report import Measured, write_information
from mmmie.learning.run import Run
from mmmie.learning.training import fit
from mmmie.settings import Recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Run]:
    folder = tmp_path_factory.mktemp("information")
    corpus = generate(folder / "made.corpus", SyntheticSettings(videos=120))
    recipe = Recipe.parse(
        {
            "name": "made",
            "corpus": str(corpus.path),
            "model": {"modalities": ["audio", "vision"], "width": 32, "context": 0},
            "training": {"epochs": 3},
        },
        "test",
    )
    return corpus, fit(recipe, corpus.training(), folder / "run")


def test_each_modality_holds_its_own_factors_and_no_other_ones(made: tuple[Corpus, Run]) -> None:
    found = measure_information(made[1])
    assert set(found.intervals) == {"audio", "vision"}
    assert all(low <= high for low, high in found.intervals.values())
    audio, vision = found.factors["audio"], found.factors["vision"]
    assert min(audio["nuisance_audio"], vision["nuisance_vision"]) > 0.3
    assert max(audio["nuisance_vision"], vision["nuisance_audio"]) < 0.1, "of another modality nothing is known"
    assert min(audio["shared"], vision["shared"]) > 0.2
    assert max(audio["private_vision"], vision["private_audio"]) < 0.1
    assert set(found.pairs) == {"audio-vision"}
    assert found.pairs["audio-vision"] < made[0].info.notes["true_mi_nats"]["audio-vision"]


def test_noise_is_part_of_the_representation_and_drawn_alike(made: tuple[Corpus, Run]) -> None:
    valid = made[0].training().valid
    once, present = represent(made[1], valid)
    twice, _ = represent(made[1], valid)
    assert (once["audio"] == twice["audio"]).all()
    assert once["audio"].shape == (len(valid), 32)
    assert present["audio"].all()


def test_it_is_kept_for_these_weights_alone(made: tuple[Corpus, Run]) -> None:
    found = measure_information(made[1])
    assert Information.read(made[1]) == found
    file = made[1].path / "information.json"
    whole = file.read_text()
    file.write_text(json.dumps({**json.loads(whole), "checkpoint_sha256": "0"}))
    with pytest.raises(EvidenceError, match="other weights"):
        Information.read(made[1])
    file.unlink()
    with pytest.raises(EvidenceError, match="no information at"):
        Information.read(made[1])


def test_the_report_has_a_column_a_value_and_a_figure(made: tuple[Corpus, Run], tmp_path: Path) -> None:
    one = Measured(made[1], measure_information(made[1]), 0.5)
    files = write_information(tmp_path, {"made": {"full": [one, one]}})
    assert [f.name for f in files] == ["information.md", "information.csv", "compression.png"]
    text = files[0].read_text()
    assert "| arm | MAE | I(X; F) audio L |" in text
    assert "| full | 0.500 ± 0.000 |" in text
    assert "R² nuisance_audio in audio" in text
    assert files[2].read_bytes()[:4] == b"\x89PNG"
    assert write_information(tmp_path / "none", {"made": {"full": []}}) == []


def test_too_few_videos_for_a_critic_give_no_pair(made: tuple[Corpus, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    videos = len(set(made[0].training().valid.videos))
    monkeypatch.setattr(information, "FEWEST_VIDEOS", videos)
    assert set(measure_information(made[1]).pairs) == {"audio-vision"}
    monkeypatch.setattr(information, "FEWEST_VIDEOS", videos + 1)
    assert measure_information(made[1]).pairs == {}
