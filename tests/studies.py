"""A folder with a tiny corpus, a recipe for it and a study of it, as users would have them."""

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmie.experiments.plan import Plan, plan_study
from mmmie.experiments.recipe_file import write_recipe
from tiny_corpora import make_recipe, write_corpus, write_encoder

STUDY = """
name = "tiny"
question = "Does context help?"
recipe = "../recipe.toml"
corpora = ["tiny.corpus"]
seeds = 2

[arms.full]
[arms.no-context.set]
"model.context" = 0
"""


@dataclass(frozen=True)
class Place:
    """Where commands run; paths of the study are relative to it."""

    folder: Path

    def study(self, text: str = STUDY) -> str:
        """Writes `studies/study.toml` and gives its path."""
        (self.folder / "studies").mkdir(exist_ok=True)
        (self.folder / "studies" / "study.toml").write_text(text)
        return "studies/study.toml"

    def recipe(self, name: str, corpus: str = "tiny.corpus", **sections: Any) -> None:
        """Writes NAME.toml, a small recipe of a corpus."""
        recipe = make_recipe(Path(corpus), name=name, text={"encoder": "encoder"}, **sections)
        write_recipe(recipe, self.folder / f"{name}.toml", "", self.folder)

    def plan(self, text: str = STUDY) -> Plan:
        """In-process; the working directory must be the folder."""
        return plan_study(self.study(text), "experiments")

    def start(self, *arguments: str, verb: str = "experiment") -> "subprocess.Popen[str]":
        # A shell that runs the tests in the background has interrupts ignored.
        program = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); from mmmie.cli.main import run; run()"
        command = [sys.executable, "-c", program, verb, *arguments]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str, verb: str = "experiment") -> "subprocess.CompletedProcess[str]":
        with self.start(*arguments, verb=verb) as process:
            stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def states(self) -> dict[str, str]:
        """Of the rows of status.csv, by arm/seed."""
        with open(self.folder / "experiments" / "tiny" / "status.csv", newline="", encoding="utf-8") as file:
            return {f"{row['arm']}/{row['seed']}": row["state"] for row in csv.DictReader(file)}


def make_place(folder: Path, **corpus: Any) -> Place:
    place = Place(folder)
    write_corpus(folder / "tiny.corpus", **corpus)
    write_encoder(folder / "encoder", layers=1)
    place.recipe("recipe")
    return place
