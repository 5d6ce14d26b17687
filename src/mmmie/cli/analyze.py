"""`mmmie analyze VIDEO...`."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    inputs: Annotated[list[str], typer.Argument(help="Videos, recordings, folders, patterns, or a list.txt of them.")],
    out: Annotated[Path, typer.Option(help="Folder of the results: talk.mp4 gets OUT/talk.mmmie.")] = Path(),
    transcript: Annotated[
        Path | None,
        typer.Option(help="Words, in place of recognition: .srt .vtt .json .txt .TextGrid, or a folder of them."),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Spoken language, as in en.")] = None,
    modalities: Annotated[str, typer.Option(help="What is read, as in text,audio.")] = "text,audio,vision",
    speakers: Annotated[str, typer.Option(help="Names, as in S1=Ana,S2=Ben.")] = "",
    num_speakers: Annotated[int | None, typer.Option(help="How many speakers there are, where known.", min=1)] = None,
    model: Annotated[Path | None, typer.Option(help="A run, in place of the packaged checkpoint.")] = None,
    recogniser: Annotated[str, typer.Option(help="A Whisper model for faster-whisper, by name or folder.")] = "tiny.en",
    audio_stream: Annotated[int | None, typer.Option(help="Which audio stream, by its index in the file.")] = None,
    jobs: Annotated[int, typer.Option(help="Files at once.", min=1)] = 1,
    offline: Annotated[bool, typer.Option("--offline", help="Use no network, whatever the cache lacks.")] = False,
    time_limit: Annotated[float, typer.Option(help="Seconds after which a silent stage is stopped.", min=1)] = 900.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> int:
    """Analyze videos: a sentiment timeline from words, voice and face, with intervals, as files and a page.

    What was done before is not done again. Exit status: 0 all complete, 1 some not, 2 a mistake to mend.
    """
    from mmmie.analysis.request import Request
    from mmmie.study.batch import analyze_all
    from mmmie.study.inputs import find_inputs
    from mmmie.study.progress import ShownProgress
    from mmmie.study.table import write_study
    from mmmie.study.time_left import stages_of

    if offline:
        import os

        os.environ["HF_HUB_OFFLINE"] = "1"
    items = find_inputs(inputs, out)
    request = Request.from_words(
        modalities=modalities,
        names=speakers,
        language=language,
        recogniser=recogniser,
        audio_stream=audio_stream,
        num_speakers=num_speakers,
        model=model,
        transcript=transcript,
    )
    try:
        with ShownProgress(items, quiet, jobs=jobs, stages=stages_of(request)) as shown:
            analyses = analyze_all(items, request, jobs, time_limit, shown)
    except KeyboardInterrupt:
        typer.echo("\nstopped; finished stages are kept. Go on with the same command.", err=True)
        return 130
    for analysis in analyses if len(items) <= 3 else []:
        typer.echo(str(analysis))
    if len(items) > 1:
        study = write_study([(a.folder or out, a.result) for a in analyses], out)
        complete = sum(a.result.status == "complete" for a in analyses)
        typer.echo(f"{complete} of {len(analyses)} complete  {study}")
    return int(any(a.result.status != "complete" for a in analyses))
