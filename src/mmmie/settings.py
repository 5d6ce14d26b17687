"""Every setting of every stage, typed and frozen; a recipe is one TOML file of them.

A recipe is read once and never written to afterwards: what is measured in data (widths, scales, class counts) is
passed as an argument, not stored here. Unknown keys are refused with the nearest known name.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mmmie.errors import RecipeError, did_you_mean

Modality = Literal["text", "audio", "vision"]
MODALITIES: tuple[Modality, ...] = ("text", "audio", "vision")


class Settings(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TextSettings(Settings):
    """How the text is read."""

    encoder: str = "minilm"
    """`minilm` (the packaged all-MiniLM-L6-v2), a folder, or a Hugging Face name that is already in the local cache."""
    depth: Literal["frozen", "top", "full"] = "frozen"
    """How much of the encoder is trained: nothing (features are stored once), the top layers, or all of it."""
    top_layers: int = Field(3, ge=1)
    """With `depth = "top"`: how many layers are trained; the output of the layer below them is stored."""
    train_embeddings: bool = False
    """With `depth = "full"`: whether the token embeddings are trained too. They are half of a small encoder's weights,
    and moving them costs a fifth of every step."""
    lora_rank: int = Field(0, ge=0)
    """Above 0: what is trained keeps its matrices, and a change of this rank is learned beside each (LoRA). The
    checkpoint of a small encoder then has 5 MB instead of 45. It wants a larger `training.encoder_learning_rate`, about
    1e-3."""
    passage_tokens: int = Field(0, ge=0)
    """0: each utterance is read alone. Else consecutive utterances of a video are read together in passages of at
    most this many tokens, and each utterance is the mean over its own tokens."""
    max_tokens: int = Field(128, ge=8)
    """Tokens of one utterance beyond this many are cut."""


class IdentitySettings(Settings):
    """Which identities the fusion network is told; each its own switch."""

    role: bool = True
    """The offset of the utterance from the target: -k..k."""
    modality: bool = True
    same_speaker: bool = True
    """Whether the utterance is spoken by the target's speaker, where the corpus knows speakers."""
    shuffle_roles: bool = False
    """Control: roles are drawn at random for every window, so that they say nothing."""


class ExpertSettings(Settings):
    """What a modality that is read alone has proved, on recordings of persons and sets that training had not seen."""

    explained: float = Field(0.0, ge=0, lt=1)
    """R^2: the share of the labels' variance its score explains there. 0: it is shown, and not counted."""
    slope: float = Field(1.0, ge=0)
    """Of the labels on its score there: below 1 where it exaggerates."""


class RidgeSettings(Settings):
    """A regression that is fitted before training."""

    penalty: float = Field(gt=0)
    """In units of the features' variance."""
    weights: tuple[tuple[Annotated[int, Field(gt=0)], Annotated[float, Field(ge=0)]], ...] = ()
    """Blocks of columns in their order, as in `[[768, 1.0], [48, 2.0]]`: how many, and by what they are multiplied once
    they are standardised; the more, the less the penalty holds them back. (): all alike."""


class ModelSettings(Settings):
    """The network from features to score."""

    system: str = "mmmie"
    """Which fusion network reads the window: `mmmie`, or one to compare with (`mmmie.models.systems.SYSTEMS`)."""
    options: dict[str, bool | int | float | str] = {}
    """Of the system; each says in its file which it has."""
    modalities: tuple[Modality, ...] | None = None
    """None: all that the corpus holds."""
    width: int = Field(128, ge=4)
    context: int = Field(2, ge=0)
    """k: the window is the target and k utterances on either side, inside the video."""
    fusion_layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    noise: Literal["learned", "fixed", "none"] = "learned"
    """The encoders' noise s in F = m(X) + s eps; `none` makes them deterministic."""
    noise_start: float = Field(0.5, gt=0.02)
    """s before training, or for good where it is fixed; the means have unit scale. Large is a regulariser by itself."""
    identity: IdentitySettings = IdentitySettings()
    ridge: dict[Modality, RidgeSettings] = {}
    """Modalities of which one number is read, the score of a ridge regression on train: for features that are wide
    beside the number of recordings, and new kinds of recordings. With `experts` it is their score."""
    experts: dict[Modality, ExpertSettings] | None = None
    """None: the fusion network reads all modalities together. Else it reads each alone, with its context, and the
    scores are joined by what each has proved: for training data in which no utterance has all modalities."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"model.width ({self.width}) must be a multiple of model.heads ({self.heads})")
        return self

    @model_validator(mode="after")
    def _experts_are_of_mmmie(self) -> Self:
        if self.experts is not None and self.system != "mmmie":
            raise ValueError(f"model.experts joins readings of the system 'mmmie', not of '{self.system}'")
        return self


class MaximisationSettings(Settings):
    """MI max: a lower bound on I(F_m; F_n) between each modal pair, raised."""

    estimator: Literal["infonce", "jsd", "barber_agakov", "none"] = "infonce"
    critic: Literal["bilinear", "cosine", "mlp"] = "bilinear"
    gradient_share: float | None = Field(0.02, gt=0)
    """Weigh the terms so that their gradient at the representations has at most this share of the task's norm."""
    weight: float | None = Field(None, ge=0)
    """A fixed weight per nat, in place of `gradient_share`."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of all steps over which the weight rises from 0."""
    negatives: Literal["all", "across_videos", "within_video"] = "all"
    scale: dict[str, float] = {}
    """Extra factor per pair, as in `{"text-audio" = 0.5}`; 0 switches a pair off."""
    shuffle_pairs: bool = False
    """Control: modalities are paired at random, so that there is nothing to find."""

    @field_validator("scale")
    @classmethod
    def _known_pairs(cls, scale: dict[str, float]) -> dict[str, float]:
        pairs = ["text-audio", "text-vision", "audio-vision"]
        for pair in scale:
            if pair not in pairs:
                raise ValueError(f"no modal pair '{pair}'. {did_you_mean(pair, pairs)}")
        return scale


