"""Every mistake that would spoil a study is found before any training, and names the arm."""

import json
import shutil

import pyarrow as pa
import pytest

from mmmie.corpus.resplit import ResplitSettings, resplit
from mmmie.corpus.store import Corpus
from mmmie.errors import MmmieError
from mmmie.experiments.plan import Job
from mmmie.experiments.preflight import check
from mmmie.experiments.running import to_do
from mmmie.learning.plan import train
from studies import STUDY, make_place
from tiny_corpora import write_corpus

VIDEOS = {"train": 8, "valid": 4, "test": 3}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_place(tmp_path, videos=VIDEOS)


def refusal(place, text=STUDY):
    with pytest.raises(MmmieError) as error:
        check(place.plan(text))
    assert not (place.folder / "experiments").exists()
    return str(error.value)


def change_rows(place, name, change):
    """A copy of the corpus with other columns of its table, whatever the writer would say to it."""
    path = place.folder / f"{name}.corpus"
    shutil.copytree(place.folder / "tiny.corpus", path)
    table = Corpus.open("tiny.corpus").table
    columns = change({column: table.column(column).to_pylist() for column in table.column_names})
    table = pa.table(columns, schema=table.schema)
    with pa.OSFile(str(path / "utterances.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def test_a_study_that_is_right_passes(place):
    check(place.plan())
    assert not (place.folder / "experiments").exists()


def test_a_recipe_that_is_missing(place):
    text = STUDY + "[arms.big]\nrecipe = '../recipes.toml'\n"
    assert refusal(place, text) == "arm 'big': no recipe at studies/../recipes.toml. Did you mean 'recipe.toml'?"


def test_an_override_of_an_unknown_key(place):
    said = refusal(place, STUDY + "[arms.big.set]\nmodel.widht = 3\n")
    assert said.startswith("arm 'big': ")
    assert "unknown key 'model.widht'. Did you mean 'width'?" in said


def test_a_value_out_of_range(place):
    said = refusal(place, STUDY + "[arms.big.set]\nmodel.dropout = 3\n")
    assert said.startswith("arm 'big': ")
    assert "model.dropout" in said


def test_a_corpus_that_is_missing(place):
    assert "arm 'full': no corpus at tini.corpus" in refusal(place, STUDY.replace("tiny.corpus", "tini.corpus"))


def test_an_encoder_that_is_missing(place):
    said = refusal(place, STUDY + "[arms.big.set]\ntext.encoder = 'no-such-folder'\n")
    assert said.startswith("arm 'big': ")
    assert "no-such-folder" in said


def test_a_modality_that_is_missing(place):
    write_corpus(place.folder / "deaf.corpus", VIDEOS, audio=None)
    said = refusal(place, STUDY.replace("tiny.corpus", "deaf.corpus") + "[set]\nmodel.modalities = ['audio']\n")
    assert said.startswith("arm 'full': model.modalities asks for audio")


def test_two_corpora_of_one_name(place):
    text = STUDY.replace('["tiny.corpus"]', '["tiny.corpus", "other/tiny.corpus"]')
    assert "two corpora of the study are called 'tiny'" in refusal(place, text)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_split_that_is_empty(place, split):
    write_corpus(place.folder / "part.corpus", {name: n for name, n in VIDEOS.items() if name != split})
    said = refusal(place, STUDY.replace("tiny.corpus", "part.corpus"))
    assert said.startswith(f"arm 'full': part.corpus has no rows in its {split} split")


def test_a_video_in_two_splits(place):
    def share(columns):
        split = columns["split"]
        return {**columns, "split": ["test", *split[1:]] if split[0] != "test" else ["train", *split[1:]]}

    change_rows(place, "shared", share)
    said = refusal(place, STUDY.replace("tiny.corpus", "shared.corpus"))
    assert said.startswith("arm 'full': shared.corpus: the video ")


OTHER = STUDY + "[arms.other.set]\ncorpus = 'other.corpus'\n"


def test_arms_of_other_features_of_the_same_rows_pair(place):
    write_corpus(place.folder / "other.corpus", VIDEOS, extractor="another", shift={"train": 1.0})
    check(place.plan(OTHER))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: {**c, "label": [0.5] * len(c["label"])}, "test00/0 has label 0.5 and"),
        (lambda c: {**c, "index": [i + 1 for i in c["index"]]}, "row 0 is test00/1 here and test00/0 there"),
    ],
    ids=["label", "index"],
)
def test_arms_whose_test_rows_do_not_pair(place, change, said):
    change_rows(place, "other", change)
    refused = refusal(place, OTHER)
    assert refused.startswith("arm 'other': the test rows of other.corpus and tiny.corpus (arm 'full') do not pair")
    assert said in refused


def test_arms_with_more_test_rows(place):
    write_corpus(place.folder / "other.corpus", {**VIDEOS, "test": 4})
    assert "15 and 20" in refusal(place, OTHER) or "20 and 15" in refusal(place, OTHER)


def test_a_metric_that_does_not_fit_the_labels(place):
    path = place.folder / "tiny.corpus" / "corpus.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "label_min": -4.0}))
    assert "Acc-7" in refusal(place, STUDY.replace("question", "metric = 'acc7'\nquestion"))


