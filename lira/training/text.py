"""Train the demo's CLIP text encoder on captions alone: its states must tell what a scene holds.

Linear heads read every attribute of the scene (things, relation, background, size, position) from the last state and
from the mean of the states, which are what the denoiser pools; afterwards the heads are thrown away and the encoder is
frozen.
"""

from pathlib import Path

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor, nn

from lira.checkpoint import save_module
from lira.data.scenes import BACKGROUNDS, POSITIONS, RELATIONS, SIZES, Scene, sample_split
from lira.data.vocabulary import VOCABULARY
from lira.text import FactoredEmbedding, TextEncoder, tokenise
from lira.training.launch import single_device
from lira.training.loop import STATE_NAME, adamw, begin, optimise, training_steps
from lira.training.recipe import Count, Optimiser, Run, check_warmup
from lira.training.state import Ema, TrainingState
from lira.training.watch import View, Watch
from lira_runtime.tokenizer import ClipTokenizer

CHOICES: dict[str, list[str | None]] = {
    "first": list(VOCABULARY),
    "second": [None, *VOCABULARY],
    "relation": [None, *RELATIONS],
    "background": list(BACKGROUNDS),
    "size": list(SIZES),
    "position": list(POSITIONS),
}
"""Attribute of `Scene` -> its values; a label is an index into them."""


class TextRecipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a run of the text encoder's training."""

    steps: Count
    batch: Count
    """Captions a step."""
    optimiser: Optimiser
    run: Run

    def __post_init__(self) -> None:
        check_warmup(self.optimiser, self.steps)


class AttributeReader(nn.Module):
    """The encoder with linear heads on its last state and on its mean state."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict({n: nn.Linear(2 * encoder.width, len(values)) for n, values in CHOICES.items()})

    def forward(self, ids: Tensor) -> list[dict[str, Tensor]]:
        """ids (B, 77) -> logits by attribute, from the last state alone and from the mean state alone."""
        states = self.encoder(ids)
        last, mean = states[:, -1], states.mean(1)
        views = (torch.cat([last, torch.zeros_like(mean)], -1), torch.cat([torch.zeros_like(last), mean], -1))
        return [{name: head(view) for name, head in self.heads.items()} for view in views]


def labels(scenes: list[Scene]) -> dict[str, Tensor]:
    """Index of every attribute's value, (B,) int64 each."""
    return {
        name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes]) for name, values in CHOICES.items()
    }


def silence_unseen_words(encoder: TextEncoder, tokenizer: ClipTokenizer) -> None:
    """Zero the table rows of words that no caption uses, so that a word never trained on says nothing."""
    table = encoder.clip.embeddings.token_embedding
    assert isinstance(table, FactoredEmbedding)
    nn.init.normal_(table.expand.weight, std=0.05)
    rng = np.random.default_rng(0)
    seen = torch.zeros(len(table.table.weight), 1)
    seen[tokenise(tokenizer, [sample_split(rng, held_out=False).caption for _ in range(5000)]).unique()] = 1
    with torch.no_grad():
        table.table.weight.mul_(seen)


@torch.no_grad()
def accuracy(model: AttributeReader, tokenizer: ClipTokenizer, count: int = 512) -> float:
    """Share of held-out captions whose every attribute is read right from the last state."""
    rng = np.random.default_rng(1)
    scenes = [sample_split(rng, held_out=True) for _ in range(count)]
    logits, wanted = model(tokenise(tokenizer, [scene.caption for scene in scenes]))[0], labels(scenes)
    right = torch.stack([logits[name].argmax(-1) == wanted[name] for name in CHOICES]).all(0)
    return float(right.float().mean())


def new_state(tokenizer: ClipTokenizer, recipe: TextRecipe) -> TrainingState:
    """A fresh encoder with heads, optimiser and EMA; the same for the same seed."""
    torch.manual_seed(recipe.run.seed)
    encoder = TextEncoder("demo")
    silence_unseen_words(encoder, tokenizer)
    model = AttributeReader(encoder)
    ema, text = Ema(model, recipe.optimiser.ema_decay), msgspec.json.encode(recipe).decode()
    return TrainingState(model, adamw(model, recipe.optimiser), ema, settings={"stage": "text"}, recipe=text)


def train(state: TrainingState, tokenizer: ClipTokenizer, recipe: TextRecipe, out: Path, watch: Watch) -> None:
    """Train to the recipe's last step and write `text_encoder.safetensors` (float16, EMA weights) to `out`."""
    for step in training_steps(state, recipe.steps, out / STATE_NAME, recipe.run.save_every):
        rng = np.random.default_rng((recipe.run.seed, step))
        scenes = [sample_split(rng, held_out=False) for _ in range(recipe.batch)]
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.run.bf16):
            views = state.model(tokenise(tokenizer, [scene.caption for scene in scenes]))
        wanted = labels(scenes)
        loss = torch.stack([F.cross_entropy(view[n].float(), wanted[n]) for view in views for n in CHOICES]).sum()
        if optimise(state, loss, recipe.optimiser, recipe.steps) is None:
            break
        watch.record(state, {"loss": loss.item()}, recipe.batch)
    model = AttributeReader(TextEncoder("demo"))
    model.load_state_dict(state.ema.shadow)
    model.eval()
    right = accuracy(model, tokenizer)
    watch.result(f"held-out captions read right: {right:.1%}", {"captions read right": right})
    save_module(model.encoder, out / "text_encoder.safetensors", torch.float16, {"preset": "demo"})


def run(recipe: TextRecipe, out: Path, resume: bool, view: View = View()) -> None:  # noqa: B008
    """Train to the recipe's last step over all runs; one process, on the CPU.

    Raises BadInput for several processes, or when `out` holds a run and `resume` is not given.
    """
    single_device("The text encoder")
    tokenizer = ClipTokenizer.vendored()
    state = new_state(tokenizer, recipe)
    begin(state, out, resume, recipe.steps)
    with Watch(out, state, recipe.steps, recipe.run.log_every, view) as watch:
        train(state, tokenizer, recipe, out, watch)