class MinimisationSettings(Settings):
    """MI min: an upper bound on I(X_m; F_m) between input and representation, lowered."""

    estimator: Literal["leave_one_out", "vib", "vclub", "trace_covariance", "none"] = "leave_one_out"
    target_nats: float | None = Field(3.0, gt=0)
    """The rate each modality is driven to, by dual ascent on its lambda; None: the fixed `weight`."""
    weight: float = Field(0.01, ge=0)
    """The fixed weight per nat, or the lambda from which dual ascent starts."""
    weight_max: float = Field(1.0, gt=0)
    gradient_share: float | None = Field(0.2, gt=0)
    """Hold each weight down so that the term's gradient at the representations has at most this share of the task's
    norm: an untrained encoder carries a hundred nats, and would learn nothing else. None: no such limit."""
    rate: float = Field(0.02, gt=0)
    """Step of log lambda in dual ascent."""
    warmup: float = Field(0.0, ge=0, le=1)
    scale: dict[Modality, float] = {}
    """Extra factor per modality; 0 switches it off."""


class TrainingSettings(Settings):
    """How the network learns; the split it may not see is not even an argument of `fit`."""

    epochs: int = Field(30, ge=1)
    patience: int = Field(8, ge=1)
    """Stop after this many epochs without a better valid MAE; the best epoch is kept."""
    batch_utterances: int = Field(64, ge=1)
    run_length: int = Field(1, ge=1)
    """Targets are drawn in runs of this many consecutive utterances; with a trained text encoder longer runs cost
    fewer passes, because neighbours are targets themselves."""
    learning_rate: float = Field(1e-3, gt=0)
    encoder_learning_rate: float = Field(5e-5, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor on the text encoder's learning rate for each layer further from the top."""
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps over which the learning rate rises; afterwards it falls linearly to 0."""
    gradient_clip: float = Field(1.0, gt=0)
    average_decay: float = Field(0.99, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which is what is validated and kept; 0: none."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """Chance that a present modality of an utterance is masked in training; at least one is left."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the text encoder; auto: bfloat16 where the processor has it."""
    label_share: float = Field(1.0, gt=0, le=1)
    """Share of the train utterances whose labels may be used, drawn by the seed; the others are context alone. An epoch
    passes over the labelled ones so often that it has as many steps as with all labels."""
    seed: int = Field(0, ge=0)


class AnalysisSettings(Settings):
    """How a video becomes a result."""

    modalities: tuple[Modality, ...] = MODALITIES
    """What is read; the others are not even decoded."""
    recogniser: str = "tiny.en"
    """A Whisper model for faster-whisper: `tiny.en` (packaged), a folder, or a name that is in the local cache."""
    language: str | None = None
    """Spoken, as in `en`; None: what the recogniser hears."""
    audio_stream: int | None = Field(None, ge=0)
    """Which of several audio streams, by its index in the file; None: the one the file marks."""
    speakers: bool = True
    """Whether voices are told apart; False: one speaker."""
    num_speakers: int | None = Field(None, ge=1)
    """How many voices there are, where that is known; None: as many as are found."""
    names: dict[str, str] = {}
    """What speakers are called, as in `{"S1" = "Ana"}`."""
    face_rate_hz: float = Field(8.0, gt=0, le=60)
    """Frames a second that are searched for faces."""
    threads: int = Field(1, ge=1)
    """Of each library in a worker."""


METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "measured": {},
    "paper": {
        "model": {"noise": "none"},
        "maximise": {"gradient_share": None, "weight": 0.05},
        "minimise": {"estimator": "vclub", "target_nats": None, "weight": 0.01, "gradient_share": None},
    },
}
"""The two readings of the abstract, as defaults under a recipe's own keys; neither is known to be the authors'."""


BASELINE: dict[str, dict[str, Any]] = {
    "model": {"noise": "none", "identity": {"modality": False, "same_speaker": False}},
    "maximise": {"estimator": "none"},
    "minimise": {"estimator": "none", "target_nats": None},
}
"""Defaults of every other system than `mmmie`: neither its terms nor its noise; of the identities the role alone, which
is the position in the window."""


