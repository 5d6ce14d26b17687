"""`python kill_in_stage.py STAGE both|worker ANALYZE-ARGUMENTS`: kills the analysis by SIGKILL amid a stage.

What the stage writes is there by then, under its temporary name. The stage `report` is the writing of the page; `any`
is whichever stage comes first. Workers import this file as they are spawned, so that it acts in them.
"""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from mmmie.analysis.stages import StageStore
from mmmie.report import page

stage, whom = sys.argv[1:3]
write_stage = StageStore._write


def kill() -> NoReturn:
    if whom == "both":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives SIGKILL")


def write_and_die(self, place, write):
    def half(folder: Path) -> None:
        write(folder)
        kill()

    write_stage(self, place, half if stage in (place.name.split("-")[0], "any") else write)


def half_a_page(result, path) -> None:
    path.with_name(f".{path.name}.{os.getpid()}").write_text("<!doctype")
    kill()


StageStore._write = write_and_die
if stage == "report":
    page.write = half_a_page

if __name__ == "__main__":
    from mmmie.cli.main import main

    sys.exit(main(["analyze", *sys.argv[3:]]))
