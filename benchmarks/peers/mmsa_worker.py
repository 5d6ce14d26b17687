"""Trains one model of MMSA with one seed, by MMSA's own code; runs inside the environment that `compare.py` makes.

    python mmsa_worker.py --model TFN --features FEATURES.pkl --seed 0 --out FOLDER

Reads the features that `compare.py` wrote, trains as `MMSA_run` would (its configuration, its data loader, its trainer,
its early stopping on valid), and leaves `predictions.csv` of valid and test and `result.json`: seconds of every epoch,
peak memory, and in `notes` all that had to be changed for the model to run on these features at all.
"""

import argparse
import csv
import json
import math
import os
import pickle
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TQDM_DISABLE="1")

import torch
from MMSA.config import get_config_regression
from MMSA.data_loader import MMDataLoader
from MMSA.models import AMIO
from MMSA.trains import ATIO
from MMSA.utils import setup_seed
from torch import Tensor, nn

ENCODING = {"misa": "singleTask.MISA", "mmim": "singleTask.MMIM", "self_mm": "multiTask.SELF_MM"}
"""Models that hold the text encoder themselves -> where under `MMSA.models` they look its class up."""
WITH_LENGTHS = ("mmim", "self_mm")
PLATEAU = {"mult": "singleTask.MULT", "mmim": "singleTask.MMIM"}
"""Trainers that call `ReduceLROnPlateau(verbose=True)`, which torch no longer takes."""


def configure(model: str, content: dict[str, Any], save: Path) -> tuple[Any, list[str]]:
    """MMSA's own configuration of a model on MOSI, and what of it cannot stay as it is."""
    notes = ["trained without `MMSA_run`, which raises where there is no CUDA: its steps are called one by one"]
    notes.append("vision is one column of zeros; audio is one vector, standardised on train")
    if content["text"] == "own" and model not in ENCODING:
        notes.append("token states padded in front, because the last step is read off without a mask")
    args = get_config_regression(model, "mosi")
    args.update(custom_feature=content["path"], feature_T="", feature_A="", feature_V="")
    args.update(train_mode="regression", device=torch.device("cpu"), model_save_path=save, cur_seed=1)
    args["train_samples"] = len(content["train"]["id"])
    if model == "mult":
        args.update(conv1d_kernel_size_a=1, conv1d_kernel_size_v=1)
        notes.append("convolutions of width 1 over audio and vision in place of 5, which refuse sequences of length 1")
        if content["text"] == "means":
            args["conv1d_kernel_size_l"] = 1
            notes.append("the same over text, which is one vector here")
    if model in ENCODING:
        args.update(use_finetune=False)
        notes.append("use_finetune = false: the encoder is frozen, as on our side")
        if content["encoder"]:
            args.update(pretrained=content["encoder"])
            notes.append(
                "its own encoder class reads MiniLM in every batch, with dropout on in training as it leaves it"
            )
    if model == "self_mm":
        args["text_out"] = content["width"]
        notes.append(f"text_out = {content['width']} in place of 768")
    return args, notes


def adapt_before(model: str, content: dict[str, Any]) -> list[str]:
    """Replaces what stands in MMSA's modules and cannot run here."""
    notes = []
    if model in PLATEAU:
        trainer = sys.modules[f"MMSA.trains.{PLATEAU[model]}"]
        plateau = trainer.ReduceLROnPlateau
        trainer.ReduceLROnPlateau = lambda *a, verbose=False, **k: plateau(*a, **k)  # noqa: ARG005
        notes.append("ReduceLROnPlateau is called without `verbose`, which torch no longer takes")
    if model in ENCODING and not content["encoder"]:
        states = torch.from_numpy(content["states"])

        class StoredStates(nn.Module):
            """In the encoder's place: what it says of an utterance, found by the row that stands for its tokens."""

            def __init__(self, **_: object) -> None:
                super().__init__()

            def forward(self, text_B3T: Tensor) -> Tensor:
                return states[text_B3T[:, 0, 0].long()][:, None]

        sys.modules[f"MMSA.models.{ENCODING[model]}"].BertTextEncoder = StoredStates
        notes.append(
            "stored states in place of the frozen encoder, which MMSA runs again in every batch: faster than its own "
            "way; they stand where it reads the first token"
        )
        if model == "misa":
            notes.append("text of length 1, because MISA cuts audio and vision to the length of the text")
    return notes


