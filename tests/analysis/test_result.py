"""`result.json`: what it refuses, that nothing is lost in it, and that its published schema is true."""

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from example_results import as_dict, hostile, long, ordinary, result, silent, unreadable, utterance, verdict
from mmmie.analysis.analysis import Analysis
from mmmie.analysis.result import Counts, Media, Reading, Result, SpeakerSentiment, Stage, Word
from mmmie.analysis.schema import result_schema, write_schema
from mmmie.errors import EvidenceError

ALL = {"ordinary": ordinary, "hostile": hostile, "silent": silent, "unreadable": unreadable}
PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "result.schema.json"


@pytest.fixture(params=ALL)
def given(request):
    return ALL[request.param]()


def test_nothing_is_lost_on_disk(given, tmp_path):
    Analysis(given).save(tmp_path / "new" / "a.mmmie")
    assert Analysis.open(tmp_path / "new" / "a.mmmie").result == given
    assert [p.name for p in (tmp_path / "new" / "a.mmmie").iterdir()] == ["result.json"]


def test_the_json_is_as_its_schema_says(given):
    schema = result_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(as_dict(given))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d["utterances"][0].pop("start"),
        lambda d: d["utterances"][0].update(start=-1),
        lambda d: d["utterances"][0].update(mood="good"),
        lambda d: d["utterances"][0]["sentiment"].update(label="great"),
        lambda d: d.update(schema_version=2),
        lambda d: d["utterances"][0]["modalities"].update(smell={"status": "ok"}),
    ],
)
def test_schema_and_reader_refuse_the_same(damage):
    values = as_dict(ordinary())
    damage(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(result_schema()).validate(values)
    with pytest.raises(EvidenceError):
        Result.from_json(json.dumps(values), "here")


def test_the_published_schema_is_this_one(tmp_path):
    write_schema(tmp_path / "schema.json")
    assert PUBLISHED.read_text("utf-8") == (tmp_path / "schema.json").read_text("utf-8"), (
        "write it again with: python -m mmmie.analysis.schema docs/result.schema.json"
    )


def test_an_utterance_has_the_documented_shape():
    values = as_dict(ordinary())["utterances"][0]
    assert {
        "id",
        "start",
        "end",
        "speaker",
        "text",
        "text_source",
        "words",
        "sentiment",
        "modalities",
        "context",
    } < set(values)
    assert values["words"][0] == {"word": "this", "start": 0.5, "end": 0.6, "confidence": 0.9, "aligned": True}
    assert set(values["sentiment"]) >= {"score", "range", "interval", "coverage", "label", "abstain"}
    assert values["modalities"]["vision"]["status"] == "missing"


def test_an_utterance_is_a_line():
    lines = ordinary().to_json().splitlines()
    assert sum(line.strip().startswith('{"id":"u000') for line in lines) == 6


@pytest.mark.parametrize("number", [math.nan, math.inf, np.float32("nan")])
@pytest.mark.parametrize(
    "make",
    [
        lambda x: verdict(x, interval=(-1, 1)),
        lambda x: verdict(0.0, interval=(-1.0, x)),
        lambda x: utterance(0, 0.0, x),
        lambda x: utterance(0, 0.0, 1.0, voice={"pitch_mean": x}),
        lambda x: Word(word="a", start=0, end=x),
        lambda x: Reading(status="ok", alone=x),
        lambda x: result((), settings={"deep": {"er": [float(x)]}}),
        lambda x: Media(name="a", duration_seconds=x),
    ],
)
def test_nan_and_infinity_are_refused(make, number):
    with pytest.raises(ValidationError, match="finite"):
        make(number)


def test_numbers_of_numpy_become_plain_and_rounded():
    word = Word(word="a", start=np.float32(0.1), end=np.float64(1) / 3)
    assert (word.start, word.end) == (0.1, 0.333)
    assert type(word.start) is float
    assert verdict(np.float32(0.4)).score == 0.4


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: verdict(0.5, interval=(0.6, 1.0)), "does not hold the score"),
        (lambda: verdict(2.5, interval=(1.0, 3.5)), "leaves the range .* clip it"),
        (lambda: verdict(0.5, range=(1.0, -1.0)), "leaves the range"),
        (lambda: Word(word="so", start=2, end=1), "the word 'so' ends at 1.0 s, before it begins at 2.0 s"),
        (lambda: utterance(3, 2.0, 2.0), "u0003 ends at 2.0 s, not after its start"),
        (lambda: Reading(status="missing"), "missing needs a reason"),
        (lambda: Reading(status="unused"), "unused needs a reason"),
        (lambda: Reading(status="unused", reason="r", contribution=0.1), "cannot have contributed"),
        (lambda: Reading(status="missing", reason="r", alone=0.1), "cannot have contributed"),
        (lambda: SpeakerSentiment(mean=1, interval=(-1, 0)), "does not hold the mean"),
        (lambda: Stage(stage="media", status="failed", cause="c"), "needs a cause and a repair"),
        (lambda: utterance(0, 1.0, 2.0, id="u 1"), "pattern"),
        (
            lambda: utterance(
                0, 1.0, 2.0, words=(Word(word="a", start=1.5, end=1.6), Word(word="b", start=1.2, end=1.3))
            ),
            "not in order",
        ),
    ],
)
def test_parts_that_contradict_themselves_are_refused(make, says):
    with pytest.raises(ValidationError, match=says):
        make()


