"""Everything that would make a study worthless or stop it half way, looked for before any training."""

from collections.abc import Iterable
from pathlib import Path

from mmmie.corpus.schema import MODALITIES
from mmmie.corpus.store import Corpus
from mmmie.errors import CheckpointError, CorpusError, EvidenceError, RecipeError
from mmmie.evidence.metrics import fits, undefined_notes
from mmmie.experiments.plan import Cell, Job, Plan, naming, start_jobs, start_run
from mmmie.learning.run import Run
from mmmie.settings import Recipe


class Shelf:
    """Corpora by path, each opened once."""

    def __init__(self) -> None:
        self._opened: dict[str, Corpus] = {}
        self._videos: dict[tuple[str, tuple[str, ...]], frozenset[str]] = {}

    def open(self, path: str | Path) -> Corpus:
        """Raises CorpusError: there is none, or it is damaged."""
        key = str(path)
        if key not in self._opened:
            self._opened[key] = Corpus.open(path)
        return self._opened[key]

    def videos(self, path: str | Path, *splits: str) -> frozenset[str]:
        """The videos of some splits of a corpus."""
        key = (str(path), splits)
        if key not in self._videos:
            corpus = self.open(path)
            videos = corpus.table.column("video").to_pylist()
            self._videos[key] = frozenset(v for v, s in zip(videos, corpus.splits, strict=True) if s in splits)
        return self._videos[key]


def check(plan: Plan) -> None:
    """Looks at recipes, corpora, encoders and at the runs that are there, of every arm of the study.

    Raises:
        RecipeError, CorpusError, FeatureError, CheckpointError, EvidenceError: something is missing or does not fit;
            the text names the arm and what to do.
    """
    shelf = Shelf()
    for path in plan.study.test_on:
        _check_splits(shelf.open(path), ("test",))
        _check_metric(plan.study.metric, shelf.open(path))
    for cell in plan.starts.values():
        with naming(_arm_of(plan, cell)):
            _check_readable(cell, shelf)
    for cell in plan.cells.values():
        with naming(cell.name):
            _check_readable(cell, shelf)
            corpus = shelf.open(cell.path)
            _check_splits(corpus, ("test",))
            _check_metric(plan.study.metric, corpus)
            _check_unseen(plan, cell, corpus, shelf)
            reference = plan.cells[cell.corpus, plan.study.first]
            if cell is not reference:
                _check_pairs(shelf.open(reference.path), corpus, plan.study.first)
            for path in plan.study.test_on:
                _check_transfer(cell, corpus, shelf.open(path))
    if plan.study.folds:
        _check_folds(plan, shelf)
    for job in [*plan.runs(), *start_jobs(plan)]:
        with naming(job.name if job.kind == "run" else _arm_of(plan, plan.cell(job))):
            check_run(plan, job, shelf)


def _check_folds(plan: Plan, shelf: Shelf) -> None:
    """Parts of one corpus, no video of which is tested in two."""
    for arm in plan.study.arms:
        tested: dict[str, str] = {}
        cells = [plan.cells[corpus, arm] for corpus in plan.corpora]
        for cell in cells:
            with naming(cell.name):
                if shelf.open(cell.path).info.fingerprint != shelf.open(cells[0].path).info.fingerprint:
                    raise EvidenceError(
                        f"folds = true, but {cell.path} and {cells[0].path} hold different utterances. Make folds of "
                        "one corpus with `mmmie resplit --folds`, or leave folds out."
                    )
                for video in shelf.videos(cell.path, "test"):
                    if video in tested:
                        raise EvidenceError(
                            f"folds = true, but {tested[video]} and {cell.path} both test video {video}. Make folds "
                            "with `mmmie resplit --folds`, or leave folds out."
                        )
                    tested[video] = cell.path


def _check_readable(cell: Cell, shelf: Shelf) -> None:
    from mmmie.features.text import TextEncoder

    corpus = shelf.open(cell.path)
    _check_splits(corpus, ("train", "valid"))
    if "text" in _modalities(cell.recipe, corpus):
        TextEncoder.find(cell.recipe.text)


def _modalities(recipe: Recipe, corpus: Corpus) -> list[str]:
    """Those it is trained on: what the recipe names, else all that the corpus holds."""
    has_text = corpus.table.column("text").null_count < len(corpus)
    held = {*corpus.info.features, *(["text"] if has_text else [])}
    wanted = recipe.model.modalities
    for name in wanted or ():
        if name not in held:
            raise RecipeError(
                f"model.modalities asks for {name}, but {corpus.path} holds {', '.join(sorted(held)) or 'none'}"
            )
    return [name for name in MODALITIES if name in (held if wanted is None else wanted)]


def _check_splits(corpus: Corpus, needed: Iterable[str]) -> None:
    for split in needed:
        if not (corpus.splits == split).any():
            raise CorpusError(
                f"{corpus.path} has no rows in its {split} split. Make splits by video with "
                f"`mmmie resplit {corpus.path} --out NEW.corpus`."
            )
    videos = corpus.table.column("video").to_pylist()
    first: dict[str, str] = {}
    for video, split in zip(videos, corpus.splits.tolist(), strict=True):
        if first.setdefault(video, split) != split:
            raise CorpusError(
                f"{corpus.path}: the video {video} is in {first[video]} and in {split}. Make splits by video with "
                f"`mmmie resplit {corpus.path} --out NEW.corpus`."
            )


