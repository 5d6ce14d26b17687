"""ELAN (EAF 3.0): for each speaker a tier of utterances, below it one of verdicts and one of words.

Characters that XML forbids become U+FFFD. The date is fixed, so that the file is a function of the result.
Source: Max Planck Institute for Psycholinguistics, EAF Annotation Format 3.0.
"""

import mimetypes
from itertools import count
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from mmmie.analysis.result import Result
from mmmie.evidence.predictions import replacing
from mmmie.export.plain import one_line, verdict
from mmmie.export.tiers import Span, Tier, speaker_tiers

_TYPES = {"utterance": None, "sentiment": "Symbolic_Association", "words": "Included_In"}
_CONSTRAINTS = {
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps are allowed",
}


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes the annotations and a link to the media, which ELAN looks for beside the folder of the result."""
    tiers = speaker_tiers(result)
    with replacing(path) as temporary:
        Xml.ElementTree(_document(result, tiers)).write(temporary, encoding="UTF-8", xml_declaration=True)
    return tuple(note for tier in tiers for note in tier.notes)


def _document(result: Result, tiers: tuple[Tier, ...]) -> Xml.Element:
    document = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "mmmie",
            "DATE": "1970-01-01T00:00:00Z",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = Xml.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    location = quote(result.media.path or f"../{result.media.name}")
    kind = mimetypes.guess_type(result.media.name)[0] or "unknown"
    Xml.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=location, RELATIVE_MEDIA_URL=location, MIME_TYPE=kind)
    slots = _Slots(Xml.SubElement(document, "TIME_ORDER"))
    ids = (f"a{number}" for number in count(1))
    for tier in tiers:
        annotations = [(next(ids), spoken) for spoken in tier.spoken]
        above = _tier(document, tier.name, "utterance", None)
        for name, spoken in annotations:
            _aligned(above, name, slots.of(spoken.span), one_line(spoken.utterance.text))
        below = _tier(document, tier.sentiment_name, "sentiment", tier.name)
        for name, spoken in annotations:
            if spoken.utterance.sentiment:
                _referring(below, next(ids), name, verdict(spoken.utterance))
        below = _tier(document, tier.words_name, "words", tier.name)
        for _, spoken in annotations:
            for word in spoken.words:
                _aligned(below, next(ids), slots.of(word.span), word.word)
    slots.put_in_order()
    for name, constraint in _TYPES.items():
        about = {"LINGUISTIC_TYPE_ID": name, "TIME_ALIGNABLE": str(constraint != "Symbolic_Association").lower()}
        about |= {"GRAPHIC_REFERENCES": "false"} | ({"CONSTRAINTS": constraint} if constraint else {})
        Xml.SubElement(document, "LINGUISTIC_TYPE", about)
    for name, description in _CONSTRAINTS.items():
        Xml.SubElement(document, "CONSTRAINT", STEREOTYPE=name, DESCRIPTION=description)
    return document


class _Slots:
    """The time slots, of which each annotation has two of its own; they stand in the file in the order of time."""

    def __init__(self, order: Xml.Element) -> None:
        self._order = order

    def of(self, span: Span) -> tuple[str, str]:
        first = len(self._order) + 1
        for number, value in enumerate(span, start=first):
            Xml.SubElement(self._order, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(value))
        return f"ts{first}", f"ts{first + 1}"

    def put_in_order(self) -> None:
        self._order[:] = sorted(self._order, key=lambda slot: int(slot.attrib["TIME_VALUE"]))


def _tier(document: Xml.Element, name: str, kind: str, parent: str | None) -> Xml.Element:
    about = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": kind} | ({"PARENT_REF": parent} if parent else {})
    return Xml.SubElement(document, "TIER", about)


def _aligned(tier: Xml.Element, name: str, slots: tuple[str, str], value: str) -> None:
    about = {"ANNOTATION_ID": name, "TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]}
    annotation = Xml.SubElement(Xml.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", about)
    Xml.SubElement(annotation, "ANNOTATION_VALUE").text = value


def _referring(tier: Xml.Element, name: str, to: str, value: str) -> None:
    about = {"ANNOTATION_ID": name, "ANNOTATION_REF": to}
    annotation = Xml.SubElement(Xml.SubElement(tier, "ANNOTATION"), "REF_ANNOTATION", about)
    Xml.SubElement(annotation, "ANNOTATION_VALUE").text = value
