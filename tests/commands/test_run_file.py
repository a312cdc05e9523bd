import pytest

from srcli.commands.run_file import assignments, merge, read
from srcli.engine.settings import Stage
from srcli.errors import UsageError


def test_a_file_gives_stages_and_flags_win_over_it(tmp_path):
    (tmp_path / "run.toml").write_text(
        "steps = 9\nlr = 1\nhalve-every = 3\nmilestones = [2, 4]\n"
        "[[stage]]\nshare = 0.3\nloss = 'mse'\n[[stage]]\nshare = 0.1\n"
    )
    assert merge({"minutes": 2.0, "lr": 0.5}, read(tmp_path / "run.toml"), None) == {
        "minutes": 2.0,
        "lr": 0.5,
        "halve_every": 3,
        "milestones": (2, 4),
        "stage": (Stage(0.3, loss="mse"), Stage(0.1)),
    }


def test_a_flag_replaces_the_files_setting_of_the_same_thing(tmp_path):
    (tmp_path / "run.toml").write_text("steps = 9\nvalidate-every = 3")
    assert merge({"validate_steps": 5}, read(tmp_path / "run.toml"), None) == {"steps": 9, "validate_steps": 5}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("stpes = 3", "unknown key 'stpes'; did you mean 'steps'"),
        ("batch = 'two'", "batch = 'two', of the wrong type"),
        ("batch = true", "of the wrong type"),
        ("betas = [0.9]", "of the wrong type"),
        ("milestones = ['a']", "of the wrong type"),
        ("loss = 'l3'", "loss = 'l3', not one of l1, smooth-l1"),
        ("stage = [1]", "of the wrong type"),
        ("[[stage]]\npatch = 3", "a \\[\\[stage\\]\\] needs 'share'"),
        ("[[stage]]\nshare = 0.1\npath = 3", "did you mean 'patch'"),
        ("[[stage]]\nshare = 0.1\nloss = 'mes'", "loss = 'mes', not one of"),
    ],
)
def test_what_a_run_does_not_take_is_refused(tmp_path, text, error):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UsageError, match=error):
        merge({}, read(tmp_path / "run.toml"), None)


def test_a_value_is_json_or_a_word():
    texts = ["channels=48", "activation=relu", "order=[0, 1]", "cca=true", "gate=null", "a=b=c"]
    expected = {"channels": 48, "activation": "relu", "order": [0, 1], "cca": True, "gate": None, "a": "b=c"}
    assert assignments(texts, "--set") == expected


@pytest.mark.parametrize("text", ["channels", "=48", "channels=", ""])
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(UsageError, match="--set takes KEY=VALUE such as channels=48"):
        assignments([text], "--set")


def test_a_networks_arguments_come_from_the_file_and_the_flags(tmp_path):
    (tmp_path / "run.toml").write_text("arch = 'standard'\nsteps = 9\n[network]\nchannels = 48\nblocks = 3\n")
    merged = merge({"network": {"blocks": 5, "gate": "full"}}, read(tmp_path / "run.toml"), None)
    assert merged["network"] == {"channels": 48, "blocks": 5, "gate": "full"}


def test_a_network_takes_true_and_false():
    assert merge({"arch": "rfdn", "network": {"residual": True}}, {}, None)["network"] == {"residual": True}


@pytest.mark.parametrize(
    ("arch", "values", "error"),
    [
        ("standard", {"chanels": 3}, "'standard' has an unknown key 'chanels'; did you mean 'channels'"),
        ("standard", {"scale": 3}, "unknown key 'scale'"),
        ("standard", {"channels": "many"}, "channels = 'many', of the wrong type"),
        ("rfdn", {"attention": "full"}, "attention = 'full', not one of esa, cca"),
        ("rfdn", {"residual": 1}, "residual = 1, of the wrong type"),
        ("carn", {"wide": 3}, "did you mean 'width'"),
    ],
)
def test_what_a_network_does_not_take_is_refused(arch, values, error):
    with pytest.raises(UsageError, match=error):
        merge({"arch": arch, "network": values}, {}, None)
