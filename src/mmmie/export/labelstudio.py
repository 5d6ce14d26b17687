"""Label Studio: one task with the utterances as predictions, to be corrected there.

Make a project with `LABELLING_CONFIG` (it travels in the task's `meta` too) and import the file. Label Studio opens the
media by a URL of its own storage: set `data.audio` to where you serve the file.
"""

import json
from pathlib import Path
from typing import Any

from mmmie.analysis.result import Result, Utterance
from mmmie.evidence.predictions import replacing
from mmmie.export.plain import speaker_names

LABELLING_CONFIG = """<View>
  <Labels name="sentiment" toName="audio">
    <Label value="negative"/><Label value="neutral"/><Label value="positive"/><Label value="undecided"/>
  </Labels>
  <Audio name="audio" value="$audio"/>
  <TextArea name="transcription" toName="audio" perRegion="true" editable="true"/>
  <TextArea name="speaker" toName="audio" perRegion="true" editable="true"/>
  <Number name="score" toName="audio" perRegion="true"/>
</View>
"""


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes a list with one task; without a verdict, or where the model abstains, a region is `undecided`."""
    names = speaker_names(result)
    version = result.model.name if result.model else "none"
    regions = [part for u in result.utterances for part in _region(u, names[u.speaker], result.media.duration_seconds)]
    task = {
        "data": {"audio": result.media.path or f"../{result.media.name}", "sha256": result.media.sha256},
        "meta": {"labelling_config": LABELLING_CONFIG, "schema_version": result.schema_version},
        "predictions": [{"model_version": version, "result": regions}],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps([task], indent=1, ensure_ascii=False) + "\n", "utf-8", newline="\n")
    return ()


def _region(utterance: Utterance, speaker: str, duration_seconds: float | None) -> list[dict[str, Any]]:
    """The parts of one region: Label Studio knows them as one by their common id."""
    where = {"start": utterance.start, "end": utterance.end, "channel": 0}
    same = {"id": utterance.id, "to_name": "audio", "original_length": duration_seconds}

    def part(name: str, kind: str, **value: Any) -> dict[str, Any]:
        return {**same, "from_name": name, "type": kind, "value": {**where, **value}}

    label = "undecided" if utterance.sentiment is None or utterance.needs_review else utterance.sentiment.label
    parts = [part("sentiment", "labels", labels=[label]), part("transcription", "textarea", text=[utterance.text])]
    if utterance.speaker is not None:
        parts.append(part("speaker", "textarea", text=[speaker]))
    if utterance.sentiment is not None:
        parts.append(part("score", "number", number=utterance.sentiment.score))
    return parts