class Recipe(Settings):
    """A complete run: what to train on, how, and where to start."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    corpus: str
    """Folder of the corpus, relative to where the command runs, or the name of a packaged one, as `ratings`."""
    start_from: str = ""
    """A run folder (`{seed}` is the seed), or a recipe beside this one, trained first where its run does not exist."""
    start_seed: int | None = Field(None, ge=0)
    """The seed of the recipe to start from; None: this recipe's own, so that every seed has a start of its own."""
    method: Literal["measured", "paper"] = "measured"
    text: TextSettings = TextSettings()
    model: ModelSettings = ModelSettings()
    maximise: MaximisationSettings = MaximisationSettings()
    minimise: MinimisationSettings = MinimisationSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="before")
    @classmethod
    def _fill_method(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        model = values.get("model")
        baseline = isinstance(model, dict) and model.get("system", "mmmie") != "mmmie"
        defaults = BASELINE if baseline else METHODS.get(str(values.get("method", "measured")), {})
        filled = dict(values)
        for section, keys in defaults.items():
            if isinstance(filled.get(section, {}), dict):
                filled[section] = {**keys, **filled.get(section, {})}
        return filled

    @model_validator(mode="after")
    def _noise_fits_estimator(self) -> Self:
        if self.minimise.estimator in ("leave_one_out", "vib") and self.model.noise == "none":
            raise ValueError(
                f"minimise.estimator = '{self.minimise.estimator}' needs a stochastic encoder, but model.noise = "
                "'none' makes I(X; F) infinite. Set model.noise = 'learned', or minimise.estimator = 'none'"
            )
        if self.minimise.estimator in ("vclub", "trace_covariance") and self.minimise.target_nats is not None:
            raise ValueError(
                f"minimise.estimator = '{self.minimise.estimator}' is a regulariser, not a rate in nats, and cannot be "
                "driven to minimise.target_nats. Leave the target out (target_nats = 'none') and set minimise.weight"
            )
        if self.text.lora_rank and self.text.depth == "frozen":
            raise ValueError("text.lora_rank changes an encoder that is trained. Set text.depth = 'full' or 'top'")
        if (self.maximise.weight is None) == (self.maximise.gradient_share is None):
            raise ValueError("set either maximise.weight or maximise.gradient_share, and the other to 'none'")
        return self

    def seed_of_start(self, seed: int) -> int:
        """The seed of the recipe to start from, for a run of this one."""
        return seed if self.start_seed is None else self.start_seed

    def with_seed(self, seed: int) -> Self:
        """The same recipe with another seed."""
        return self.model_copy(update={"training": self.training.model_copy(update={"seed": seed})})

    @classmethod
    def load(cls, path: str | Path, overrides: dict[str, Any] | None = None) -> Self:
        """Reads a recipe.

        Args:
            path: a TOML file.
            overrides: dotted key to value, as in `{"model.width": 64}`.

        Raises:
            RecipeError: no such file, no TOML, an unknown key ("did you mean"), or a value out of its range.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            beside = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
            raise RecipeError(f"no recipe at {path}. {did_you_mean(path.name, beside)}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} is not TOML: {error}") from None
        for key, value in (overrides or {}).items():
            *sections, last = key.split(".")
            place = values
            for section in sections:
                place = place.setdefault(section, {})
                if not isinstance(place, dict):
                    raise RecipeError(f"'{key}' does not name a key: '{section}' is a value")
            place[last] = value
        return cls.parse(values, str(path))

    @classmethod
    def parse(cls, values: dict[str, Any], origin: str) -> Self:
        """A recipe from nested values; `origin` is named in errors. 'none' stands for the null that TOML lacks."""
        try:
            return cls.model_validate(_none_for_null(values))
        except ValidationError as error:
            raise RecipeError("\n".join(_explain(cls, origin, e) for e in error.errors())) from None


NULLABLE = ("target_nats", "weight", "gradient_share", "modalities", "experts")
"""Keys whose null is a choice, and is written 'none' in TOML, which has no null."""


def parse_override(text: str) -> tuple[str, Any]:
    """`model.width=64` as key and value; the value is TOML, and what is not TOML is a string.

    Raises:
        RecipeError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set takes key=value, as in model.width=64, not '{text}'")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _none_for_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: None if item == "none" and key in NULLABLE else _none_for_null(item) for key, item in value.items()
        }
    return value


def _explain(recipe: type[BaseModel], origin: str, error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        *sections, key = (str(part) for part in error["loc"])
        owner: Any = recipe
        for section in sections:
            owner = owner.model_fields[section].annotation
        return f"{origin}: unknown key '{where}'. {did_you_mean(key, owner.model_fields)}"
    message = error["msg"].removeprefix("Value error, ")
    came = "" if error["type"] in ("missing", "value_error") else f" (came: {error['input']!r})"
    return f"{origin}: {where + ': ' if where else ''}{message}{came}"
