"""The corpus of rated sentences that comes with the package, and the program that its table is made by."""

import csv
import hashlib
import io
import runpy
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mmmie.corpus.store import PACKAGED, Corpus

PROGRAM = Path(__file__).resolve().parents[2] / "recipes" / "data" / "ratings.py"


def test_rated_sentences_open_by_name():
    corpus = Corpus.open("ratings")
    parts = corpus.training()
    assert (len(parts.train), len(parts.valid)) == (21368, 2335)
    assert not set(parts.train.videos) & set(parts.valid.videos)
    assert (corpus.info.label_min, corpus.info.label_max) == (-4, 4)
    assert all(parts.train.texts)
    by_text = dict(zip(parts.train.texts, parts.train.labels, strict=True))
    assert by_text["Effective but too tepid biopic"] == np.float32(-0.6)


def test_its_licence_lies_beside_it():
    assert "Permission is hereby granted" in (PACKAGED["ratings"] / "LICENSE.txt").read_text()
    assert Corpus.open("ratings").info.licence.startswith("MIT")


def archive(sets: dict[str, str]) -> bytes:
    def tar(files: dict[str, bytes], mode: str) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as out:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                out.addfile(entry, io.BytesIO(data))
        return stream.getvalue()

    inner = tar({f"hutto_ICWSM_2014/{name}_GroundTruth.txt": text.encode() for name, text in sets.items()}, "w:gz")
    return tar({"vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": inner}, "w:gz")


def test_the_table_is_made_from_the_archive(tmp_path, monkeypatch):
    program = runpy.run_path(str(PROGRAM))
    data = archive(
        {
            "movieReviewSnippets": "1\t2.25\tGood, &amp; short\r\n2\t-3\tBad\r\n",
            "amazonReviewSnippets": "7_1\t.5\tFine\r\n7_2\t0\tIt is a\ttable\r\n",
            "tweets": "1\t1\tYay\r\n2\t0\t \r\n",
            "nytEditorialSnippets": "3_4\t-1.5\tSo it goes\r\n",
        }
    )
    source, out = tmp_path / "source.tar.gz", tmp_path / "ratings.csv"
    source.write_bytes(data)
    with pytest.raises(SystemExit, match="is not the source archive"):
        program["main"](str(source), str(out))
    assert not out.exists()
    monkeypatch.setitem(program["main"].__globals__, "SHA256", hashlib.sha256(data).hexdigest())
    program["main"](str(source), str(out))
    with out.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(r["document"], r["sentence"], r["text"], float(r["rating"])) for r in table] == [
        ("movie-1", "1", "Good, & short", 2.25),
        ("movie-2", "1", "Bad", -3),
        ("product-7", "1", "Fine", 0.5),
        ("product-7", "2", "It is a\ttable", 0),
        ("tweet-1", "1", "Yay", 1),
        ("editorial-3", "4", "So it goes", -1.5),
    ]
    assert len({r["split"] for r in table if r["document"] == "product-7"}) == 1
