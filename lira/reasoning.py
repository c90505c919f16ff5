"""Latent reasoning loop: a small recurrent plan r, refined until its own stop gate says enough.

    r_0 = MLP(pool(tokens), pool(text), time)
    u   = MLP(pool(SSM_think(tokens, r)), read(text, r))      a scan over an overview of the tokens, at most 8 x 8
    d   = sigmoid(W_d [r; u])          discard gate
    r   = d * r + (1 - d) * u
    s   = sigmoid(W_s r)               stop gate; halt when s > tau, at least 2 steps

Letters: B batch, h x w tokens, N tokens of their overview, M text tokens, w = reasoning width, T = most steps,
p_k = s_k prod_{j<k} (1 - s_j) the halting distribution of PonderNet (arXiv 2107.05407), whose last step takes what is
left.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lira.presets import Preset
from lira.scan import Selection, scan_chunked

HALT_ABOVE = 0.5
"""tau: a sample stops after the first step, the second or later, whose stop gate is above this."""
LEAST_STEPS = 2
OVERVIEW_SIDE = 8
"""Most rows and columns of tokens that the loop looks at: planning costs the same at every resolution."""
THINK_HEADS = 2
THINK_STATES = 8
CONSTANT_FILE = "reasoning_constant.safetensors"
"""Beside a denoiser's weights: `plan` (w,), the learned plan that stands for the whole loop."""


@dataclass(frozen=True)
class Thought:
    """What the loop reads: tokens (B, N, w), pooled text and time (B, w), text keys and values (B, M, w)."""

    tokens: Tensor
    start: Tensor
    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Reasoned:
    """Result: plan r (B, w), steps taken (B,) int64, and in training the halting distribution p (B, T)."""

    plan: Tensor
    steps: Tensor
    halting: Tensor | None = None


def overview(tokens: Tensor) -> Tensor:
    """Tokens (B, h, w, d) averaged over the cells of a grid of at most 8 x 8, row by row: (B, N, d)."""
    B, h, w, d = tokens.shape
    rows, columns = (_averaging(size).to(tokens) for size in (h, w))
    tokens = (rows @ tokens.reshape(B, h, w * d)).reshape(B, -1, w, d)
    return (columns @ tokens).flatten(1, 2)


