"""Model sizes. `python -m lira.presets` prints each preset's parameters beside the published table."""

from dataclasses import dataclass

from lira_runtime.errors import BadInput


@dataclass(frozen=True)
class Preset:
    """Shape of a LiRA denoiser.

    Widths are multiples of d_model: `scan_ratio` for the scan's values, `ffn_ratio` for the Mix-FFN, `cond_ratio` for
    the conditioning vector. `head_width` and `fusion_head_width` are the channels of one head of the scan and of the
    fusion, which follows every `fusion_every` blocks. The reasoning loop is `reasoning_width` wide and takes at most
    `reasoning_steps`; `chunk` is the most tokens of a row or column that one product of the scan mixes.
    """

    name: str
    blocks: int
    d_model: int
    d_state: int
    scan_ratio: float = 1.5
    ffn_ratio: float = 4.0
    cond_ratio: float = 2.0
    head_width: int = 192
    fusion_head_width: int = 64
    fusion_every: int = 4
    reasoning_width: int = 128
    reasoning_steps: int = 6
    chunk: int = 64

    @property
    def d_scan(self) -> int:
        return int(self.d_model * self.scan_ratio)

    @property
    def d_ffn(self) -> int:
        return int(self.d_model * self.ffn_ratio)

    @property
    def d_cond(self) -> int:
        return int(self.d_model * self.cond_ratio)

    @property
    def scan_heads(self) -> int:
        return self.d_scan // self.head_width


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("nano", blocks=8, d_model=192, d_state=8, head_width=96, fusion_every=2, reasoning_steps=4),
        Preset("tiny", blocks=12, d_model=384, d_state=8, ffn_ratio=3.25),
        Preset("small", blocks=20, d_model=512, d_state=16),
        Preset("base", blocks=28, d_model=768, d_state=16),
        Preset("large", blocks=36, d_model=1024, d_state=16, scan_ratio=0.75, ffn_ratio=2.5, cond_ratio=1.25),
    )
}

PUBLISHED = {"tiny": (46e6, 0.01), "small": (140e6, 0.01), "base": (433e6, 0.01), "large": (600e6, 0.02)}
"""Parameters and tolerance, counted at in_channels=4, d_text=768, patch_size=2."""


def get_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        BadInput: there is none; the message lists those there are.
    """
    if name not in PRESETS:
        raise BadInput(f"Unknown config '{name}'; choose one of: {', '.join(PRESETS)}.")
    return PRESETS[name]


def count_parameters(name: str) -> int:
    """Parameters of a preset at the table's in_channels=4, d_text=768, patch_size=2; allocates no weights."""
    import torch

    from lira.model import LiRAModel

    with torch.device("meta"):
        model = LiRAModel(name, in_channels=4, d_text=768, patch_size=2)
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    """Print the table; exit status 1 when a preset is outside its tolerance."""
    wrong = []
    print(
        f"{'preset':8}{'blocks':>7}{'d_model':>9}{'d_state':>9}{'parameters':>14}{'fp16 MiB':>10}"
        f"{'published':>12}{'off':>8}"
    )
    for name, preset in PRESETS.items():
        count = count_parameters(name)
        row = f"{name:8}{preset.blocks:7}{preset.d_model:9}{preset.d_state:9}{count:14,}{count * 2 / 2**20:10.1f}"
        if name in PUBLISHED:
            target, tolerance = PUBLISHED[name]
            off = count / target - 1
            row += f"{target / 1e6:10.0f} M{off:+8.2%}"
            if abs(off) > tolerance:
                wrong.append(name)
        print(row)
    if wrong:
        raise SystemExit(f"Outside the published tolerance: {', '.join(wrong)}.")


if __name__ == "__main__":
    main()
