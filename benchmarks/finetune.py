"""Throughput of full fine-tuning by `fit`'s step against a bare loop of the same encoder.

    python benchmarks/finetune.py [--quick]

Both train the packaged MiniLM on the same sequences, in the same precision, with the same weights frozen. Ours is
a whole step by recipes/mosi.toml: the batch is made, both modalities are encoded, every term of the objective is
computed, gradients are clipped and weights averaged. The bare loop has its batches ready, padded in few groups, and no
more than the encoder with all hidden states, a linear head on their means, the absolute error, and AdamW. Blocks of the
two alternate; the ratio is the median over pairs of blocks. One thread, and processor seconds, so that other programs
disturb little.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from corpora import write
from torch import nn
from torch.nn.functional import pad

from mmmie.corpus.batching import TokenGroup, groups_of_similar_length
from mmmie.corpus.store import Ints
from mmmie.features.text import TextEncoder, use_bfloat16
from mmmie.learning.progress import Silent
from mmmie.learning.training import _Training
from mmmie.settings import Recipe

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "mosi.toml"


class Bare:
    """The least that trains the encoder."""

    def __init__(self, recipe: Recipe) -> None:
        found = TextEncoder.find(recipe.text)
        self.network = found.load().train()
        self.network.embeddings.requires_grad_(recipe.text.train_embeddings)  # type: ignore[operator, union-attr]
        self.head = nn.Linear(found.num_states * found.width, 1)
        self.bfloat16 = use_bfloat16(recipe.training.precision, torch.device("cpu"))
        learning = [*self.network.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW([p for p in learning if p.requires_grad], lr=1e-6, fused=True)

    def step(self, groups: Sequence[TokenGroup]) -> None:
        losses = []
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            outputs = [
                self.network(input_ids=g.inputs_GT, attention_mask=g.mask_GT.long(), output_hidden_states=True)
                for g in groups
            ]
        for group, output in zip(groups, outputs, strict=True):
            real_GT1 = group.mask_GT[..., None]
            means = [(layer.float() * real_GT1).sum(1) / real_GT1.sum(1) for layer in output.hidden_states]
            losses.append((self.head(torch.cat(means, -1)) - 1).abs().mean())
        self.optimizer.zero_grad()
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


class Ours:
    """`fit`'s own step."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        corpus = write(folder / "c.corpus", 1284, 229, per_video=24, words=10.0, audio=True)
        self.training = _Training(recipe, corpus.training(), folder / "run", None, False, Silent())
        self.training.step.train()

    def targets(self, steps: int) -> list[Ints]:
        epochs = -(-steps // len(self.training._epoch_targets(0)))
        return [targets for epoch in range(epochs) for targets in self.training._epoch_targets(epoch)][:steps]

    def groups(self, targets: Ints) -> Sequence[TokenGroup]:
        """The step's sequences as a loop reads them best that takes group after group: fewer groups than ours."""
        fine = self.training.train.batch(targets).inputs["text"].tokens
        longest = max(group.mask_GT.shape[1] for group in fine)
        inputs_NT, mask_NT, owner_NT = (
            torch.cat([pad(x, (0, longest - x.shape[1])) for x in parts])
            for parts in zip(*((g.inputs_GT, g.mask_GT, g.owner_GT) for g in fine), strict=True)
        )
        lengths = mask_NT.sum(1).numpy()
        return [
            TokenGroup(*(x[members, : lengths[members].max()] for x in (inputs_NT, mask_NT, owner_NT)))
            for members in groups_of_similar_length(lengths)
        ]

    def step(self, targets: Ints) -> None:
        self.training._learn(self.training.step, self.training.train.batch(targets))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few steps")
    blocks, length = (2, 1) if parser.parse_args().quick else (15, 4)
    torch.set_num_threads(1)
    recipe = Recipe.load(RECIPE)
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = Ours(recipe, Path(folder)), Bare(recipe)
        batches = ours.targets((1 + blocks) * length)
        tokens_of_ours, tokens_of_bare = [], []
        for block in range(1 + blocks):  # the first warms up
            targets = batches[block * length : (block + 1) * length]
            groups = [ours.groups(chosen) for chosen in targets]
            tokens = sum(int(group.mask_GT.sum()) for batch in groups for group in batch)
            began = time.process_time()
            for chosen in targets:
                ours.step(chosen)
            between = time.process_time()
            for batch in groups:
                bare.step(batch)
            tokens_of_ours.append(tokens / (between - began))
            tokens_of_bare.append(tokens / (time.process_time() - between))
    ratios = [o / b for o, b in zip(tokens_of_ours[1:], tokens_of_bare[1:], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    precision = "bfloat16" if bare.bfloat16 else "float32"
    print(f"one process, {torch.get_num_threads()} thread, {precision}, {blocks} pairs of blocks of {length} steps\n")
    print(f"{'fit, whole objective':<26}{statistics.median(tokens_of_ours[1:]):>8.0f} tokens/s")
    print(f"{'bare loop of the encoder':<26}{statistics.median(tokens_of_bare[1:]):>8.0f} tokens/s")
    print(f"{'ratio, median of pairs':<26}{100 * middle:>8.1f} %   quartiles {100 * low:.1f} to {100 * high:.1f} %")
    print("\naim: at least 85 %")


if __name__ == "__main__":
    main()
