"""The patch discriminator: what a logit sees, and which weights each of the two losses moves."""

import pytest
import torch

from lira.training.discriminator import PatchDiscriminator, discriminator_loss, generator_loss


def seeded() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator()


def test_a_logit_depends_on_40_px_and_no_more() -> None:
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    seeded()(image)[0, 0, 8, 8].backward()
    touched = image.grad[0].abs().sum(0).nonzero()
    assert (touched.amax(0) - touched.amin(0) + 1).tolist() == [40, 40]


def test_one_backward_moves_each_side_by_its_own_loss_only() -> None:
    discriminator, image = seeded(), torch.rand(2, 3, 64, 64)
    made = torch.rand(2, 3, 64, 64, requires_grad=True)
    generator, own = generator_loss(discriminator, made), discriminator_loss(discriminator, made, image)
    of_made = torch.autograd.grad(-discriminator(made).mean(), made)[0]
    of_weights = torch.autograd.grad(
        0.5 * ((1 - discriminator(image)).relu().mean() + (1 + discriminator(made)).relu().mean()),
        list(discriminator.parameters()),
    )
    (generator + own).backward()
    torch.testing.assert_close(made.grad, of_made)
    for parameter, wanted in zip(discriminator.parameters(), of_weights, strict=True):
        torch.testing.assert_close(parameter.grad, wanted)


def test_hinge_costs_one_at_the_start_and_nothing_beyond_the_margin() -> None:
    discriminator = seeded()
    with torch.no_grad():
        discriminator.layers[-1].weight.zero_()
        discriminator.layers[-1].bias.zero_()
    black, white = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    assert discriminator_loss(discriminator, black, white).item() == pytest.approx(1.0)
    discriminator.forward = lambda image: 4 * (image - 0.5)  # type: ignore[method-assign]  # logits 2 and -2
    assert discriminator_loss(discriminator, black, white).item() == 0.0


def test_it_learns_to_tell_blurred_patches_from_sharp_ones() -> None:
    discriminator = seeded()
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=2e-3)
    for _ in range(40):
        image = torch.rand(4, 3, 64, 64)
        loss = discriminator_loss(discriminator, torch.nn.functional.avg_pool2d(image, 3, 1, 1), image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2
