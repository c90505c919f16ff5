"""Flow matching: the path, its times and its losses."""

import pytest
import torch

from lira.flow import TimeDistribution, halting_loss, noised, velocity_loss


def test_the_path_runs_from_data_to_noise_at_constant_velocity() -> None:
    z_0, eps = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert torch.equal(noised(z_0, eps, torch.zeros(2)), z_0)
    assert torch.equal(noised(z_0, eps, torch.ones(2)), eps)
    step = (noised(z_0, eps, torch.full((2,), 0.6)) - noised(z_0, eps, torch.full((2,), 0.5))) / 0.1
    assert torch.allclose(step, eps - z_0, atol=1e-4)
    assert not velocity_loss(eps - z_0, z_0, eps).any()


def test_laplace_times_have_the_quantiles_of_their_log_snr() -> None:
    generator = torch.Generator().manual_seed(0)
    t = TimeDistribution(mu=0.5, b=0.5, uniform_share=0.0).sample(200_000, generator)
    lam = 2 * torch.log((1 - t) / t)
    assert lam.median() == pytest.approx(0.5, abs=0.02)
    # A Laplace variable is within b ln 2 of its median half of the time.
    assert ((lam - 0.5).abs() < 0.5 * 0.6931).float().mean() == pytest.approx(0.5, abs=0.01)


def test_the_uniform_share_reaches_the_start_of_sampling() -> None:
    generator = torch.Generator().manual_seed(0)
    alone = TimeDistribution(b=0.5, uniform_share=0.0).sample(100_000, generator)
    mixed = TimeDistribution(b=0.5, uniform_share=0.2).sample(100_000, generator)
    assert (alone > 0.9).float().mean() < 0.01
    assert (mixed > 0.9).float().mean() == pytest.approx(0.02, abs=0.01)
    assert mixed.min() > 0 and mixed.max() < 1


def test_the_halting_loss_is_least_at_its_prior() -> None:
    prior = 0.4 * 0.6 ** torch.arange(4.0)
    prior = torch.cat([torch.zeros(1), prior / prior.sum()])[None]
    assert halting_loss(prior, 0.4).item() == pytest.approx(0, abs=1e-6)
    late = torch.tensor([[0.0, 0.05, 0.05, 0.1, 0.8]])
    assert halting_loss(late, 0.4).item() > 0.5
