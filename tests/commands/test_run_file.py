import pytest

from srcli.commands.run_file import merge, read
from srcli.engine.settings import Stage
from srcli.errors import UsageError


def test_a_file_gives_stages_and_flags_win_over_it(tmp_path):
    (tmp_path / "run.toml").write_text(
        "steps = 9\nlr = 1\nhalve-every = 3\nmilestones = [2, 4]\n[[stage]]\nshare = 0.3\nloss = 'mse'\n[[stage]]\nshare = 0.1\n"
    )
    assert merge({"minutes": 2.0, "lr": 0.5}, read(tmp_path / "run.toml"), None) == {
        "minutes": 2.0,
        "lr": 0.5,
        "halve_every": 3,
        "milestones": (2, 4),
        "stage": (Stage(0.3, loss="mse"), Stage(0.1)),
    }


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