def test_words_without_a_plausible_time_may_be_anywhere():
    words = (Word(word="a", start=1.5, end=1.6), Word(word="b", start=0.2, end=0.3, aligned=False))
    assert utterance(0, 1.0, 2.0, words=words).words == words


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: result((utterance(0, 0, 5.002),), duration=5.0), "u0000 ends at 5.002 s, but the media ends at 5.0"),
        (
            lambda: result((utterance(0, 0, 1, words=(Word(word="a", start=0, end=9),)),), duration=5.0),
            "u0000 ends at 9.0 s",
        ),
        (lambda: result((utterance(0, 0, 1), utterance(0, 2, 3))), "come twice: .'u0000'"),
        (lambda: result((utterance(0, 2, 3), utterance(1, 0, 1))), "not in order of their start"),
        (lambda: result((utterance(0, 0, 1),), speakers=()), "spoken by 'S1', who is not among the speakers"),
        (lambda: result((utterance(0, 0, 1, voice={"jitter": 1.0}),)), "does not define: .'jitter'"),
        (lambda: result((utterance(0, 0, 1, context={"used": ["u0009"]}),)), "that are not there: .'u0009'"),
        (lambda: result((), status="partial"), "status is 'partial', but the failed stages are: none"),
        (
            lambda: result((), stages=(Stage(stage="face", status="failed", cause="c", repair="r"),)),
            "status is 'complete', but the failed stages are: face",
        ),
        (
            lambda: result(
                ordinary().utterances,
                speakers=tuple(s.model_copy(update={"counts": Counts()}) for s in ordinary().speakers),
            ),
            "the counts of S1 are",
        ),
        (lambda: result((), speakers=ordinary().speakers[:1] * 2), "a speaker comes twice"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(make, says):
    with pytest.raises(ValidationError, match=says):
        make()


def test_an_end_may_be_rounded_past_the_end_of_the_media():
    assert result((utterance(0, 0, 5.001),), duration=5.0).utterances[0].end == 5.001


def test_abstained_utterances_are_counted_apart():
    counts = Counts.of(ordinary().utterances)
    assert counts == Counts(positive=1, neutral=1, negative=2, abstained=1)
    assert [u.id for u in ordinary().utterances if u.needs_review] == ["u0002", "u0003"]


def test_names_that_are_no_utf8_can_be_written(tmp_path):
    media = Media(name="caf\udce9.mp4", notes=("caf\udce9",))
    saved = Analysis(result((), media=media)).save(tmp_path)
    assert Analysis.open(saved.folder).result.media.name.startswith("caf\N{REPLACEMENT CHARACTER}")


def test_a_result_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        ordinary().seed = 3


def test_another_schema_version_is_named():
    values = as_dict(ordinary()) | {"schema_version": 9}
    with pytest.raises(EvidenceError, match="here has schema version 9, and this mmmie reads version 1"):
        Result.from_json(json.dumps(values), "here")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema_version": 1}', "null", b"\xff\xfe"])
def test_what_is_no_result_is_refused_with_its_place(text):
    with pytest.raises(EvidenceError, match="here is not the result of an analysis"):
        Result.from_json(text, "here")


def test_a_folder_without_a_result_is_refused_with_the_nearest_name(tmp_path):
    Analysis(ordinary()).save(tmp_path / "interview.mmmie")
    with pytest.raises(EvidenceError, match=r"Did you mean 'interview\.mmmie'\?"):
        Analysis.open(tmp_path / "intervew.mmmie")
    with pytest.raises(EvidenceError, match="could not make the folder"):
        Analysis(ordinary()).save(tmp_path / "interview.mmmie" / "result.json" / "x")


def test_what_was_there_stays_when_writing_fails(tmp_path, monkeypatch):
    Analysis(ordinary()).save(tmp_path)
    before = (tmp_path / "result.json").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(EvidenceError, match="disk full"):
        Analysis(silent()).save(tmp_path)
    assert (tmp_path / "result.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_three_hours_are_a_few_megabytes():
    given = long()
    assert len(given.to_json()) < 6_000_000
    assert Result.from_json(given.to_json(), "here") == given


def test_the_summary_says_what_matters(tmp_path):
    text = str(Analysis(ordinary()).save(tmp_path))
    assert text.splitlines() == [
        "media    interview.mp4  0:12  1280x720 variable rate  no audio  rotation 0",
        "speech   6 utterances, 2 speakers (Ana 71 %, Ben 20 %)",
        "face     Ana linked 88 % of speech, Ben off camera",
        "verdict  Ana -0.87 [-1.37, -0.37]   0 positive / 0 neutral / 2 negative / 1 abstained   text 69 %  voice 31 %",
        "verdict  Ben +1.25 [+0.75, +1.75]   1 positive / 0 neutral / 0 negative / 0 abstained   text 69 %  voice 31 %",
        "weak     2 utterances to review",
        f"out      {tmp_path}/{{result.json}}",
    ]


def test_the_summary_of_a_failed_file_says_why():
    assert str(Analysis(unreadable())).splitlines() == [
        "media    photo.mp4",
        "failed   media: It is a JPEG image. Give a video or a recording.",
    ]
    assert "speech   none found" in str(Analysis(silent()))


def test_the_summary_of_hostile_names_steers_no_terminal():
    assert all(line.isprintable() for line in str(Analysis(hostile())).splitlines())


def test_the_frame_has_a_row_an_utterance_and_types():
    frame = Analysis(ordinary()).to_frame()
    assert list(frame["id"]) == [f"u000{n}" for n in range(6)]
    assert frame["score"].dtype == "float64"
    assert math.isnan(frame["score"][3])
    assert frame["abstain"].isna().tolist() == [False, False, False, True, False, False]
    assert frame["abstain"][2]
    assert frame["speaker"].isna().sum() == 1
    assert frame["voice_pitch_mean"].tolist() == [182.5] * 6
    assert frame["face_smile"].count() == 1
    assert frame.groupby("speaker_name")["text_contribution"].mean()["Ben"] == -0.9
    assert len(Analysis(silent()).to_frame()) == 0
    assert Analysis(silent()).to_frame().dtypes.equals(frame.dtypes)


def test_without_pandas_the_repair_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(Exception, match="pip install 'mmmie\\[video\\]'"):
        Analysis(ordinary()).to_frame()
