"""What `mmmie analyze` leaves behind, read back: by Python, pandas, ELAN's and Praat's formats, the page's script."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import mmmie
from mmmie.analysis.analysis import Analysis
from mmmie.analysis.result import Result
from mmmie.cli.main import main
from mmmie.report.page import write
from odd_files import talking

pandas = pytest.importorskip("pandas")
pympi = pytest.importorskip("pympi")
praatio_textgrid = pytest.importorskip("praatio.textgrid")

READ_PAGE = Path(__file__).resolve().parents[1] / "report" / "read_page.js"
CUES = (
    ("Ana", 0.5, 2.5, "What a wonderful and brilliant film."),
    ("Ben", 3.0, 5.0, "But the ending was terrible."),
    ("Ana", 6.0, 8.0, "I loved it, and I would see it again."),
    ("Ben", 9.5, 11.0, "<b>Never</b> -> & never again."),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a video with a transcript, read for its words."""
    place = tmp_path_factory.mktemp("outputs")
    segments = [{"speaker": who, "start": a, "end": b, "text": text} for who, a, b, text in CUES]
    (place / "talk.json").write_text(json.dumps(segments))
    arguments = [str(talking(place / "talk.mp4", 12.0)), "--transcript", str(place / "talk.json"), "--out", str(place)]
    assert main(["analyze", *arguments, "--modalities", "text", "--offline", "--quiet"]) == 0
    return place / "talk.mmmie"


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return Analysis.open(folder).result


def test_python_reads_the_result(folder: Path) -> None:
    analysis = mmmie.Analysis.open(folder)
    assert [(u.speaker, u.start, u.end, u.text) for u in analysis.utterances] == list(CUES)
    assert {s.name: s.counts for s in analysis.speakers}.keys() == {"Ana", "Ben"}
    frame = analysis.to_frame()
    assert list(frame["text"]) == [text for *_, text in CUES]


def test_pandas_reads_the_tables(folder: Path, result: Result) -> None:
    frame = mmmie.Analysis.open(folder).to_frame()
    table = pandas.read_csv(folder / "utterances.csv", keep_default_na=False, na_values=[""])
    parquet = pandas.read_parquet(folder / "utterances.parquet")
    described = [c["name"] for c in json.loads((folder / "columns.json").read_text())["columns"]]
    assert list(table.columns) == list(parquet.columns) == list(frame.columns) == described
    scores = [u.sentiment.score for u in result.utterances if u.sentiment]
    for found in (table, parquet, frame):
        assert list(found["text"]) == [u.text for u in result.utterances]
        assert list(found["score"]) == pytest.approx(scores)
        assert list(found["start_seconds"]) == [u.start for u in result.utterances]


def test_elan_and_praat_hold_a_tier_a_speaker_with_its_verdicts(folder: Path, result: Result) -> None:
    elan = pympi.Elan.Eaf(str(folder / "utterances.eaf"))
    grid = praatio_textgrid.openTextgrid(str(folder / "utterances.TextGrid"), includeEmptyIntervals=False)
    assert elan.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "../talk.mp4"
    for speaker in ("Ana", "Ben"):
        expected = [(round(1000 * a), round(1000 * b), text) for who, a, b, text in CUES if who == speaker]
        assert elan.get_annotation_data_for_tier(speaker) == expected
        came = [(round(1000 * e.start), round(1000 * e.end), e.label) for e in grid.getTier(speaker).entries]
        assert came == expected
        scores = [f"{u.sentiment.score:+.2f}" for u in result.utterances if u.speaker == speaker and u.sentiment]
        verdicts = elan.get_ref_annotation_data_for_tier(f"{speaker} sentiment")
        assert [verdict[2].split()[0] for verdict in verdicts] == scores
        assert [e.label.split()[0] for e in grid.getTier(f"{speaker} sentiment").entries] == scores


class Links(HTMLParser):
    """Everything in a page that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fetching = ("src", "href", "srcset", "poster", "data", "action", "background")
        self.found += [value or "" for name, value in attrs if name in fetching]


def test_the_page_asks_nothing_of_any_server(folder: Path) -> None:
    text = (folder / "report.html").read_text("utf-8")
    links = Links(text).found
    assert "../talk.mp4" in links
    assert not [link for link in links if re.match(r"\s*(//|https?:|ftp:|file:)", link, re.IGNORECASE)]
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\(", text)


def shown_by(page: Path) -> dict[str, str]:
    """The text of each part of a page after its script ran."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed, which runs the page's script here")
    done = subprocess.run([node, str(READ_PAGE), str(page)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return {name: text.replace("\N{MINUS SIGN}", "-") for name, text in json.loads(done.stdout).items()}


def test_what_does_not_hold_is_said_by_terminal_and_page(result: Result, tmp_path: Path) -> None:
    assert result.limits == ()
    limited = result.model_copy(update={"limits": ("4 of 4 verdicts rest on voice alone.",)})
    assert "limit    4 of 4 verdicts rest on voice alone." in str(Analysis(limited)).splitlines()
    write(limited, tmp_path / "report.html")
    assert "4 of 4 verdicts rest on voice alone." in shown_by(tmp_path / "report.html")["view-summary"]


def test_the_page_shows_all_of_the_result(folder: Path, result: Result) -> None:
    shown = shown_by(folder / "report.html")
    assert "2 speakers" in shown["facts"]
    transcript = shown["transcript"]
    for u in result.utterances:
        assert u.text in transcript
        assert u.sentiment is not None
        verdict = u.sentiment
        word = "abstains" if verdict.abstain else verdict.label
        assert f"{verdict.score:+.2f} {word} [{verdict.interval[0]:+.2f}, {verdict.interval[1]:+.2f}]" in transcript
        contribution = u.modalities["text"].contribution
        assert contribution is not None
        assert f"{contribution:+.2f}" in transcript
    assert "missing: not asked for" in transcript
    summary = shown["view-summary"]
    for speaker in result.speakers:
        assert speaker.name in summary
        assert speaker.sentiment is not None
        assert f"{speaker.sentiment.mean:+.2f}" in summary
    assert all(f"0:0{a} to 0:{b:02d}" in summary for a, b in ((0, 3), (3, 6), (6, 9), (9, 12)))
    about = shown["view-about"]
    assert result.model is not None
    for told in (result.model.card, result.model.licence, *result.meanings.values()):
        assert told in about
    assert "non-commercial" in result.model.licence
    limits = (folder / "report.html").read_text("utf-8").split("<h2>Limits</h2>")[1].split("</ul>")[0]
    assert limits.count("<li>") >= 4