@pytest.mark.parametrize(("extractor", "said"), [("other", "holds others"), (None, "holds none")])
def test_another_domain_needs_the_same_features(place, extractor, said):
    more = {"extractor": extractor} if extractor else {"audio": None}
    write_corpus(place.folder / "away.corpus", {"test": 3}, **more)
    text = STUDY.replace("seeds = 2", "seeds = 2\ntest_on = ['away.corpus']")
    assert said in refusal(place, text)
    assert refusal(place, text).startswith("arm 'full': test_on")


def test_another_domain_may_not_have_been_trained_on(place):
    write_corpus(place.folder / "away.corpus", VIDEOS)
    change_rows(place, "seen", lambda c: {**c, "split": ["test" if s == "train" else s for s in c["split"]]})
    said = refusal(place, STUDY.replace("seeds = 2", "seeds = 2\ntest_on = ['seen.corpus']"))
    assert "test videos of seen.corpus are trained on, in tiny.corpus: train00" in said


def test_what_an_arm_starts_from_may_not_have_seen_its_test(place):
    change_rows(place, "seen", lambda c: {**c, "split": ["train" if s == "test" else s for s in c["split"]]})
    place.recipe("before", corpus="seen.corpus")
    place.recipe("after", start_from="before.toml")
    said = refusal(place, STUDY + "[arms.after]\nrecipe = '../after.toml'\n")
    assert said.startswith("arm 'after': 3 of 3 test videos of its own corpus are trained on, in seen.corpus")
    assert "before.toml" in said


def test_an_arm_named_as_what_others_start_from(place):
    place.recipe("before")
    place.recipe("after", start_from="before.toml")
    said = refusal(place, STUDY + "[arms.after]\nrecipe = '../after.toml'\n[arms.before]\n")
    assert "arm 'before' has the name of the recipe" in said


def test_a_run_to_start_from_that_is_missing(place):
    said = refusal(place, STUDY + "[arms.big.set]\nstart_from = 'runs/none/{seed}'\n")
    assert said.startswith("arm 'big': no run at runs/none/0")


def test_a_circle_of_starts(place):
    place.recipe("one", start_from="two.toml")
    place.recipe("two", start_from="one.toml")
    assert "in a circle" in refusal(place, STUDY + "[arms.big]\nrecipe = '../one.toml'\n")


@pytest.fixture
def finished(place):
    """The place with one finished run of the study."""
    plan = place.plan()
    cell = plan.cells["tiny", "full"]
    train(cell.recipe_path, seeds=[0], overrides=cell.overrides, runs=plan.runs_folder("tiny"))
    return place


def test_runs_of_another_version_of_the_arm_another_corpus_or_other_splits(finished):
    place = finished
    check(place.plan())
    with pytest.raises(MmmieError, match=r"arm 'full': the run .* was trained by another version of this arm"):
        check(place.plan(STUDY + "[set]\ntraining.epochs = 4\n"))
    shutil.move(place.folder / "tiny.corpus", place.folder / "was.corpus")
    write_corpus(place.folder / "tiny.corpus", VIDEOS, seed=1)
    with pytest.raises(MmmieError, match=r"arm 'full': the run .* was trained on other content of tiny.corpus"):
        check(place.plan())
    shutil.rmtree(place.folder / "tiny.corpus")
    shutil.move(place.folder / "was.corpus", place.folder / "tiny.corpus")
    change_rows(
        place, "moved", lambda c: {**c, "split": [{"valid": "test", "test": "valid"}.get(s, s) for s in c["split"]]}
    )
    shutil.move(place.folder / "tiny.corpus", place.folder / "was.corpus")
    shutil.move(place.folder / "moved.corpus", place.folder / "tiny.corpus")
    with pytest.raises(MmmieError, match=r"arm 'full': the run .* was trained on other splits of tiny.corpus"):
        check(place.plan())


def test_what_is_needed_comes_first_and_once(place):
    place.recipe("before")
    place.recipe("after", start_from="before.toml")
    plan = place.plan(STUDY + "[arms.after]\nrecipe = '../after.toml'\n[arms.again]\nrecipe = '../after.toml'\n")
    items, after = to_do(plan, plan.runs())
    texts = [job for job in items if job.kind == "text"]
    starts = [job for job in items if job.kind == "train"]
    assert len(texts) == 1  # all arms read the same text by the same encoder
    assert starts == [Job("train", "tiny", "before", seed) for seed in (0, 1)]
    assert len(items) == 1 + 2 + 8
    assert after[Job("run", "tiny", "after", 1)] == [*texts, starts[1]]
    assert after[starts[1]] == texts
    assert after[Job("run", "tiny", "full", 1)] == texts


FOLDS = STUDY.replace('corpora = ["tiny.corpus"]', "corpora = ['a.corpus', 'b.corpus']\nfolds = true")


def test_folds_that_share_a_test_video(place):
    for name in ("a", "b"):
        resplit(Corpus.open("tiny.corpus"), f"{name}.corpus", ResplitSettings(include_test=True))
    assert "arm 'full': folds = true, but a.corpus and b.corpus both test video" in refusal(place, FOLDS)


def test_folds_of_two_corpora(place):
    resplit(Corpus.open("tiny.corpus"), "a.corpus", ResplitSettings(include_test=True))
    write_corpus(place.folder / "b.corpus", VIDEOS, seed=9)
    assert "b.corpus and a.corpus hold different utterances. Make folds of one corpus" in refusal(place, FOLDS)


def test_one_fold_is_none(place):
    said = refusal(place, STUDY.replace("seeds = 2", "seeds = 2\nfolds = true"))
    assert "folds = true pools the test parts of several corpora" in said
