import pytest
import torch

from srcli.engine.losses import frequency, make_loss


def test_the_frequency_loss_adds_the_spectra_to_l1():
    torch.manual_seed(0)
    sr, hr = torch.rand(2, 3, 9, 14), torch.rand(2, 3, 9, 14)
    spectrum = torch.fft.fft2(sr - hr)[..., : 14 // 2 + 1]
    by_hand = (spectrum.real.abs() + spectrum.imag.abs()).mean() / 2
    assert frequency(sr, hr).item() == pytest.approx(by_hand.item(), rel=1e-5)
    expected = (sr - hr).abs().mean() + 0.3 * by_hand
    assert make_loss("frequency", weight=0.3)(sr, hr).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["l1", "smooth-l1", "mse", "charbonnier", "frequency"])
def test_every_loss_is_least_where_the_pictures_are_equal(name):
    torch.manual_seed(0)
    x = torch.rand(1, 3, 8, 8)
    loss = make_loss(name)
    assert loss(x, x).item() == pytest.approx(0, abs=1.1e-3)  # charbonnier's is 1e-3
    assert loss(x, x).item() < loss(x + 0.1, x).item()
