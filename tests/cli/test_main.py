"""The front door: the overview, the version, unknown verbs, exit statuses."""

from importlib import import_module
from importlib.metadata import version

import pytest

from mmmie.cli import main as front
from mmmie.cli.main import VERBS, main
from mmmie.errors import MmmieError


@pytest.fixture
def verb(monkeypatch):
    """Puts a function behind the verb `demo`."""

    def use(command):
        class Module:
            pass

        Module.command = staticmethod(command)
        monkeypatch.setattr(front, "import_module", {"mmmie.cli.demo": Module}.__getitem__)

    return use


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_verb(arguments, capsys):
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(VERBS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mmmie {version('mmmie')}\n"


def test_an_unknown_verb_names_the_nearest(capsys):
    assert main(["compair"]) == 2
    assert capsys.readouterr().err == "mmmie has no verb 'compair'. Did you mean 'compare'?\n"


def test_a_verb_unlike_any_lists_them(capsys):
    assert main(["zzz"]) == 2
    said = capsys.readouterr().err
    assert all(verb in said for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_command_with_help(verb, capsys):
    assert import_module(f"mmmie.cli.{VERBS[verb][0]}").command.__doc__
    assert main([verb, "--help"]) == 0
    assert f"Usage: mmmie {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1), (2, 2), (130, 130)])
def test_what_a_command_returns_is_the_exit_status(verb, returned, status):
    verb(lambda: returned)
    assert main(["demo"]) == status


def test_a_mistake_of_the_user_is_shown_without_a_traceback(verb, capsys):
    def command() -> None:
        raise MmmieError("no corpus at x")

    verb(command)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == "mmmie demo: no corpus at x\n"


def test_an_interrupt_ends_with_130(verb):
    def command() -> None:
        raise KeyboardInterrupt

    verb(command)
    assert main(["demo"]) == 130


def test_an_error_of_ours_is_not_hidden(verb):
    def command() -> None:
        raise RuntimeError("a defect")

    verb(command)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["demo"])


def test_an_unknown_option_is_a_usage_error(verb, capsys):
    verb(lambda: None)
    assert main(["demo", "--fast"]) == 2
    assert "No such option: --fast" in capsys.readouterr().err
