"""The peers that LiRA is measured against, as ONNX graphs in the form that is fastest for them.

Built through diffusers with random weights of the published configuration (speed does not depend on the values) and
cached in build/peers/: a folder's name carries a digest of everything that its graph was made by.

SANA-0.6B (arXiv 2410.10629): the denoiser, dynamic int8 by LiRA's own pass, every matrix product of it. Half of its
arithmetic are 1x1 convolutions, which onnxruntime has no fast integer kernel for; here they are matrix products.
TAESD: the decoder, in float32 as it is published, and in static int8 by onnxruntime's own quantizer, which is faster
where the processor has integer dot products. What int8 does to its pictures is not known here.
"""

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from diffusers import AutoencoderTiny, SanaTransformer2DModel
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

import lira_export
from lira_export.onnx.convert import IR_VERSION, OPSET
from lira_export.onnx.quantize import quantize
from lira_export.passes import run_passes
from lira_export.recipes import Recipe
from lira_runtime.files import atomic_directory
from timing import gflop

SANA_600M: Mapping[str, Any] = {
    "in_channels": 32,
    "out_channels": 32,
    "num_attention_heads": 36,
    "attention_head_dim": 32,
    "num_layers": 28,
    "num_cross_attention_heads": 16,
    "cross_attention_head_dim": 72,
    "cross_attention_dim": 1152,
    "caption_channels": 2304,
    "mlp_ratio": 2.5,
    "attention_bias": False,
    "patch_size": 1,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
}
"""transformer/config.json of the hub's Efficient-Large-Model/Sana_600M_1024px_diffusers, less its sample_size."""
SANA_SCALE = 32
"""Image px per latent cell of SANA's autoencoder; its patch is 1, so this is px per token too."""
SANA_PROMPT_TOKENS = 300
"""`max_sequence_length` of diffusers' SanaPipeline."""

TAESD: Mapping[str, Any] = {
    "latent_channels": 4,
    "decoder_block_out_channels": (64, 64, 64, 64),
    "num_decoder_blocks": (3, 3, 3, 1),
    "upsampling_scaling_factor": 2,
    "act_fn": "relu",
}
"""config.json of the hub's madebyollin/taesd, which is the default of diffusers' AutoencoderTiny."""
TAESD_SCALE = 8
"""Image px per latent cell."""

EVERY_PRODUCT = Recipe("every-product-int8", "int8", {}, 0, keep_float={"sana": ("*patch_embed*",)})
"""The patch embedding is a convolution of 0.01 % of the arithmetic."""
GRAPH = "graph.onnx"
CACHE = Path(__file__).parent.parent / "build" / "peers"


class PointwiseLinear(nn.Module):
    """A 1x1 convolution as the matrix product that it is; (b, c, h, w) -> (b, e, h, w)."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.linear = nn.Linear(convolution.in_channels, convolution.out_channels, convolution.bias is not None)
        with torch.no_grad():
            self.linear.weight.copy_(convolution.weight[:, :, 0, 0])
            if convolution.bias is not None:
                self.linear.bias.copy_(convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Sana(nn.Module):
    """SANA's denoiser with positional inputs and its pointwise convolutions as matrix products."""

    def __init__(self, config: Mapping[str, Any], side: int) -> None:
        super().__init__()
        self.transformer = SanaTransformer2DModel(**config, sample_size=side).eval()
        for block in self.transformer.transformer_blocks:
            block.ff.conv_inverted = PointwiseLinear(block.ff.conv_inverted)
            block.ff.conv_point = PointwiseLinear(block.ff.conv_point)

    def forward(self, latent: Tensor, timestep: Tensor, caption: Tensor) -> Tensor:
        """latent (1, 32, side, side), timestep (1,), caption (1, M, 2304) -> velocity like the latent."""
        return self.transformer(latent, caption, timestep, return_dict=False)[0]


def sana(side: int, config: Mapping[str, Any] = SANA_600M) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """SANA for a latent of `side` x `side` tokens, and inputs of the right shapes."""
    torch.manual_seed(0)
    latent = torch.randn(1, config["in_channels"], side, side)
    caption = torch.randn(1, SANA_PROMPT_TOKENS, config["caption_channels"])
    return Sana(config, side).requires_grad_(False), (latent, torch.tensor([500.0]), caption)


