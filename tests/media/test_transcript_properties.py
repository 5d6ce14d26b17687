"""Transcripts that Hypothesis makes up: whatever the times and bytes, order and bounds hold, and nothing crashes."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_transcripts import SPEECH, _read, _said

from mmmie.errors import TranscriptError
from mmmie.media.transcripts import read_transcript

_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")), min_size=1, max_size=40
)
_TEXT = _TEXT.map(lambda text: " ".join(text.split())).filter(bool)
_CUES = st.lists(
    st.tuples(st.integers(0, 90_000), st.integers(-2000, 9000), _TEXT, st.sampled_from([None, "Ana", "Ben"])),
    min_size=1,
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cues=_CUES, duration=st.floats(100, 200))
def test_whatever_the_times_the_transcript_is_in_order_and_inside(
    tmp_path: Path, cues: list[tuple[int, int, str, str | None]], duration: float
) -> None:
    segments = [{"start": a / 1000, "end": (a + n) / 1000, "text": t, "speaker": s} for a, n, t, s in cues]
    transcript = _read(tmp_path, "t.json", json.dumps(segments), duration)
    read = transcript.segments
    assert all(0 <= s.start <= s.end <= duration for s in read)
    assert all(a.start <= b.start for a, b in pairwise(read))
    for speaker in ("Ana", "Ben", None):
        own = [s for s in read if s.speaker == speaker]
        assert all(a.end <= b.start + 1e-3 for a, b in pairwise(own))
    clean = sorted(segments, key=lambda s: s["start"])  # type: ignore[arg-type,return-value]
    if all(s["end"] > s["start"] for s in clean) and all(a["end"] <= b["start"] for a, b in pairwise(clean)):  # type: ignore[operator]
        assert [(s.start, s.end) for s in read] == [
            (s["start"], s["end"]) for s in clean
        ]  # nothing is changed needlessly


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(_TEXT.filter(lambda t: not set("<>&{:\u2060") & set(t) and "-->" not in t), min_size=1, max_size=8)
)
def test_what_webvtt_writes_is_read_back(tmp_path: Path, texts: list[str]) -> None:
    """Round trip through another library's writer."""
    webvtt = pytest.importorskip("webvtt")
    vtt = webvtt.WebVTT()
    for i, text in enumerate(texts):
        vtt.captions.append(webvtt.Caption(f"00:00:{2 * i:02}.000", f"00:00:{2 * i + 1:02}.500", text))
    for name, write in (("t.vtt", vtt.save), ("t.srt", vtt.save_as_srt)):
        path = tmp_path / name
        path.unlink(missing_ok=True)
        write(str(path))
        assert _said(read_transcript(path, 100)) == [(2.0 * i, 2.0 * i + 1.5, t) for i, t in enumerate(texts)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    suffix=st.sampled_from([".srt", ".vtt", ".json", ".txt", ".TextGrid"]),
    noise=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass")),
        st.lists(
            st.sampled_from(["1", "00:01,0 --> 00:02,0", "-->", "<v A>", "WEBVTT", "A: b", "", "\x00", "item [1]:"])
        )
        .map("\n".join)
        .map(str.encode),
    ),
)
def test_noise_is_read_or_refused_but_never_crashes(tmp_path: Path, suffix: str, noise: bytes) -> None:
    try:
        transcript = _read(tmp_path, f"t{suffix}", noise, 10.0, speech=SPEECH)
    except TranscriptError:
        return
    assert all(s.text.strip() and 0 <= s.start <= s.end <= 10 for s in transcript.segments)
