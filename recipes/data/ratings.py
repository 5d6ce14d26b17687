"""Makes the table that recipes/data/ratings.toml imports, out of the source archive of vaderSentiment 3.3.2.

pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
python recipes/data/ratings.py vaderSentiment-3.3.2.tar.gz ratings.csv
mmmie import recipes/data/ratings.toml . --out ratings.corpus
"""

import csv
import hashlib
import html
import io
import random
import sys
import tarfile
from pathlib import Path

SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INSIDE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SETS = {
    "movie": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "tweet": "tweets",
    "editorial": "nytEditorialSnippets",
}
VALID_SHARE = 0.1


def rows(archive: bytes) -> list[tuple[str, int, str, float]]:
    """(document, sentence, text, mean rating) of the four sets."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as outer:
        inner = outer.extractfile(INSIDE).read()  # type: ignore[union-attr]
    with tarfile.open(fileobj=io.BytesIO(inner)) as files:
        for name, file in SETS.items():
            text = files.extractfile(f"hutto_ICWSM_2014/{file}_GroundTruth.txt").read().decode("utf-8")  # type: ignore[union-attr]
            for line in text.splitlines():
                key, rating, sentence = line.split("\t", 2)
                document, _, number = key.partition("_")
                found.append((f"{name}-{document}", int(number or 1), html.unescape(sentence).strip(), float(rating)))
    return [row for row in found if row[2]]


def main(source: str, out: str) -> None:
    archive = Path(source).read_bytes()
    if hashlib.sha256(archive).hexdigest() != SHA256:
        sys.exit(f"{source} is not the source archive of vaderSentiment 3.3.2: its SHA-256 is another than {SHA256}")
    table = rows(archive)
    documents = sorted({document for document, *_ in table})
    random.Random(0).shuffle(documents)
    valid = set(documents[: round(VALID_SHARE * len(documents))])
    with Path(out).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "document", "sentence", "text", "rating"])
        for document, number, text, rating in table:
            writer.writerow(["valid" if document in valid else "train", document, number, text, rating])


if __name__ == "__main__":
    main(*sys.argv[1:])