def taesd(side: int, config: Mapping[str, Any] = TAESD) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """TAESD's decoder for a latent of `side` x `side` cells, and a latent of that shape."""
    torch.manual_seed(0)
    return AutoencoderTiny(**config).eval().requires_grad_(False).decoder, (
        torch.randn(1, config["latent_channels"], side, side),
    )


def sana_gflop(side: int, config: Mapping[str, Any] = SANA_600M) -> float:
    """Arithmetic of one step, counted without memory for weights."""
    with torch.device("meta"):
        module, inputs = sana(side, config)
        return gflop(lambda: module(*inputs))


def sana_prompt_gflop(config: Mapping[str, Any] = SANA_600M) -> float:
    """Arithmetic of a step that depends on the prompt alone: its projection, keys and values of every block."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    of_projection = config["caption_channels"] * width + width**2
    of_blocks = config["num_layers"] * 2 * width * config["cross_attention_dim"]
    return 2 * SANA_PROMPT_TOKENS * (of_projection + of_blocks) / 1e9


def taesd_gflop(side: int, config: Mapping[str, Any] = TAESD) -> float:
    """Arithmetic of one picture."""
    with torch.device("meta"):
        module, inputs = taesd(side, config)
        return gflop(lambda: module(*inputs))


def sana_graph(side: int, config: Mapping[str, Any] = SANA_600M) -> Path:
    """The int8 graph of `sana(side, config)`, exported where the cache lacks it."""
    folder = CACHE / f"sana-{side}-{_digest(config, side)}"
    if not folder.exists():
        _write(
            folder, quantize(_to_onnx(*sana(side, config), ("latent", "timestep", "caption")), "sana", EVERY_PRODUCT)
        )
    return folder / GRAPH


def taesd_graph(side: int, config: Mapping[str, Any] = TAESD) -> Path:
    """The float32 graph of `taesd(side, config)`, exported where the cache lacks it."""
    folder = CACHE / f"taesd-{side}-{_digest(config, side)}"
    if not folder.exists():
        _write(folder, _to_onnx(*taesd(side, config), ("latent",)))
    return folder / GRAPH


def taesd_int8_graph(side: int, config: Mapping[str, Any] = TAESD) -> Path:
    """`taesd_graph` in static int8, activations uint8 with scales from one random latent."""
    source = taesd_graph(side, config)
    folder = CACHE / f"taesd-int8-{side}-{_digest(config, side)}"
    if not folder.exists():
        with atomic_directory(folder) as part, _quiet():
            quantize_static(
                source,
                part / GRAPH,
                _RandomLatent(config["latent_channels"], side),
                quant_format=QuantFormat.QOperator,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv", "Add", "Relu", "Resize"],
            )
    return folder / GRAPH


class _RandomLatent(CalibrationDataReader):
    def __init__(self, channels: int, side: int) -> None:
        self.feeds = iter([{"latent": torch.randn(1, channels, side, side).numpy()}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.feeds, None)


@torch.no_grad()
def _to_onnx(module: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str]) -> ir.Model:
    with _quiet():
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=["result"],
            optimize=False,
            verbose=False,
        )
    assert program is not None
    program.model.ir_version = IR_VERSION
    return run_passes(program.model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporter and quantizer report every step on stdout and warn about their own internals."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _write(folder: Path, model: ir.Model) -> None:
    with atomic_directory(folder) as part:
        ir.save(model, part / GRAPH, external_data=f"{GRAPH}.data", size_threshold_bytes=1024)


def _digest(config: Mapping[str, Any], side: int) -> str:
    """Eight letters that change with the configuration, the libraries, this file and the exporter's passes."""
    made_by = hashlib.sha256(json.dumps([dict(config), side]).encode())
    for library in ("diffusers", "torch", "onnx-ir", "onnxscript", "onnxruntime"):
        made_by.update(metadata.version(library).encode())
    package = Path(lira_export.__file__).parent
    for source in (Path(__file__), *sorted(package.glob("onnx/*.py")), *sorted(package.glob("passes/*.py"))):
        made_by.update(source.read_bytes())
    return made_by.hexdigest()[:8]
