"""PatchDiscriminator: which patches of a picture are real; hinge losses for it and for what it judges.

The discriminator and the network that it judges may be trained by one backward pass and one optimiser: the generator's
term goes through `judge_frozen`, so it moves no weight of the discriminator, and the discriminator's term takes
detached pictures.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FOLD = 4
WIDTHS = (32, 64)


class PatchDiscriminator(nn.Module):
    """Three convolutions on pictures folded to 1/4, where they are cheap; no normalisation, so patches stay apart."""

    def __init__(self) -> None:
        super().__init__()
        first, second = WIDTHS
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(FOLD),
            nn.Conv2d(3 * FOLD**2, first, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(first, second, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(second, 1, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """image (b, 3, H, W), sRGB about [0, 1], sides multiples of 8 -> logits (b, 1, H / 8, W / 8), > 0 for real.

        One logit depends on 40 x 40 px.
        """
        return self.layers(image - 0.5)


def judge_frozen(discriminator: PatchDiscriminator, image: Tensor) -> Tensor:
    """The logits, with a gradient for the image and none for the discriminator's weights."""
    weights = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    return torch.func.functional_call(discriminator, weights, (image,))


def generator_loss(discriminator: PatchDiscriminator, made: Tensor) -> Tensor:
    """Scalar: lower the more real `made` (b, 3, H, W) looks; moves no weight of the discriminator."""
    return -judge_frozen(discriminator, made).float().mean()


def discriminator_loss(discriminator: PatchDiscriminator, made: Tensor, image: Tensor) -> Tensor:
    """Hinge loss, a scalar: real patches above 1, made ones below -1 cost nothing; moves nothing but the weights."""
    real, fake = discriminator(torch.cat([image, made.detach()])).float().chunk(2)
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
