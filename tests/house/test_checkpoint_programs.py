"""The programs that measure what the shipped checkpoint is worth run on corpora made here, and say what they should."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from mmmie.analysis.request import PACKAGED_RUN
from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.features import face
from mmmie.features.prosody import COLUMNS
from mmmie.features.voice import packaged_info

PROGRAMS = Path(__file__).resolve().parents[2] / "benchmarks" / "checkpoint"


def run(program: str, *arguments: object) -> str:
    command = [sys.executable, str(PROGRAMS / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_voice_is_worth_on_sets_left_out(tmp_path: Path) -> None:
    """Prosody that says what the label is in every set, and other columns that say it in the acted ones alone."""
    chance = np.random.default_rng(0)
    info = FeatureInfo(dim=4 + len(COLUMNS), level="utterance", extractor="made", version="1")
    with CorpusWriter(tmp_path / "voice.corpus", CorpusInfo(name="voices", features={"audio": info})) as writer:
        for name in ("ased", "emodb", "nemo", "ravdess", "urdu"):
            for n in range(60):
                label = float(chance.choice([-2.0, 0.0, 2.0]))
                vector = chance.normal(size=info.dim).astype(np.float32)
                vector[-1] += label
                vector[0] += label if name != "urdu" else -label
                row = Utterance(f"{name}{n}", 0, "train" if n else "valid", label, speaker=f"{name}-{n % 8}")
                writer.add(row, {"audio": Frames(vector[None])})
    said = run("voice.py", tmp_path / "voice.corpus")
    assert "300 recordings: {'ased': 60" in said
    rows = {tuple(map(float, line.split()[:2])): float(line.split()[6]) for line in said.splitlines()[2:17]}
    assert rows[10.0, 6.0] > rows[10.0, 1.0] + 0.1, "prosody carries over to the set that never trains"
    chosen = re.search(r"^chosen: penalty ([\d.]+), prosody (\d+): urdu (-?[\d.]+)$", said, re.MULTILINE)
    assert chosen
    assert float(chosen.group(3)) == rows[float(chosen.group(1)), float(chosen.group(2))]
    assert len(re.findall(r"^half of urdu's speakers, .*: r -?\d\.\d{3} ± \d\.\d{3}$", said, re.MULTILINE)) == 2


def test_what_each_branch_is_worth_on_valid(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    features = {"audio": packaged_info(), "vision": face.info()}
    kinds = {
        "CMU-MOSI:{}": ("text", "talk"),
        "": ("text", "video"),
        "expressive speech:{}": ("audio", "audio/sound"),
        "expressive faces:{}": ("vision", "faces/lfw/face"),
        "others:{}": ("vision", "faces/fer2013/face"),
    }
    with CorpusWriter(tmp_path / "all.corpus", CorpusInfo(name="all", features=features)) as writer:
        for speaker, (modality, video) in kinds.items():
            for n in range(32):
                text = chance.choice(["a wonderful film", "an awful film"]) if modality == "text" else None
                sign = 1 if text == "a wonderful film" else -1
                label = 2.0 * sign if text else float(chance.choice([-2.0, 2.0]))
                split = "valid" if n % 4 else "train"
                row = Utterance(
                    f"{speaker.split(':')[0]}{video}{n // 2 * 2 + n % 2}", 0, split, label,
                    speaker=speaker.format(n // 2) or None, text=text,
                )  # fmt: skip
                wide = {m: chance.normal(size=f.dim).astype(np.float32) for m, f in features.items() if m == modality}
                writer.add(row, {m: Frames(vector[None]) for m, vector in wide.items()})
    said = run("branches.py", PACKAGED_RUN, tmp_path / "all.corpus")
    rows = {line[:18].strip(): line[18:].split() for line in said.splitlines()[1:7]}
    assert {name: row[0] for name, row in rows.items()} == {
        "words, MOSI": "24", "words, MOSEI": "24", "voice, five sets": "24", "face, fer2013": "24", "face, lfw": "24",
        "all": "120",
    }  # fmt: skip
    assert all(float(row[2]) == 2 for row in rows.values())
    assert float(rows["words, MOSI"][3]) > 0.9, "these words are read for what they say"
    assert float(rows["words, MOSI"][1]) < 1.5
    assert all(0 <= float(row[4]) <= 1 for row in rows.values())
    assert re.search(r"^words: R\^2 [01]\.\d{3}, slope \d\.\d{3}$", said, re.MULTILINE)