def _averaging(size: int) -> Tensor:
    """(cells, size): row i averages the positions from floor(i size / cells) up to ceil((i + 1) size / cells)."""
    cells = min(size, OVERVIEW_SIDE)
    spans = [(i * size // cells, -(-(i + 1) * size // cells)) for i in range(cells)]
    return torch.tensor([[(a <= j < b) / (b - a) for j in range(size)] for a, b in spans])


class ReasoningLoop(nn.Module):
    """The loop and its projection to the conditioning vector."""

    def __init__(self, preset: Preset, d_text: int) -> None:
        super().__init__()
        w = preset.reasoning_width
        self.most_steps = preset.reasoning_steps
        self.token_proj = nn.Linear(preset.d_model, w)
        self.text_proj = nn.Linear(2 * d_text, w)
        self.text_key_value = nn.Linear(d_text, 2 * w)
        self.time_proj = nn.Linear(preset.d_cond, w)
        self.start = nn.Sequential(nn.Linear(2 * w, 2 * w), nn.GELU(), nn.Linear(2 * w, w))
        self.plan_to_tokens = nn.Linear(w, w)
        self.plan_to_query = nn.Linear(w, w)
        self.select = nn.Linear(w, 2 * (THINK_STATES + THINK_HEADS))
        self.D = nn.Parameter(torch.ones(THINK_HEADS))
        self.update = nn.Sequential(nn.Linear(2 * w, 2 * w), nn.GELU(), nn.Linear(2 * w, w))
        self.discard = nn.Linear(2 * w, w)
        self.stop = nn.Linear(w, 1)
        self.out_proj = nn.Linear(w, preset.d_cond)

    def prepare(self, tokens: Tensor, text: Tensor, time: Tensor) -> Thought:
        """tokens (B, h, w, d), normalised text (B, M, d_text), time embedding (B, d_cond) -> what every step reads."""
        tokens = overview(tokens)
        tokens = self.token_proj(F.layer_norm(tokens, tokens.shape[-1:]))
        pooled_text = self.text_proj(torch.cat([text.mean(1), text[:, -1]], -1))
        keys, values = self.text_key_value(text).chunk(2, dim=-1)
        return Thought(tokens, pooled_text + self.time_proj(time), keys, values)

    def first(self, thought: Thought) -> Tensor:
        """r_0 (B, w)."""
        return self.start(torch.cat([thought.tokens.mean(1), thought.start], -1))

    def step(self, thought: Thought, r: Tensor) -> tuple[Tensor, Tensor]:
        """One step for every sample: the next plan (B, w) and its stop gate s (B, 1)."""
        r = self._next(thought, r)
        return r, torch.sigmoid(self.stop(r))

    def _next(self, thought: Thought, r: Tensor) -> Tensor:
        u = self.update(torch.cat([self._think(thought, r), self._read_text(thought, r)], -1))
        d = torch.sigmoid(self.discard(torch.cat([r, u], -1)))
        return d * r + (1 - d) * u

    def _think(self, thought: Thought, r: Tensor) -> Tensor:
        """pool(SSM_think(tokens, r)): a scan over the tokens moved by the plan, (B, w)."""
        x = thought.tokens + self.plan_to_tokens(r)[:, None]
        B, N, w = x.shape
        S, H = THINK_STATES, THINK_HEADS
        B_t, C_t, dt, A = self.select(x).split([S, S, H, H], dim=-1)
        selection = Selection(F.softplus(dt), -F.softplus(A), B_t, C_t)
        return self._scan(x.reshape(B, N, H, w // H), selection).mean(1).reshape(B, w)

    def _scan(self, x: Tensor, selection: Selection) -> Tensor:
        """x (B, N, H, w / H) -> the same shape: the whole overview in one chunk."""
        return scan_chunked(x, *selection, self.D, OVERVIEW_SIDE**2)

    def _read_text(self, thought: Thought, r: Tensor) -> Tensor:
        """The plan looks up the prompt: one query over M text tokens, (B, w)."""
        scores = thought.keys @ self.plan_to_query(r)[..., None] / thought.keys.shape[-1] ** 0.5
        return (torch.softmax(scores, dim=1).transpose(1, 2) @ thought.values)[:, 0]

    def forward(self, tokens: Tensor, text: Tensor, time: Tensor) -> Reasoned:
        """Reason until every sample has halted; a sample that has keeps its plan while others go on."""
        thought = self.prepare(tokens, text, time)
        r = self.first(thought)
        alive = torch.ones(len(r), 1, dtype=torch.bool, device=r.device)
        steps = torch.zeros(len(r), dtype=torch.int64, device=r.device)
        for k in range(1, self.most_steps + 1):
            following, s = self.step(thought, r)
            r = torch.where(alive, following, r)
            steps = steps + alive[:, 0]
            if k >= LEAST_STEPS:
                alive = alive & (s <= HALT_ABOVE)
            if not alive.any():
                break
        return Reasoned(r, steps)

    def ponder(self, tokens: Tensor, text: Tensor, time: Tensor) -> Reasoned:
        """Training form: all T steps, the plan averaged over the halting distribution in half of the samples.

        The other half takes the plan at which inference would halt, so that what is trained is also what is run;
        the gates learn through the averaged half. Under autocast, too, the distribution is computed in float32.
        """
        thought = self.prepare(tokens, text, time)
        r = self.first(thought)
        plans, halting = [], []
        exact = torch.promote_types(r.dtype, torch.float32)
        left = torch.ones(len(r), 1, dtype=exact, device=r.device)
        for k in range(1, self.most_steps + 1):
            r = self._next(thought, r)
            s = torch.sigmoid(self.stop(r).to(exact))
            if k < LEAST_STEPS:
                s = torch.zeros_like(s)
            p = left if k == self.most_steps else left * s
            left = left - p
            plans.append(r)
            halting.append(p)
        p, plan = torch.cat(halting, -1), torch.stack(plans, 1)
        steps = _halting_step(p)
        averaged = (p[..., None] * plan).sum(1)
        halted = plan[torch.arange(len(plan), device=plan.device), steps - 1]
        even = (torch.arange(len(plan), device=plan.device) % 2 == 0)[:, None]
        return Reasoned(torch.where(even, averaged, halted), steps, p)


class ConstantPlan(nn.Module):
    """In the place of a loop: the same plan (w,) for every sample, in no steps, through the loop's own projection."""

    def __init__(self, loop: ReasoningLoop, plan: Tensor) -> None:
        super().__init__()
        self.out_proj = loop.out_proj
        self.plan = nn.Parameter(plan.clone())

    def forward(self, tokens: Tensor, text: Tensor, time: Tensor) -> Reasoned:
        """The arguments of `ReasoningLoop.forward`; plan (B, w) and 0 steps (B,)."""
        return Reasoned(self.plan.expand(len(time), -1), torch.zeros(len(time), dtype=torch.int64, device=time.device))


def _halting_step(p: Tensor) -> Tensor:
    """First step whose stop gate s_k = p_k / (1 - sum_{j<k} p_j) is above tau, the last one otherwise; (B,) from 1."""
    before = 1 - (p.cumsum(1) - p)
    stops = p > HALT_ABOVE * before
    stops[:, -1] = True
    return stops.float().argmax(1) + 1
