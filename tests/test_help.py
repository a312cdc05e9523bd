"""Help and completion: every command shows how it is used, and the shell can ask for its name."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields

import pytest

from srcli.cli import _RENAMED, _answer, _names
from srcli.engine.settings import RATES, TrainConfig
from srcli.models import ARCHS, _class
from tests.program import PROGRAM, srcli


def commands() -> dict[str, object]:
    """List every command, those of groups under both names."""
    found = {}
    for name, command in PROGRAM.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {k}": v for k, v in inner.items()} if inner else {name: command}
    return found


@pytest.mark.parametrize("name", commands())
def test_every_command_shows_an_example_of_itself(name):
    text = commands()[name].help
    assert f"srcli {name}" in text.partition("Example")[2]


@pytest.mark.parametrize("name", commands())
def test_what_may_be_given_several_times_has_a_name_of_its_own(name):
    for parameter in commands()[name].params:
        assert parameter.metavar or not (getattr(parameter, "multiple", False) or parameter.nargs == -1), parameter.name


def test_the_help_of_training_states_the_defaults_of_its_settings():
    texts = {option.name: re.search(r"\[default: (.*)\]", option.help) for option in PROGRAM.commands["train"].params}
    said = {name: found[1] for name, found in texts.items() if found}
    assert (said.pop("finish_patch"), said.pop("lr")) == ("twice --patch", "muon 5e-3, adam and adamw 1e-3")
    assert RATES == {"adam": 1e-3, "adamw": 1e-3, "muon": 5e-3}
    unsaid = {"arch", "scale", "data", "betas", "milestones", "stage"}  # required, or empty, or of a file alone
    defaults = {f.name: f.default for f in fields(TrainConfig) if f.default is not None and f.name not in unsaid}
    assert {name: type(defaults.get(name, ""))(text) for name, text in said.items()} == defaults


@pytest.mark.parametrize("group", [(), ("models",)])
def test_the_list_of_commands_cuts_no_sentence_short_at_80_columns(group):
    listed = srcli(*group, "--help", env={"COLUMNS": "80"}).stdout.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upscale", "a.png", "--fp32"], "--fp32 is --precision fp32 here"),
        (["eval", "in", "--fp32"], "--fp32 is --precision fp32 here"),
        (
            ["upscale", "a.png", "--tile-overlap", "8"],
            "there is no --tile-overlap here: tiles overlap by as much as the network needs",
        ),
        (["upscale", "a.png", "-g", "0"], "-g is --device here"),
        (["upscale", "a.mp4", "--ss", "3"], "--ss is --start here"),
        (["upscale", "a.png", "--model_name", "x"], "--model_name is --model here"),
        (["upscale", "a.png", "--skip-existing"], "--skip-existing is --exists skip here"),
        (["upscale", "a.png", "--tile_pad", "8"], "there is no --tile_pad here: tiles overlap by as much as the network needs"),
        (["upscale", "a.png", "--half"], "--half is --precision fp16 here"),
        (["upscale", "a.png", "--gpu", "0"], "--gpu is --device here"),
        (["upscale", "a.png", "--denoise", "3"], "there is no --denoise here: -m rfdn-photo removes noise and compression"),
        (["train", "--epochs", "3"], "there is no --epochs here: --steps or --minutes says how long the run is"),
        (["upscale", "a.png", "-x"], "-x is --ensemble here"),
        (["upscale", "a.png", "-x4"], "-x4 is -s 4 here"),
        (["models", "path", "rfdn"], "there is no path here: srcli models pull prints where a file lies"),
    ],
)
def test_what_other_programs_take_is_answered_with_ours(arguments, said):
    result = srcli(*arguments)
    assert (result.exit_code, result.stderr) == (2, f"error: {said}\n")


def test_a_command_without_our_flag_does_not_name_it():
    assert "is --start here" not in srcli("eval", "in", "--ss", "3").stderr


@pytest.mark.parametrize("name", commands())
def test_no_flag_of_ours_is_taken_for_that_of_another_program(name):
    ours = _names(commands()[name])
    assert not [typed for typed in ours if _answer(typed, [], ours)]


def test_what_flags_of_other_programs_are_here_is_there():
    ours = set().union(*map(_names, commands().values()))
    assert {flag.partition(" ")[0] for flag in _RENAMED.values()} <= ours


def test_a_value_that_is_out_of_range_is_quoted():
    assert srcli("upscale", "a.png", "--quality", "0").stderr.rstrip().endswith("not '0'")


def test_a_value_that_is_no_number_is_quoted_without_talk_of_parsing():
    said = srcli("upscale", "a.png", "-s", "x4").stderr
    assert said.rstrip().endswith(("Input should be a valid number, not 'x4'", "'x4' is not a valid float."))


@pytest.mark.parametrize("name", ["photo.jpg", "my photos"])
def test_a_picture_in_place_of_a_command_is_answered_with_upscale(name, tmp_path):
    path = tmp_path / name
    path.mkdir()
    said = f"Error: the command is missing; to upscale: srcli upscale {shlex.quote(str(path))} -s 4\n"
    assert srcli(path, "-s", 4).stderr.endswith(said)


def test_flags_of_upscale_without_a_command_are_answered_with_it():
    said = srcli("-i", "a b.png", "-o", "out").stderr
    assert said.endswith("Error: the command is missing; to upscale: srcli upscale -i 'a b.png' -o out\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scale=4", "a.png"], "is missing; to upscale: srcli upscale --scale=4 a.png"),
        (["-", "-o", "-"], "is missing; to upscale: srcli upscale - -o -"),
        (["*.png"], "is missing; to upscale: srcli upscale '*.png'"),
        (["-s4", "a.png"], "is missing; to upscale: srcli upscale -s4 a.png"),
        (["-s", "4", "upscale", "a b.png"], "comes first: srcli upscale 'a b.png' -s 4"),
        (["--json", "models", "list"], "comes first: srcli models list --json"),
    ],
)
def test_flags_before_the_command_are_answered_with_the_right_order(arguments, said):
    assert srcli(*arguments).stderr.endswith(f"Error: the command {said}\n")


@pytest.mark.parametrize("command", [(), ("plot",), ("train", "--arch", "rfdn", "--scale", "4", "--out", "run", "--data")])
def test_a_name_longer_than_the_system_takes_is_a_line(command):
    result = srcli(*command, "a" * 5000)
    assert result.exit_code
    assert result.stderr.rstrip().endswith("aaa': File name too long" if command else "aaa'.")


def test_what_is_neither_a_command_nor_there_is_told_as_no_command():
    assert "No such command 'photo.jpg'" in srcli("photo.jpg").stderr


def test_completion_completes_commands():
    environment = {**os.environ, "_SRCLI_COMPLETE": "complete_bash", "COMP_WORDS": "srcli exp", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['srcli']; from srcli.cli import app; app(prog_name='srcli')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["export"]


def test_train_names_every_network_that_learns():
    (text,) = (option.help for option in commands()["train"].params if option.name == "arch")
    assert text == f"The network: {', '.join(name for name in ARCHS if _class(name).learnt)}.  [required]"