def _check_metric(metric: str, corpus: Corpus) -> None:
    label_range = (corpus.info.label_min, corpus.info.label_max)
    if not fits(metric, label_range):
        raise EvidenceError(
            f"{corpus.path}: {' '.join(undefined_notes(label_range))} Choose metric = 'mae' or 'corr' in the study."
        )


def _test_rows(corpus: Corpus) -> list[tuple[str, float]]:
    columns = (corpus.table.column(name).to_pylist() for name in ("video", "index", "label"))
    rows = zip(*columns, corpus.splits, strict=True)
    return [(f"{video}/{index}", label) for video, index, label, split in rows if split == "test"]


def _check_pairs(reference: Corpus, corpus: Corpus, first: str) -> None:
    """Two corpora may hold other features, and other rows to train on; what is tested must be the same."""
    if reference is corpus:
        return
    ours, theirs = _test_rows(corpus), _test_rows(reference)
    where = f"{corpus.path} and {reference.path} (arm '{first}')"
    for row, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
        if mine[0] != other[0]:
            raise EvidenceError(
                f"the test rows of {where} do not pair: row {row} is {mine[0]} here and {other[0]} there. Give both "
                "the same splits."
            )
        if mine[1] != other[1]:
            raise EvidenceError(f"the test rows of {where} do not pair: {mine[0]} has label {mine[1]} and {other[1]}")
    if len(ours) != len(theirs):
        raise EvidenceError(
            f"the test rows of {where} do not pair: {len(ours)} and {len(theirs)}. Give both the same splits."
        )
    ranges = [(c.info.label_min, c.info.label_max) for c in (corpus, reference)]
    if ranges[0] != ranges[1]:
        raise EvidenceError(f"the labels of {where} have other ranges: {ranges[0]} and {ranges[1]}")


def _check_unseen(plan: Plan, cell: Cell, corpus: Corpus, shelf: Shelf) -> None:
    """No video that is tested may have been trained on, by what the arm starts from either."""
    tested = {"its own corpus": shelf.videos(cell.path, "test")}
    tested |= {path: shelf.videos(path, "test") for path in plan.study.test_on}
    seen = {str(corpus.path): shelf.videos(cell.path, "train", "valid")}
    before = cell.start
    while before:
        start = plan.starts[cell.corpus, before]
        seen[f"{start.path} (start_from {start.recipe_path.name})"] = shelf.videos(start.path, "train", "valid")
        before = start.start
    for seed in plan.study.seeds:
        run = start_run(cell.recipe, seed)
        if run is not None:
            seen[f"the run {run.path}"] = frozenset(run.training_videos)
    for where, trained in seen.items():
        for on, test in tested.items():
            both = sorted(trained & test)
            if both:
                raise EvidenceError(
                    f"{len(both)} of {len(test)} test videos of {on} are trained on, in {where}: {', '.join(both[:3])}"
                    f"{', ...' if len(both) > 3 else ''}. Scores on them would be no evidence."
                )


def _check_transfer(cell: Cell, corpus: Corpus, other: Corpus) -> None:
    for name in _modalities(cell.recipe, corpus):
        if name == "text":
            continue
        mine, theirs = corpus.info.features[name], other.info.features.get(name)
        if theirs is None or theirs.fingerprint != mine.fingerprint:
            what = "holds none" if theirs is None else f"holds others (fingerprint {theirs.fingerprint})"
            raise RecipeError(
                f"test_on: the arm reads {name} features of fingerprint {mine.fingerprint}, and {other.path} {what}. "
                "Leave the modality out (model.modalities), or extract the features alike."
            )


def check_run(plan: Plan, job: Job, shelf: Shelf) -> None:
    """Raises CheckpointError: the run that is there already is of other settings, another corpus or other splits."""
    folder, cell = plan.run_folder(job), plan.cell(job)
    if not (folder / "recipe.json").is_file():
        return
    run, repair = Run.open(folder), "Remove it, or give the study another name or --out."
    if run.recipe != cell.recipe.with_seed(job.seed):
        begun = "trained" if run.finished else "begun"
        raise CheckpointError(f"the run {folder} was {begun} by another version of this arm. {repair}")
    if not run.contract:
        return
    corpus = shelf.open(cell.path)
    if run.corpus_fingerprint != corpus.info.fingerprint:
        raise CheckpointError(
            f"the run {folder} was trained on other content of {corpus.path} (fingerprint {run.corpus_fingerprint}, "
            f"now {corpus.info.fingerprint}). {repair}"
        )
    seen = set(run.training_videos)
    if not shelf.videos(cell.path, "train", "valid") <= seen or seen & shelf.videos(cell.path, "test"):
        raise CheckpointError(f"the run {folder} was trained on other splits of {corpus.path}. {repair}")


def _arm_of(plan: Plan, start: Cell) -> str:
    """An arm that starts from a cell, for errors about it."""
    for cell in plan.cells.values():
        before = cell.start
        while before and cell.corpus == start.corpus:
            if before == start.name:
                return cell.name
            before = plan.starts[cell.corpus, before].start
    raise AssertionError(f"no arm starts from {start.name}")
