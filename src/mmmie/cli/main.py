"""`mmmie VERB ...`: finds the verb's file and runs it.

Only the verb that is asked for is imported, so that `mmmie --help` needs neither torch nor anything else. A verb's file
defines one function `command`, typed for typer, and is thin: it reads arguments, calls the package, prints.
"""

import sys
from importlib import import_module
from importlib.metadata import version

from mmmie.errors import MmmieError, did_you_mean

VERBS = {
    "demo": ("demo", "Generate a corpus, train MMMIE on it, evaluate it once, show the table."),
    "analyze": ("analyze", "Turn videos into sentiment timelines: files and a page."),
    "import": ("import_", "Turn data sets in their own formats into a corpus."),
    "generate": ("generate", "Make a corpus of known mutual information."),
    "resplit": ("resplit", "Make new train, valid and test splits by video."),
    "merge": ("merge", "Put several corpora into one."),
    "inspect": ("inspect", "Audit a corpus: splits, lengths, masked values, duplicates, leaks."),
    "train": ("train", "Train by a recipe, with one seed or several."),
    "evaluate": ("evaluate", "Open the test split: predictions and metrics of finished runs."),
    "compare": ("compare", "Compare runs: mean, spread, paired bootstrap over videos."),
    "mi": ("mi", "Estimate the mutual information of two arrays, with an interval."),
    "interactions": ("interactions", "Measure what each subset of modalities tells of the label."),
    "experiment": ("experiment", "Run a study: arms, seeds and corpora to one table and figure."),
    "search": ("search", "Draw settings at random within a study's ranges, judged on valid."),
    "verify": ("verify", "Recompute every stored figure from the stored predictions."),
    "pack": ("pack", "Make a folder of a checkpoint, its intervals and its card, to hand on."),
    "card": ("card", "Show the card of a trained model: data, licence, results, limits."),
    "models": ("models", "List, fetch or verify the files of the networks for faces and voices."),
    "doctor": ("doctor", "Check what is installed and test each stage in seconds."),
    "forget": ("forget", "Delete what an analysis derived, after listing it."),
    "licenses": ("licenses", "Show the licence of every model and library in use."),
}
"""Verb -> its file in this folder, and one line for the overview."""


def overview() -> str:
    lines = "\n".join(f"  {verb:<14}{line}" for verb, (_, line) in VERBS.items())
    return (
        "mmmie: multimodal sentiment analysis, from corpus to honest evaluation.\n\n"
        f"Usage: mmmie VERB [ARGUMENTS]    mmmie VERB --help    mmmie --version\n\n{lines}\n"
    )


def run() -> None:
    """The entry point of the `mmmie` command. Exit status: 0 done, 1 done in part, 2 a mistake the user can mend.

    An interrupt ends with 130, which is how typer gives it back.
    """
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        return 0
    verb, *rest = arguments
    if verb == "--version":
        print(f"mmmie {version('mmmie')}")
        return 0
    if verb not in VERBS:
        print(f"mmmie has no verb '{verb}'. {did_you_mean(verb, VERBS)}", file=sys.stderr)
        return 2
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(import_module(f"mmmie.cli.{VERBS[verb][0]}").command)
    try:
        status = app(args=rest, prog_name=f"mmmie {verb}", standalone_mode=False)
    except MmmieError as error:
        print(f"mmmie {verb}: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # typer's own usage errors carry how they want to be shown
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            _explain_hyphen(rest, getattr(error, "option_name", None))
            return int(error.exit_code)
        raise
    return status if isinstance(status, int) else 0


def _explain_hyphen(arguments: list[str], unknown_option: str | None) -> None:
    """Names of files and videos may begin with `-`, and are then taken for options."""
    for word in arguments:
        if unknown_option and word.startswith(unknown_option) and not word.startswith("--"):
            print(f"If {word} is a name, write ./{word}, or put -- before it.", file=sys.stderr)
