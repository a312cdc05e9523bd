import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from srcli.engine.scenes import Layer, Scene, draw_scene
from srcli.engine.upscale import Upscaler
from srcli.ops.metrics import psnr
from srcli.ops.pixels import to_tensor
from srcli.zoo import open_model


def _scene(key: int, scale: int = 4) -> Scene:
    return draw_scene(24, scale, np.random.default_rng(key))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [_scene(key) for key in range(120)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_scene_has_the_sizes_of_hr_and_lr(scale):
    scenes = [_scene(key, scale) for key in range(12)]
    assert {scene.hr.color.shape for scene in scenes} == {(3, 24 * scale, 24 * scale)}
    assert {scene.hr.cover.shape for scene in scenes} == {(1, 24 * scale, 24 * scale)}
    assert {scene.lr.color.shape for scene in scenes if scene.lr} == {(3, 24, 24)}


def test_the_same_choices_give_the_same_scene(scenes):
    again = _scene(3)
    assert torch.equal(scenes[3].hr.color, again.hr.color)
    assert not torch.equal(scenes[3].hr.color, scenes[4].hr.color)


def test_half_of_the_scenes_are_aliased_at_lr_and_three_tenths_smooth(scenes):
    kinds = ["made" if scene.lr is None else "smooth" if _between(scene.lr) else "aliased" for scene in scenes]
    assert 45 <= kinds.count("aliased") <= 80
    assert 20 <= kinds.count("smooth") <= 50
    assert kinds.count("made") >= 12


def _between(layer: Layer) -> bool:
    """Whether colours are mixed: few inks give few colours."""
    return len(np.unique((layer.color.flatten(1).T * 255).round().numpy(), axis=0)) > 12


@pytest.mark.parametrize(("across", "down"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_lr_lies_where_hr_does(scenes, across, down):
    """A px of HR to any side LR is farther away than where it is."""
    drawn = [scene for scene in scenes if scene.lr]
    here, moved = (_apart(drawn, *by) for by in ((0, 0), (across, down)))
    assert 0 < here < 0.03
    assert here < moved


def _apart(drawn: list[Scene], across: int, down: int) -> float:
    means = [torch.nn.functional.avg_pool2d(scene.hr.color.roll((down, across), (1, 2)), 4) for scene in drawn]
    return float(np.mean([float((mean - scene.lr.color).abs().mean()) for scene, mean in zip(drawn, means, strict=True)]))


def test_a_scene_covers_the_whole_or_lets_the_picture_show_where_nothing_is_drawn(scenes):
    below = torch.full((3, 96, 96), 0.5)
    bare = [scene for scene in scenes if scene.hr.cover.min() == 1]
    assert 66 <= len(bare) <= 102
    assert all(torch.equal(scene.hr.over(below), scene.hr.color) for scene in bare)
    for scene in scenes:
        shown = scene.hr.over(below)
        assert (shown[:, scene.hr.cover[0] == 0] == 0.5).all()
        assert (scene.hr.color <= scene.hr.cover + 1 / 255).all()  # premultiplied
        assert 0 <= shown.min() <= shown.max() <= 1 + 1e-2


def test_scenes_are_of_all_contrasts(scenes):
    spread = [float(scene.hr.color.flatten(1).std(1).max()) for scene in scenes]
    assert min(spread) < 0.15 < 0.4 < max(spread)


def _chart(unit: int) -> Image.Image:
    """Draw lines and circles of one px, with `unit` px for one of the smallest."""
    picture = Image.new("RGB", (100 * unit, 70 * unit), "white")
    draw = ImageDraw.Draw(picture)
    for ink, points in (("black", [(8, 5), (8, 62), (95, 62)]), ((180, 20, 20), [(8, 55), (40, 22), (66, 40), (92, 9)])):
        draw.line([((x + 0.5) * unit, (y + 0.5) * unit) if unit > 1 else (x, y) for x, y in points], fill=ink, width=unit)
    for x, y in ((40, 22), (66, 40)):
        draw.ellipse(
            [(x - 5) * unit, (y - 5) * unit, (x + 6) * unit - 1, (y + 6) * unit - 1], outline=(20, 70, 160), width=unit
        )
    return picture


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_default_weights_come_nearer_to_a_chart_than_bicubic(scale):
    aliased, smooth = np.array(_chart(1)), to_tensor(np.array(_chart(4 * scale).reduce(4)))
    scores = {}
    for name in ("rfdn", "bicubic"):
        enlarged = Upscaler(open_model(name, scale)[0], precision="fp32").pixels(aliased)
        scores[name] = psnr(to_tensor(enlarged), smooth)
    assert scores["rfdn"] > scores["bicubic"] + 0.5