def repeat_over_text(loaders: Any) -> list[str]:
    """Gives audio and vision a step for every token, all the same: MISA cuts them to the length of the text."""
    for loader in loaders.values():
        dataset = loader.dataset
        steps = dataset.text.shape[2]
        dataset.audio, dataset.vision = (values.repeat(steps, axis=1) for values in (dataset.audio, dataset.vision))
    return ["audio and vision repeated for every token, because MISA cuts them to the length of the text"]


def adapt_after(model: str, network: Any, args: Any, content: dict[str, Any]) -> list[str]:
    """Replaces what only an instance has."""
    notes = []
    if model == "misa":
        network.Model.project_t[0] = nn.Linear(content["width"], args.hidden_size)
        notes.append(f"the text projection reads {content['width']} in place of the 768 written into its file")
    if model == "mmim":
        pair = network.Model.mi_tv
        bound = pair.forward

        def without_entropy(*inputs: object, **named: object) -> tuple[Tensor, dict[str, Tensor], float]:
            likelihood, samples, _ = bound(*inputs, **named)
            return likelihood, samples, 0.0

        pair.forward = without_entropy
        notes.append("no entropy term for the absent vision: the log-determinant of a constant is minus infinity")
    return notes


class Clock:
    """Wall and processor seconds of each epoch, from validation to validation; stops the trainer after `cap` epochs."""

    def __init__(self, trainer: Any, cap: int) -> None:
        self.marks = [self._now()]
        judge = trainer.do_test

        def do_test(*inputs: object, **named: object) -> Any:
            results = judge(*inputs, **named)
            self.marks.append(self._now())
            if cap and len(self.marks) > cap:
                trainer.args.early_stop = 0
            return results

        trainer.do_test = do_test

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def epochs(self) -> list[dict[str, float]]:
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return [{"seconds": b[0] - a[0], "cpu_seconds": b[1] - a[1]} for a, b in pairs]


def peak_megabytes() -> float:
    """The most memory this process has held. Not `ru_maxrss`, which begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@torch.no_grad()
def predict(model: str, network: nn.Module, dataset: Any) -> list[float]:
    """Scores in the order of the rows."""
    network.eval()
    scores = []
    for batch in torch.utils.data.DataLoader(dataset, batch_size=64):
        audio, vision = batch["audio"], batch["vision"]
        if model in WITH_LENGTHS:
            audio, vision = (audio, batch["audio_lengths"]), (vision, batch["vision_lengths"])
        scores += network(batch["text"], audio, vision)["M"].view(-1).tolist()
    return scores


def train(model: str, content: dict[str, Any], seed: int, cap: int, out: Path, timed_only: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save = Path(folder) / "best.pth"
        args, notes = configure(model, content, save)
        notes += adapt_before(model, content)
        setup_seed(seed)
        loaders = MMDataLoader(args, num_workers=0)
        if model == "misa" and content["text"] == "own":
            notes += repeat_over_text(loaders)
        args["feature_dims"][0] = content["width"]
        network = AMIO(args)
        notes += adapt_after(model, network, args, content)
        trainer = ATIO().getTrain(args)
        clock = Clock(trainer, cap)
        trainer.do_train(network, loaders)
        result = {"epochs": clock.epochs(), "peak_mb": peak_megabytes(), "notes": notes, "capped": cap}
        if not timed_only:
            network.load_state_dict(torch.load(save))
            rows = []
            for split in ("valid", "test"):
                scores = predict(model, network, loaders[split].dataset)
                if not all(map(math.isfinite, scores)):
                    raise SystemExit(f"{model}: a score of the {split} split is not finite")
                rows += [[id_, split, score] for id_, score in zip(content[split]["id"], scores, strict=True)]
            with (out / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([["id", "split", "score"], *rows])
    result["versions"] = {name: version(name) for name in ("MMSA", "torch", "transformers", "numpy")}
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="MMSA's name, as in self_mm")
    parser.add_argument("--features", required=True, type=Path, help="written by compare.py: unpickle nobody else's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0, help="stop after this many; 0: when MMSA stops")
    parser.add_argument("--timed-only", action="store_true", help="predict nothing")
    parser.add_argument("--out", required=True, type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with chosen.features.open("rb") as file:
        content = pickle.load(file)
    content["path"] = str(chosen.features)
    train(chosen.model.lower(), content, chosen.seed, chosen.epochs, chosen.out, chosen.timed_only)


if __name__ == "__main__":
    main()
