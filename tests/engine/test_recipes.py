"""The papers' training values are those of ARCHITECTURES.md section 12, and a TrainConfig takes them."""

import pytest

from srcli.engine.recipes import recipe
from srcli.engine.settings import TrainConfig
from srcli.errors import UsageError
from srcli.models import ARCHS

KEYS = ("patch", "batch", "lr", "halve_every", "steps", "loss")
PAPER = {
    "mfdn": (256, 64, 5e-4, 200_000, 1_000_000, "smooth-l1"),
    "rfdn": (64, 64, 5e-4, 200_000, 1_000_000, "l1"),
    "rfdn-c48": (64, 64, 5e-4, 200_000, 1_000_000, "l1"),
    "rfdn-c52": (64, 64, 5e-4, 200_000, 1_000_000, "l1"),
    "imdn": (48, 16, 2e-4, 200_000, 1_000_000, "l1"),
    "rdsrn": (48, 16, 2e-4, 200_000, 1_000_000, "l1"),
    "drn": (48, 16, 1e-4, 200_000, 800_000, "l1"),
    "drn-plus": (48, 16, 1e-4, 200_000, 300_000, "l1"),
    "fdiwn": (48, 16, 2e-4, 200_000, 1_000_000, "l1"),
    "fdiwn-m": (48, 16, 2e-4, 200_000, 1_000_000, "l1"),
}


@pytest.mark.parametrize("arch", PAPER)
def test_the_recipe_has_the_papers_values(arch):
    values = recipe("paper", arch, 4)
    assert tuple(values[key] for key in KEYS) == PAPER[arch]
    assert (values["optimizer"], values["schedule"], values["betas"]) == ("adam", "step", (0.9, 0.999))


@pytest.mark.parametrize(("arch", "patches"), [("imdn", [96, 64, 48]), ("rfdn", [64, 64, 64])])
def test_patches_are_of_the_side_that_the_authors_fix(arch, patches):
    assert [recipe("paper", arch, scale)["patch"] for scale in (2, 3, 4)] == patches
    assert ("patch" in recipe("paper", arch)) == (arch == "rfdn")  # of a run that is resumed without its scale


@pytest.mark.parametrize("arch", PAPER)
def test_a_configuration_takes_the_recipe(arch):
    assert TrainConfig(arch=arch, scale=4, data="pictures", **recipe("paper", arch, 4)).rate == PAPER[arch][2]


@pytest.mark.parametrize("arch", sorted(set(ARCHS) - set(PAPER)))
def test_without_the_papers_values_there_is_no_recipe(arch):
    with pytest.raises(UsageError, match=f"no paper's recipe is known for '{arch}'"):
        recipe("paper", arch)


def test_another_recipe_is_refused():
    with pytest.raises(UsageError, match="--recipe is paper, not 'mine'"):
        recipe("mine", "rfdn")
