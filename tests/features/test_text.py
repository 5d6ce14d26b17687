"""Text encoders: what is read, what the fingerprint covers, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmmie.errors import FeatureError
from mmmie.features.text import TextEncoder, clean, use_bfloat16
from mmmie.settings import TextSettings
from tiny_corpora import write_encoder


def find(folder: Path | str, **more: int) -> TextEncoder:
    return TextEncoder.find(TextSettings(encoder=str(folder), **more))  # type: ignore[arg-type]


@pytest.fixture
def own(encoder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(encoder, tmp_path / "own"))


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("ANYHOW IT WAS REALLY GOOD", "anyhow it was really good"),
        ("IT'S 10 OUT OF 10", "it's 10 out of 10"),
        ("I", "I"),
        ("I said NO", "I said NO"),
        ("ÉTÉ", "été"),
        ("123", "123"),
        ("caf\ufffd", "caf"),
        ("  a \n\t b\u00a0c ", "a b c"),
        ("\ufffd", ""),
        ("", ""),
    ],
)
def test_cleaning(raw: str, read: str) -> None:
    assert clean(raw) == read
    assert clean(clean(raw)) == clean(raw)


def test_token_ids(encoder: Path) -> None:
    found = find(encoder, max_tokens=8)
    ids = found.token_ids(["the film", "THE FILM", "", "the " * 30])
    assert ids[0] == ids[1], "capitals are lowered"
    assert len(ids[0]) == 2
    assert ids[2] == [found.tokenizer.unk_token_id], "empty text is one unknown token, not nothing"
    assert len(ids[3]) == 8
    assert not {found.tokenizer.cls_token_id, found.tokenizer.sep_token_id} & {i for row in ids for i in row}


def test_sizes_are_those_of_the_config(encoder: Path) -> None:
    found = find(encoder)
    assert (found.width, found.num_states) == (16, 4)


def test_the_fingerprint_covers_weights_tokeniser_and_token_limit(own: Path) -> None:
    before = find(own).fingerprint
    assert find(own).fingerprint == before
    assert find(own, max_tokens=64).fingerprint != before
    (own / "README.md").write_text("of no effect")
    assert find(own).fingerprint == before
    weights = load_file(own / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][0, 0] += 1
    save_file(weights, own / "model.safetensors", {"format": "pt"})
    changed = find(own).fingerprint
    assert changed != before
    settings = json.loads((own / "tokenizer.json").read_text())
    settings["normalizer"] = {"type": "Lowercase"}
    (own / "tokenizer.json").write_text(json.dumps(settings))
    assert find(own).fingerprint not in (before, changed)


def test_weights_are_read_once_as_long_as_they_stay(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, opened, plain = find(own).fingerprint, [], Path.open

    def watched(path: Path, *arguments: object) -> object:
        opened.append(path.name)
        return plain(path, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", watched)
    assert find(own).fingerprint == before
    assert opened == []
    (own / "model.safetensors").touch()
    assert find(own).fingerprint == before
    assert "model.safetensors" in opened


def test_the_place_of_the_folder_says_nothing(encoder: Path, own: Path) -> None:
    assert find(own).fingerprint == find(encoder).fingerprint


def test_an_unknown_encoder_is_refused_with_the_repair() -> None:
    with pytest.raises(FeatureError, match=r"no text encoder 'someone/nothing'.*minilm.*hf download someone/nothing"):
        find("someone/nothing")


@pytest.mark.parametrize("name", ["/no/such/folder", "not a name!", "."])
def test_what_is_neither_name_nor_folder_is_refused(name: str) -> None:
    with pytest.raises(FeatureError, match="no text encoder"):
        find(name)


def test_a_network_is_loaded_for_evaluation_in_float32(own: Path) -> None:
    weights = {name: value.half() for name, value in load_file(own / "model.safetensors").items()}
    save_file(weights, own / "model.safetensors", {"format": "pt"})
    network = find(own).load()
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_missing_weights_are_refused(own: Path) -> None:
    weights = load_file(own / "model.safetensors")
    name = next(key for key in weights if "layer.1" in key and key.endswith("weight"))
    del weights[name]
    save_file(weights, own / "model.safetensors", {"format": "pt"})
    with pytest.raises(FeatureError, match=f"lacks 1 weights, .*{name}"):
        find(own).load()


def test_a_missing_pooler_does_not_matter(own: Path) -> None:
    weights = {k: v for k, v in load_file(own / "model.safetensors").items() if "pooler" not in k}
    save_file(weights, own / "model.safetensors", {"format": "pt"})
    find(own).load()


def test_weights_of_another_shape_are_refused(own: Path) -> None:
    weights = load_file(own / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] = torch.zeros(3, 16)
    save_file(weights, own / "model.safetensors", {"format": "pt"})
    with pytest.raises(FeatureError, match="cannot be loaded"):
        find(own).load()


def test_weights_that_could_execute_are_refused(own: Path) -> None:
    torch.save(load_file(own / "model.safetensors"), own / "pytorch_model.bin")
    (own / "model.safetensors").unlink()
    with pytest.raises(FeatureError, match="cannot be loaded"):
        find(own).load()


def test_damaged_weights_are_refused(own: Path) -> None:
    file = own / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(FeatureError, match="cannot be loaded"):
        find(own).load()


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert use_bfloat16("bfloat16", cpu)
    assert not use_bfloat16("float32", cpu)
    assert use_bfloat16("auto", cpu) in (True, False)


def test_an_encoder_of_another_build_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FeatureError, match="hidden_size"):
        _ = find(folder).width
