"""Flow matching: the straight path from data to noise, its loss and the times it is trained at.

    z_t = (1 - t) z_0 + t eps        v = eps - z_0        loss = || v_theta(z_t, t, text) - v ||^2

Letters: z_0 data latent, eps Gaussian noise, t in [0, 1] (1 is noise, called sigma in the sampler), lam = log-SNR,
mu and b location and scale of the Laplace distribution over lam (arXiv 2407.03297).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TimeDistribution:
    """Laplace times over log-SNR mixed with a share of uniform ones.

    With b = 0.5 alone almost nothing is drawn above t = 0.9, where sampling starts; `uniform_share` covers it.
    """

    mu: float = 0.0
    b: float = 0.5
    uniform_share: float = 0.2

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Times (count,) float32 in (0, 1)."""
        u = torch.rand(count, generator=generator).clamp(1e-6, 1 - 1e-6)
        lam = self.mu - self.b * torch.sign(0.5 - u) * torch.log1p(-2 * (u - 0.5).abs())
        laplace = torch.sigmoid(-lam / 2)
        uniform = torch.rand(count, generator=generator)
        return torch.where(torch.rand(count, generator=generator) < self.uniform_share, uniform, laplace)


def noised(z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """z_t at times t (B,), for latents (B, C, h, w)."""
    t = t.reshape(-1, *[1] * (z_0.ndim - 1))
    return (1 - t) * z_0 + t * eps


def velocity_loss(v: Tensor, z_0: Tensor, eps: Tensor) -> Tensor:
    """Mean squared error (B,) of each sample's velocity."""
    return (v.float() - (eps - z_0)).square().flatten(1).mean(1)


def halting_loss(halting: Tensor, halt_probability: float) -> Tensor:
    """KL (B,) of the halting distribution p (B, T) from a truncated geometric prior (arXiv 2107.05407, eq. 5).

    The prior gives step 1 nothing, since the loop takes at least two steps.
    """
    T = halting.shape[1]
    steps = torch.arange(T - 1, device=halting.device)
    prior = halt_probability * (1 - halt_probability) ** steps
    prior = prior / prior.sum()
    p = halting[:, 1:].clamp_min(1e-8)
    return (p * (p.log() - prior.log())).sum(1)
