import numpy as np
import pytest
import torch

from srcli.engine.scenes import Layer, Scene, draw_scene


def _scene(key: int, scale: int = 4) -> Scene:
    return draw_scene(24, scale, np.random.default_rng(key))


SCENES = [_scene(key) for key in range(120)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_scene_has_the_sizes_of_hr_and_lr(scale):
    scenes = [_scene(key, scale) for key in range(12)]
    assert {scene.hr.color.shape for scene in scenes} == {(3, 24 * scale, 24 * scale)}
    assert {scene.hr.cover.shape for scene in scenes} == {(1, 24 * scale, 24 * scale)}
    assert {scene.lr.color.shape for scene in scenes if scene.lr} == {(3, 24, 24)}


def test_the_same_choices_give_the_same_scene():
    again = _scene(3)
    assert torch.equal(SCENES[3].hr.color, again.hr.color)
    assert not torch.equal(SCENES[3].hr.color, SCENES[4].hr.color)


def test_half_of_the_scenes_are_aliased_at_lr_and_three_tenths_smooth():
    kinds = ["made" if scene.lr is None else "smooth" if _between(scene.lr) else "aliased" for scene in SCENES]
    assert 45 <= kinds.count("aliased") <= 80
    assert 20 <= kinds.count("smooth") <= 50
    assert kinds.count("made") >= 12


def _between(layer: Layer) -> bool:
    """Whether colours are mixed: few inks give few colours."""
    return len(np.unique((layer.color.flatten(1).T * 255).round().numpy(), axis=0)) > 12


def test_hr_and_lr_show_the_same():
    drawn = [scene for scene in SCENES if scene.lr]
    means = [torch.nn.functional.avg_pool2d(scene.hr.color, 4) for scene in drawn]
    apart = [float((mean - scene.lr.color).abs().mean()) for scene, mean in zip(drawn, means, strict=True)]
    moved = [float((mean.roll(2, 2) - scene.lr.color).abs().mean()) for scene, mean in zip(drawn, means, strict=True)]
    assert np.mean(apart) < 0.03 < np.mean(moved) / 2


def test_a_scene_covers_the_whole_or_lets_the_picture_show_where_nothing_is_drawn():
    below = torch.full((3, 96, 96), 0.5)
    bare = [scene for scene in SCENES if scene.hr.cover.min() == 1]
    assert 66 <= len(bare) <= 102
    assert all(torch.equal(scene.hr.over(below), scene.hr.color) for scene in bare)
    for scene in SCENES:
        shown = scene.hr.over(below)
        assert (shown[:, scene.hr.cover[0] == 0] == 0.5).all()
        assert (scene.hr.color <= scene.hr.cover + 1 / 255).all()  # premultiplied
        assert 0 <= shown.min() <= shown.max() <= 1 + 1e-2


def test_scenes_hold_text_lines_and_patterns_of_all_contrasts():
    spread = [float(scene.hr.color.flatten(1).std(1).max()) for scene in SCENES]
    assert min(spread) < 0.15 < 0.4 < max(spread)
