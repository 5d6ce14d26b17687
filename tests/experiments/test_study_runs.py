"""Studies through the real command: each run once, whatever is killed, and the good runs kept."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest

from mmmie.corpus.resplit import ResplitSettings, resplit
from mmmie.corpus.store import Corpus
from mmmie.evidence.verify import verify
from mmmie.experiments import running
from mmmie.experiments.plan import plan_study
from mmmie.experiments.results import collect
from mmmie.learning.run import Run
from studies import STUDY, Place, make_place
from tiny_corpora import write_corpus

VIDEOS = {"train": 8, "valid": 4, "test": 6}
SLOW_EPOCHS = 80
SLOW = f"[arms.slow.set]\ntraining = {{epochs = {SLOW_EPOCHS}, patience = {SLOW_EPOCHS}}}\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path, videos=VIDEOS)


def made(folder: Path) -> dict[str, int]:
    """When the files of runs were written, apart from those of the study itself."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.glob("*/*/*/**/*") if p.is_file()}


def workers_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except (OSError, IndexError, ValueError):
            continue
    return found


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except OSError:
        return False


def wait_until(condition, seconds=300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def epochs_of(run: Path) -> list[dict[str, object]]:
    """The epochs written, without their time: one that is written but not yet resumable is trained again."""
    file = run / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    epochs = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in epochs]


def test_a_study_runs_once_and_compares(place, monkeypatch):
    write_corpus(place.folder / "away.corpus", {"test": 4}, seed=5)
    study = place.study(STUDY.replace("seeds = 2", "seeds = 2\ntest_on = ['away.corpus']"))
    before = place.run(study, "--check")
    assert before.returncode == 0, before.stderr
    assert "4 runs, 0 done, 4 to do" in before.stdout
    assert not (place.folder / "experiments").exists()

    done = place.run(study, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    folder = place.folder / "experiments" / "tiny"
    assert set(place.states().values()) == {"done"}
    assert len(done.stderr.strip().splitlines()) == 4  # a plain line a run where there is no terminal
    assert "no-context" in done.stdout
    assert {"table.md", "table.csv", "table.tex", "study.json", "forest.png", "forest.svg", "status.csv"} <= {
        path.name for path in folder.iterdir()
    }
    panels = json.loads((folder / "study.json").read_text())["panels"]
    assert [(p["trained_on"], p["tested_on"]) for p in panels] == [("tiny", "tiny"), ("tiny", "away")]
    assert [arm["seeds"] for panel in panels for arm in panel["arms"]] == [2] * 4
    assert not [arm["missing"] for panel in panels for arm in panel["arms"] if arm["missing"]]
    monkeypatch.chdir(place.folder)  # the recipe names its encoder from here
    assert verify(Run.open(folder / "tiny" / "full" / "0"), deep=True).ok
    assert len(list((folder / "tiny" / "full" / "0" / "on").iterdir())) == 1
    openings = (place.folder / "tiny.corpus" / "test_openings.jsonl").read_text().splitlines()
    assert len(openings) == 4  # one for each run

    times = made(folder)
    again = place.run(study, "--jobs", "2")
    assert again.returncode == 0, again.stderr
    assert made(folder) == times
    assert again.stdout == done.stdout
    assert "4 done, 0 to do" in place.run(study, "--check").stdout


def test_folds_are_compared_as_one(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    for fold in range(3):
        settings = ResplitSettings(folds=3, fold=fold, include_test=True)
        resplit(Corpus.open("tiny.corpus"), f"fold-{fold}.corpus", settings)
    corpora = ", ".join(f"'fold-{fold}.corpus'" for fold in range(3))
    study = STUDY.replace('corpora = ["tiny.corpus"]', f"corpora = [{corpora}]\nfolds = true").replace("= 2", "= 1", 1)
    done = place.run(place.study(study))
    assert done.returncode == 0, done.stderr
    pooled, *folds = collect(place.plan(study), draws=200)
    assert pooled.title == "3 folds pooled"
    assert pooled.comparison.num_videos == sum(VIDEOS.values()) == sum(p.comparison.num_videos for p in folds)
    errors = [arm.summary.runs[0].mae for arm in (f.arms[1] for f in folds)]
    assert min(errors) <= pooled.arms[1].summary.runs[0].mae <= max(errors)
    (place.folder / "experiments" / "tiny" / "fold-2" / "no-context" / "0" / "evaluation.json").unlink()
    lacking = collect(place.plan(study), draws=200)[0]
    assert lacking.arms[1].missing == (0,)
    assert lacking.comparison is None


def test_one_that_fails_costs_no_other_and_is_tried_again(place):
    study = place.study(STUDY.replace("seeds = 2", "seeds = 1") + "[arms.wild.set]\ntraining.learning_rate = 1e30\n")
    done = place.run(study)
    assert done.returncode == 1, done.stderr
    assert "1 of 3 runs failed" in done.stderr
    assert place.states() == {"full/0": "done", "no-context/0": "done", "wild/0": "failed"}
    with open(place.folder / "experiments/tiny/status.csv", newline="") as file:
        errors = {row["arm"]: row["error"] for row in csv.DictReader(file)}
    assert "epoch" in errors["wild"]
    assert not errors["full"]
    assert errors["wild"] in (place.folder / "experiments/tiny/tiny/wild/0.error.txt").read_text()
    assert "Missing runs (arm: seeds): wild: 0." in done.stdout
    assert "no-context" in done.stdout

    times = made(place.folder / "experiments" / "tiny" / "tiny" / "full")
    results = place.run(study, "--results")
    assert results.returncode == 0
    assert "Missing runs (arm: seeds): wild: 0." in results.stdout

    files = {p.name: p.stat().st_mtime_ns for p in (place.folder / "experiments" / "tiny").iterdir()}
    with running.only_one(plan_study(place.folder / study, place.folder / "experiments")):  # as one that trains
        assert place.run(study).returncode == 2
        reading = place.run(study, "--results")
    assert reading.returncode == 0, reading.stderr
    assert "2 of 3 runs finished; another command is at work" in reading.stdout
    assert set(results.stdout.splitlines()[1:-1]) <= {f"  {line}" for line in reading.stdout.splitlines()}
    assert {p.name: p.stat().st_mtime_ns for p in (place.folder / "experiments" / "tiny").iterdir()} == {
        **files,
        ".lock": (place.folder / "experiments" / "tiny" / ".lock").stat().st_mtime_ns,
    }
    assert place.run(study).returncode == 1
    assert made(place.folder / "experiments" / "tiny" / "tiny" / "full") == times


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_parent_lose_nothing(place):
    study = place.study(STUDY.replace("seeds = 2", "seeds = 1") + SLOW)
    slow = place.folder / "experiments" / "tiny" / "tiny" / "slow" / "0"

    with place.start(study, "--jobs", "1") as parent:  # a worker that dies is a row
        wait_until(lambda: len(epochs_of(slow)) > 5)
        (worker,) = workers_of(parent.pid)
        os.kill(worker, signal.SIGKILL)
        assert parent.wait(300) == 1
    assert place.states() == {"full/0": "done", "no-context/0": "done", "slow/0": "failed"}
    assert "SIGKILL" in (place.folder / "experiments/tiny/status.csv").read_text()
    kept = epochs_of(slow)
    assert 5 < len(kept) < SLOW_EPOCHS
    times = {arm: made(place.folder / "experiments" / "tiny" / "tiny" / arm) for arm in ("full", "no-context")}

    with place.start(study, "--jobs", "1") as parent:  # its workers end with it, and nobody trains a run twice
        wait_until(lambda: len(epochs_of(slow)) > len(kept) + 2)
        (worker,) = workers_of(parent.pid)
        refused = place.run(study)
        assert refused.returncode == 2
        assert "another command is at work" in refused.stderr
        parent.kill()
    wait_until(lambda: not is_alive(worker), 60)
    assert epochs_of(slow)[: len(kept)] == kept

    done = place.run(study, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert len(epochs_of(slow)) == SLOW_EPOCHS
    assert epochs_of(slow)[: len(kept)] == kept
    assert set(place.states().values()) == {"done"}
    for arm, before in times.items():
        assert made(place.folder / "experiments" / "tiny" / "tiny" / arm) == before


def test_an_interrupt_stops_cleanly(place):
    study = place.study(STUDY.replace("seeds = 2", "seeds = 1") + SLOW)
    slow = place.folder / "experiments" / "tiny" / "tiny" / "slow" / "0"
    with place.start(study, "--arms", "slow", "--jobs", "1") as parent:
        wait_until(lambda: len(epochs_of(slow)) > 2)
        workers = workers_of(parent.pid)
        parent.send_signal(signal.SIGINT)
        _, stderr = parent.communicate(timeout=120)
    assert parent.returncode == 130
    assert "Go on with the same command" in stderr
    assert "Traceback" not in stderr
    assert not any(map(is_alive, workers))
    assert place.states() == {"full/0": "waiting", "no-context/0": "waiting", "slow/0": "interrupted"}


def test_what_arms_start_from_is_trained_once(place):
    place.recipe("before", training={"epochs": 2})
    place.recipe("after", start_from="before.toml")
    text = STUDY + "[arms.after]\nrecipe = '../after.toml'\n[arms.again]\nrecipe = '../after.toml'\n"
    done = place.run(place.study(text), "--seeds", "1", "--arms", "after,again", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    states = place.states()
    assert {arm for arm, state in states.items() if state == "done"} == {"before/0", "after/0", "again/0"}
    assert {arm for arm, state in states.items() if state == "waiting"} == {
        *(f"{arm}/1" for arm in ("full", "no-context", "after", "again")),
        "full/0",
        "no-context/0",
    }
    folder = place.folder / "experiments" / "tiny" / "tiny"
    assert not (folder / "before" / "0" / "evaluation.json").exists()
    assert set(Run.open(folder / "after" / "0").training_videos) == set(
        Run.open(folder / "before" / "0").training_videos
    )


def test_what_all_seeds_start_from_is_trained_with_its_own_seed(place):
    place.recipe("first", training={"epochs": 1})
    place.recipe("before", start_from="first.toml", start_seed=5, training={"epochs": 1})
    place.recipe("after", start_from="before.toml")
    text = STUDY + "[arms.after]\nrecipe = '../after.toml'\n"
    assert place.run(place.study(text), "--arms", "after").returncode == 0
    done = {run for run, state in place.states().items() if state == "done"}
    assert done == {"first/5", "before/0", "before/1", "after/0", "after/1"}


def test_what_fails_before_fails_what_follows(place):
    place.recipe("before", training={"learning_rate": 1e30})
    place.recipe("after", start_from="before.toml")
    study = place.study(STUDY.replace("seeds = 2", "seeds = 1") + "[arms.after]\nrecipe = '../after.toml'\n")
    assert place.run(study).returncode == 1
    states = place.states()
    assert states == {"before/0": "failed", "full/0": "done", "no-context/0": "done", "after/0": "failed"}
    assert (
        "tiny/before/0, which comes before it, failed"
        in (place.folder / "experiments/tiny/tiny/after/0.error.txt").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "3"], "has 2 seeds, not 3"),
        (["--arms", "full,no-contex"], "no arm 'no-contex'. Did you mean 'no-context'?"),
    ],
)
def test_what_the_study_does_not_have(place, arguments, said):
    refused = place.run(place.study(), *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not (place.folder / "experiments").exists()


@pytest.mark.parametrize(
    ("cores", "processes", "said", "threads"),
    [(8, 2, "", 4), (8, 3, "", 2), (2, 4, "", 1), (8, 1, "2", 2), (8, 4, "8", 2), (8, 1, "0", 8), (8, 0, "many", 8)],
)
def test_threads_are_a_share_of_the_cores_and_no_more_than_is_allowed(cores, processes, said, threads, monkeypatch):
    monkeypatch.setattr(running, "num_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert running.num_threads(processes) == threads
