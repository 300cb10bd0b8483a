"""Published architectures with random weights: what `inspect` and a swap find in each.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/census.py [NAME ...] [--markdown]

Nothing is downloaded. For each architecture of timm, torchvision and transformers:

calls     calls of activations in one forward pass, counted below autograd, without actcompare
found     rows of inspect_model, with those that it names as unseen; products are not counted
axes      expected (activation, units) that it has, of those written down here by hand; +n: others
state     whether the model and the random numbers are as before, to the bit
swap      calls of the new activation, of those of the old one; a number of old ones that are left
gradient  largest difference from a model built with the new activation, plain and under reentrant
          and non-reentrant checkpointing, relative to each parameter's gradient; (n): how many

`names` checks the verdicts on units of known pre-activations, for every name of an activation in
transformers and timm. Exits with 1 if an axis, a state, a swap, a gradient or a verdict is wrong.
"""

import argparse
import copy
import json
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from actcompare import inspect_model
from actcompare.errors import ActcompareError
from actcompare.models.swap import swap_activations

# Without types, so that mypy says the same whether they are installed or not.
timm: Any = import_module("timm")
create_act: Any = import_module("timm.layers.create_act")
levit: Any = import_module("timm.models.levit")
mlp_mixer: Any = import_module("timm.models.mlp_mixer")
nfnet: Any = import_module("timm.models.nfnet")
vision: Any = import_module("torchvision.models")
transformers: Any = import_module("transformers")
ACT2FN: Any = import_module("transformers.activations").ACT2FN

ATEN = {
    **{name: name for name in (
        "relu", "gelu", "silu", "sigmoid", "tanh", "softplus", "hardswish", "hardsigmoid",
        "hardtanh", "leaky_relu", "elu", "mish", "glu", "hardshrink", "softshrink", "threshold",
        "clamp", "clamp_min",
    )},
    "_prelu_kernel": "prelu", "rrelu_with_noise": "rrelu", "log_sigmoid_forward": "logsigmoid",
}  # fmt: skip
"""Operators of activations; clamps count from 0 on, relu6 is a hardtanh, selu and celu an elu."""

PRODUCTS = ("swiglu", "geglu", "reglu", "quick_gelu", "quick_gelu_glu")
"""Rows of an activation times a projection, which no call makes by itself."""

CLASSES = {
    "relu": ("ReLU",), "relu6": ("ReLU6",), "hardswish": ("Hardswish",), "sigmoid": ("Sigmoid",),
    "gelu": ("GELU", "GELUTanh", "GELUActivation"), "silu": ("SiLU", "SiLUActivation"),
}  # fmt: skip
"""Modules to replace by hand, where a library does not build a model with another activation."""

NEW: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class Net(NamedTuple):
    """An architecture."""

    name: str
    make: Callable[[str], nn.Module]
    """Makes the model with the old activation, or with the new one of a name."""
    inputs: Any
    """The shape of an image, or keyword arguments."""
    swap: str
    """The old and the new activation."""
    rows: str
    """Activations, each with the units of its rows, and how many have so many: relu 64x5 128."""
    built: str = "modules"
    """How the net with the new activation is built: replaced modules, or an argument; or not."""
    operator: str = ""
    """The operator of the old activation, if it has another name."""
    note: str = ""
    axis: int = 0
    """The axis of the units, where another is as long, so that their means are compared."""


# --- architectures -------------------------------------------------------------------------------


def by_hand(net: Net, model: nn.Module) -> nn.Module:
    """Replace the modules of the old activation by the new one."""
    old, new = net.swap.split(">")
    classes = CLASSES.get(old, (old.rpartition(":")[2],))
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__ in classes:
                setattr(module, name, NEW[new]())
    return model


def of_timm(
    name: str, size: str, swap: str, rows: str, built: str = "modules", note: str = "", **given: Any
) -> Net:
    height, width = map(int, size.split("x"))
    if given.pop("sized", False):
        given["img_size"] = (height, width)

    def make(new: str) -> nn.Module:
        own = {built: NEW[new]} if new else {}
        model: nn.Module = timm.create_model(name, num_classes=7, **given, **own)
        return model

    return Net(f"timm {name}", make, (2, 3, height, width), swap, rows, built, note=note)


def made(name: str, size: str, swap: str, rows: str, make: Callable[[], Any], **more: Any) -> Net:
    """A net that is made from its class, as torchvision's are."""
    height, width = map(int, size.split("x"))
    return Net(name, lambda _: make(), (2, 3, height, width), swap, rows, **more)


def of_transformers(
    name: str, inputs: Mapping[str, Tensor], swap: str, rows: str, built: str = "hidden_act",
    operator: str = "", note: str = "", title: str = "", axis: int = 0, **given: Any,
) -> Net:  # fmt: skip
    """A net from its configuration; `built` are keys of the activation, each with a form of it."""

    def make(new: str) -> nn.Module:
        own = {}
        for key in built.split(",") if new else ():
            key, _, form = key.partition("=")
            own[key] = (form or "{}").format(new)
        kind = name.replace("ForCausalLM", "Model").replace("Model", "Config")
        config = getattr(transformers, kind)(**{**ALL, **given, **own})
        model: nn.Module = getattr(transformers, name)(config)
        return model

    return Net(f"hf {title or name}", make, inputs, swap, rows, built, operator, note, axis)


ALL: dict[str, Any] = {
    "use_cache": False, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "dropout": 0.0,
    "attention_dropout": 0.0, "dropout_rate": 0.0,
}  # fmt: skip
LM: dict[str, Any] = {
    "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48,
}  # fmt: skip
KV: dict[str, Any] = {**LM, "num_key_value_heads": 2}
MOE: dict[str, Any] = {**KV, "num_experts_per_tok": 4, "experts_implementation": "eager"}
T5: dict[str, Any] = {
    "vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
}  # fmt: skip
TWO: dict[str, Any] = {
    "vocab_size": 61, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "pad_token_id": 0,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40, "decoder_start_token_id": 1,
}  # fmt: skip
SOUND: dict[str, Any] = {
    **LM, "conv_dim": (16, 20), "conv_stride": (5, 2), "conv_kernel": (10, 3),
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
SWIN: dict[str, Any] = {
    "image_size": (32, 64), "embed_dim": 12, "depths": [1, 2], "num_heads": [4, 6],
    "window_size": 4,
}  # fmt: skip


def numbers(batch: int, *shape: int) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1))


def tokens(batch: int, length: int) -> Tensor:
    return torch.randint(3, 60, (batch, length), generator=torch.Generator().manual_seed(1))


COMPOSED = "computed from the operator tanh"
ALIKE = "as many tokens as channels"
TEXT = {"input_ids": tokens(3, 7)}
PAIR = {**TEXT, "decoder_input_ids": tokens(3, 5)}
SPEECH = {"input_values": numbers(3, 400)}


def image(height: int, width: int) -> dict[str, Tensor]:
    return {"pixel_values": numbers(2, 3, height, width)}


def mlp_mixer_of(**given: Any) -> Callable[[], nn.Module]:
    return partial(mlp_mixer.MlpMixer, img_size=(48, 80), patch_size=16, num_blocks=2,
                   embed_dim=24, num_classes=7, **given)  # fmt: skip


# fmt: off
_MOBILE = ("hardswish 16 240x2 200x2 184x4 480x2 672x4 960x5 hardsigmoid 72 120x2 480 672x2 960x2"
           " relu 16 24 32x2 64x2 72x4 120x5 168x2 240x2")
_RESNET = "relu 64x5 128x4 256x4 512x4"

NETS: list[Net] = [
    of_timm("resnet18", "40x56", "relu>silu", _RESNET, "act_layer"),
    of_timm("ecaresnet26t", "40x56", "relu>silu", "relu 24 32 64x5 128x4 256x6 512x6 1024x2 2048x2"
            " sigmoid 256x2 512x2 1024x2 2048x2"),
    of_timm("seresnet18", "40x56", "relu>silu", _RESNET + " 8x4 16x2 32x2"
            " sigmoid 64x2 128x2 256x2 512x2"),
    of_timm("skresnet18", "64x96", "relu>silu", "relu 16x4 32x2 64x9 128x6 256x6 512x6"),
    of_timm("resnest14d", "64x96", "relu>silu",
            "relu 32x3 64x3 128x3 256x4 512x3 1024x2 2048"),
    of_timm("densenet121", "64x96", "relu>silu", "relu 24x3 36x2 48x7 60", "act_layer",
            block_config=(2, 3), growth_rate=12),
    of_timm("convnext_atto", "64x96", "gelu>silu", "gelu 160 320x2 640 1280", "act_layer",
            depths=(1, 2, 1, 1)),
    of_timm("convnextv2_atto", "64x96", "gelu>silu", "gelu 160 320 640 1280", "act_layer",
            depths=(1, 1, 1, 1)),
    of_timm("mobilenetv3_small_100", "64x96", "hardswish>silu",
            "hardswish 16 96x2 120x2 144x2 240x4 288x2 576x5 1024"
            " relu 8 16 24 32 40 64x2 72x3 88x2 144x2 hardsigmoid 16 96 120 144 240x2 288 576x2"),
    of_timm("mobilenetv2_050", "64x96", "relu6>silu",
            "relu6 16x2 48x2 96x10 192x8 288x6 480x6 1280", "act_layer"),
    of_timm("efficientnet_b0", "64x96", "silu>gelu", "silu 32x2 96x2 144x4 240x4 480x6 672x6 1152x8"
            " 1280 8 4 6x2 10x2 20x3 28x3 48x4 sigmoid 32 96 144x2 240x2 480x3 672x3 1152x4",
            "act_layer"),
    of_timm("efficientvit_m0", "64x96", "relu>silu", "relu 8 16 32 64x2 128x6 192x3 256x8 384x7"
            " 512x2 sigmoid 256 512", sized=True),
    of_timm("hardcorenas_a", "64x96", "hardswish>silu",
            "hardswish 32 240x2 480x4 672x4 960 1152x2 1280"
            " relu 24 32 48x2 64x2 72x4 120x2 168x2 240x2 288"
            " hardsigmoid 72 240x2 480x2 672x2 1152"),
    of_timm("ghostnet_050", "64x96", "relu>silu", "relu 4x2 8 12x3 16 18x4 30x2 46x4 50x2 60x3 84x2"
            " 120x4 168x4 240x8 480 1280 hardsigmoid 36 60 240 336x2 480x2"),
    of_timm("rexnet_100", "64x96", "silu>gelu", "silu 32 96 162 228 300 366 432 504 570 636 702 768"
            " 840 906 972 1044 1280 relu6 32 96 162 228 300 366 432 504 570 636 702 768 840 906 972"
            " 1044 sigmoid 228 300 366 432 504 570 636 702 768 840 906 972 1044"
            " relu 19 25 30 36 42 47 53 58 64 70 75 81 87"),
    of_timm("regnety_002", "64x96", "relu>silu", "relu 6 8 14 24x3 32 38x4 56x3 92x6 152x12 368x21"
            " sigmoid 24 56 152x4 368x7"),
    of_timm("nf_resnet26", "64x96", "relu>silu", "relu 64x5 128x4 256x6 512x6 1024x2 2048x2"),
    made("timm nfnet (small F0)", "64x96", "gelu>silu", "GammaAct 16 32 64 128x4 256x4 1024"
         " relu 128 256 sigmoid 256 512", lambda: nfnet.NormFreeNet(
             nfnet._dm_nfnet_cfg(depths=(1, 1), channels=(256, 512)), num_classes=7), built=""),
    of_timm("repvgg_a0", "64x96", "relu>silu", "relu 48x3 96x4 192x14 1280"),
    of_timm("mobileone_s0", "64x96", "relu>silu", "relu 48x6 128x16 256x20 1024"),
    of_timm("hgnetv2_b0", "64x96", "relu>silu",
            "relu 8 16x7 32x4 64x7 128x4 256x3 512x3 1024 2048"),
    of_timm("inception_v3", "96x128", "relu>silu", "relu 32x3 48x3 64x13 80 96x8 128x6 160x12"
            " 192x30 320x3 384x13 448x2"),
    of_timm("fastvit_t8", "64x96", "gelu>silu", "gelu 48x3 96 144x2 192 288x2 384 576x4 768 1152x2"
            " relu 48 sigmoid 768"),
    of_timm("poolformer_s12", "64x96", "gelu>silu", "gelu 256x2 512x2 1280x6 2048x2"),
    of_timm("edgenext_xx_small", "64x96", "gelu>silu", "gelu 96x2 192x2 352x6 672x2"),
    of_timm("mobilevit_xxs", "64x96", "silu>gelu",
            "silu 16 32x4 48x9 64x3 80x3 96x2 128x4 160x4 192x3 320"),
    of_timm("coatnet_nano_rw_224", "64x96", "silu>gelu", "silu 32 64x2 256x4 sigmoid 256x2"
            " gelu 1024 2048", depths=(1, 1, 1, 1), sized=True),
    of_timm("maxvit_tiny_tf_224", "64x96", "gelu>silu", "gelu 64 128x4 256x4 silu 8 16"
            " sigmoid 128 256 tanh 512", depths=(1, 1), embed_dim=(32, 64), sized=True),
    of_timm("visformer_tiny", "64x96", "gelu>silu", "relu 16 gelu 192x14 768x4 1536x4", sized=True),
    of_timm("vit_tiny_patch16_224", "48x80", "gelu>silu", "gelu 768x2", "act_layer",
            depth=2, sized=True),
    of_timm("vit_small_patch16_224", "48x80", "gelu>silu", "gelu 768x2 geglu 768x2", "act_layer",
            "with SwiGLUPacked, to which ViT gives gelu", depth=2, sized=True,
            mlp_layer=timm.layers.SwiGLUPacked),
    of_timm("deit_tiny_distilled_patch16_224", "48x80", "gelu>silu", "gelu 768x2", "act_layer",
            depth=2, sized=True),
    of_timm("cait_xxs24_224", "48x80", "gelu>silu", "gelu 768x4", "act_layer", depth=2, sized=True),
    of_timm("beit_base_patch16_224", "48x80", "gelu>silu", "gelu 192x2", depth=2, embed_dim=48,
            num_heads=4, sized=True),
    of_timm("eva02_tiny_patch14_224", "42x70", "silu>gelu", "silu 512x2 swiglu 512x2", depth=2,
            sized=True),
    of_timm("swin_tiny_patch4_window7_224", "56x84", "gelu>silu", "gelu 384 768", depths=(1, 1),
            num_heads=(3, 6), sized=True),
    of_timm("swinv2_tiny_window8_256", "64x96", "gelu>silu", "gelu 384 768 relu 512x2 sigmoid 3 6",
            depths=(1, 1), num_heads=(3, 6), window_size=4, sized=True),
    of_timm("tnt_s_legacy_patch16_224", "48x80", "gelu>silu", "gelu 96x2 1536x2", depth=2,
            sized=True),
    of_timm("xcit_nano_12_p16_224", "48x80", "gelu>silu", "gelu 16 32 64 128x2 512x4", depth=2),
    made("timm mixer", "48x80", "gelu>silu", "gelu 12x2 96x2", mlp_mixer_of()),
    made("timm mixer, 24 tokens", "64x96", "gelu>silu", "gelu 24x2 96x2", lambda:
         mlp_mixer.MlpMixer(img_size=(64, 96), patch_size=16, num_blocks=2, embed_dim=24,
                            mlp_ratio=(1.0, 4.0), num_classes=7), note=ALIKE, axis=-1),
    made("timm resmlp", "48x80", "gelu>silu", "gelu 96x2", mlp_mixer_of(
        mlp_ratio=4, block_layer=mlp_mixer.ResBlock, norm_layer=mlp_mixer.Affine)),
    made("timm gmlp", "48x80", "gelu>silu", "gelu 144x2", mlp_mixer_of(
        mlp_ratio=6, block_layer=mlp_mixer.SpatialGatingBlock, mlp_layer=timm.layers.GatedMlp)),
    made("timm levit", "96x96", "hardswish>silu", "hardswish 8 16 32 64 96 128x2 192x2 256x3 384",
         lambda: levit.Levit(img_size=96, embed_dim=(64, 96, 128), key_dim=16, num_heads=(2, 3, 4),
                             depth=(1, 1, 1), num_classes=7)),
    made("tv resnet18", "40x56", "relu>silu", _RESNET, vision.resnet18),
    made("tv squeezenet1_1", "64x96", "relu>silu", "relu 16x2 32x2 48x2 64x7 128x4 192x4 256x4"
         " 1000", vision.squeezenet1_1),
    made("tv shufflenet_v2_x0_5", "64x96", "relu>silu", "relu 24x10 48x17 96x9 1024",
         vision.shufflenet_v2_x0_5),
    made("tv mnasnet0_5", "64x96", "relu>silu",
         "relu 16x2 24x2 48x6 72x4 144x2 240x6 288x4 576x8 1280", vision.mnasnet0_5),
    made("tv googlenet", "64x96", "relu>silu", "relu 64x2 192 64 96 128 16 32 32 128 128 192 32 96"
         " 64 192 96 208 16 48 64 160 112 224 24 64 64 128 128 256 24 64 64 112 144 288 32 64 64"
         " 256 160 320 32 128 128 256 160 320 32 128 128 384 192 384 48 128 128",
         partial(vision.googlenet, aux_logits=False, init_weights=False), built=""),
    made("tv densenet (small)", "64x96", "relu>silu", "relu 16x3 24x2 32x7 40",
         lambda: vision.DenseNet(8, (2, 3), 16), built=""),
    made("tv vit (small)", "48x48", "gelu>silu", "gelu 40x2", lambda:
         vision.VisionTransformer(48, 16, 2, 3, 24, 40)),
    made("tv swin (small)", "32x64", "gelu>silu", "gelu 48 96x2", lambda:
         vision.SwinTransformer([4, 4], 12, [1, 2], [4, 6], [4, 4])),
    made("tv convnext (small)", "64x96", "gelu>silu", "gelu 32 48x2", lambda:
         vision.ConvNeXt([vision.convnext.CNBlockConfig(8, 12, 1),
                          vision.convnext.CNBlockConfig(12, None, 2)])),
    made("tv lraspp", "64x96", "relu>silu", _MOBILE + " 128 sigmoid 128", partial(
        vision.segmentation.lraspp_mobilenet_v3_large, weights_backbone=None)),
    made("tv deeplabv3", "64x96", "relu>silu", _MOBILE + " 256x7", partial(
        vision.segmentation.deeplabv3_mobilenet_v3_large, weights_backbone=None)),
    of_transformers("BertModel", TEXT, "gelu>silu", "gelu 48x2 tanh 32", **LM),
    of_transformers("BertModel", {"input_ids": tokens(3, 48)}, "gelu>silu", "gelu 48x2 tanh 32",
                    title="BertModel, 48 tokens", note=ALIKE, axis=-1, **LM),
    of_transformers("GPT2Model", TEXT, "gelu>silu", "gelu 128x2", "activation_function", "tanh",
                    COMPOSED, vocab_size=61, n_embd=32, n_layer=2, n_head=4),
    of_transformers("GPTNeoXModel", TEXT, "gelu>silu", "gelu 48x2", **LM),
    of_transformers("OPTModel", TEXT, "relu>silu", "relu 48x2", "activation_function", ffn_dim=48,
                    word_embed_proj_dim=32, **LM),
    of_transformers("BloomModel", TEXT, "gelu>silu", "gelu 128x2", "", "tanh",
                    COMPOSED, vocab_size=61, hidden_size=32, n_layer=2, n_head=4),
    of_transformers("FalconModel", TEXT, "gelu>silu", "gelu 48x2", "activation",
                    ffn_hidden_size=48, **LM),
    of_transformers("NemotronModel", TEXT, "transformers.activations:ReLUSquaredActivation>silu",
                    "ReLUSquaredActivation 48x2", operator="relu", **KV),
    of_transformers("LlamaModel", TEXT, "silu>gelu", "silu 48x2 swiglu 48x2", **KV),
    of_transformers("Phi3Model", TEXT, "silu>gelu", "silu 48x2 swiglu 48x2", **KV),
    of_transformers("Olmo2Model", TEXT, "silu>gelu", "silu 48x2 swiglu 48x2", **KV),
    of_transformers("Gemma2ForCausalLM", TEXT, "gelu>silu", "gelu 48x2 geglu 48x2 tanh 4x2 61",
                    "hidden_activation", **KV, head_dim=8, attn_implementation="eager"),
    of_transformers("ModernBertModel", TEXT, "gelu>silu", "gelu 48x2 geglu 48x2",
                    "hidden_activation", **LM, cls_token_id=1, sep_token_id=2, local_attention=4),
    of_transformers("MixtralModel", TEXT, "silu>gelu", "silu 48x10 swiglu 48x10",
                    num_local_experts=5, **MOE),
    of_transformers("Qwen2MoeModel", TEXT, "silu>gelu", "silu 40x2 24x10 swiglu 40x2 24x10"
                    " sigmoid 1x2", moe_intermediate_size=24, shared_expert_intermediate_size=40,
                    num_experts=5, **MOE),
    of_transformers("DeepseekV3Model", TEXT, "silu>gelu", "silu 48 24x7 swiglu 48 24x7 sigmoid 6",
                    moe_intermediate_size=24, n_routed_experts=6, n_group=2, topk_group=2,
                    n_shared_experts=1, first_k_dense_replace=1, q_lora_rank=16, kv_lora_rank=16,
                    qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8,
                    **{**MOE, "num_key_value_heads": 4}),
    of_transformers("GptOssModel", TEXT, "sigmoid>tanh",
                    "sigmoid 48x10 quick_gelu 48x10 quick_gelu_glu 48x10", "",
                    head_dim=8, num_local_experts=5, **MOE),
    of_transformers("Llama4TextModel", TEXT, "silu>gelu", "silu 40 48x6 swiglu 40 48x6 sigmoid 5",
                    note="one call for 5 experts", head_dim=8, num_local_experts=5,
                    intermediate_size_mlp=40, interleave_moe_layer_step=2,
                    **{**KV, "num_experts_per_tok": 1}),
    of_transformers("MambaModel", TEXT, "silu>gelu", "silu 64x4 softplus 64x2", "", vocab_size=61,
                    hidden_size=32, num_hidden_layers=2, state_size=6, time_step_rank=3),
    of_transformers("Mamba2Model", TEXT, "silu>gelu", "silu 88x2 64x2 softplus 8x2 clamp 8x2", "",
                    vocab_size=61, hidden_size=32, num_hidden_layers=2, state_size=6, num_heads=8,
                    head_dim=8, n_groups=2, chunk_size=4),
    of_transformers("T5Model", PAIR, "relu>silu", "relu 48x4", "feed_forward_proj", **T5),
    of_transformers("T5Model", PAIR, "gelu>silu", "gelu 48x4 geglu 48x4",
                    "feed_forward_proj=gated-{}", "tanh", COMPOSED, "T5Model, gated",
                    feed_forward_proj="gated-gelu", **T5),
    of_transformers("BartModel", PAIR, "gelu>silu", "gelu 48x2 40x2", "activation_function",
                    max_position_embeddings=32, **TWO),
    of_transformers("WhisperModel", {"input_features": numbers(3, 10, 36), "decoder_input_ids":
                    tokens(3, 5)}, "gelu>silu", "gelu 32x2 48x2 40x2", "", num_mel_bins=10,
                    max_source_positions=18, max_target_positions=20, **TWO),
    of_transformers("Wav2Vec2Model", SPEECH, "gelu>silu", "gelu 16 20 32 48x2",
                    "hidden_act,feat_extract_activation", **SOUND),
    of_transformers("HubertModel", SPEECH, "gelu>silu", "gelu 16 20 32 48x2",
                    "hidden_act,feat_extract_activation", **SOUND),
    of_transformers("SEWModel", SPEECH, "gelu>silu", "gelu 16 20 32 48x2 64",
                    "hidden_act,feat_extract_activation", squeeze_factor=2, **SOUND),
    of_transformers("CLIPModel", {"input_ids": tokens(2, 7), **image(32, 32)},
                    "transformers.activations:QuickGELUActivation>silu",
                    "QuickGELUActivation 48x2 40x2", "modules", "sigmoid",
                    text_config={**LM, "max_position_embeddings": 16, **ALL},
                    vision_config={**LM, "hidden_size": 24, "intermediate_size": 40,
                                   "num_attention_heads": 3, "image_size": 32, "patch_size": 8}),
    of_transformers("ViTModel", image(32, 48), "gelu>silu", "gelu 48x2 tanh 32", **LM,
                    image_size=(32, 48), patch_size=8),
    of_transformers("Dinov2Model", image(32, 32), "silu>gelu", "silu 88x2 swiglu 88x2", "", **LM,
                    image_size=32, patch_size=8, use_swiglu_ffn=True),
    of_transformers("SwinModel", image(32, 64), "gelu>silu", "gelu 48 96x2", **SWIN),
    of_transformers("Swinv2Model", image(32, 64), "gelu>silu", "gelu 48 96x2 relu 512x3"
                    " sigmoid 4 6x2", **SWIN),
    of_transformers("SegformerModel", image(64, 128), "gelu>silu", "gelu 32 128x2",
                    num_encoder_blocks=2, depths=[1, 2], sr_ratios=[4, 2], hidden_sizes=[16, 32],
                    patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2],
                    mlp_ratios=[2, 4], note=ALIKE, axis=-1),
    of_transformers("ConvNextV2Model", image(64, 96), "gelu>silu", "gelu 32 48x2 64 80",
                    hidden_sizes=[8, 12, 16, 20], depths=[1, 2, 1, 1]),
    of_transformers("DetrModel", image(64, 96), "relu>silu", "relu 8x3 12x2 48 40x2", "modules",
                    **{**TWO, "encoder_layers": 1}, num_queries=6, use_timm_backbone=False,
                    use_pretrained_backbone=False, backbone=None,
                    backbone_config=transformers.ResNetConfig(
                        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic",
                        out_features=["stage2"])),
]
# fmt: on


# --- checks --------------------------------------------------------------------------------------


class Census(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts calls of activations, whatever makes them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = ATEN.get(func._schema.name.removeprefix("aten::").rstrip("_"))
        of = args[0] if args else None
        if name is not None and isinstance(of, Tensor) and of.is_floating_point():
            low = args[1] if len(args) > 1 else (kwargs or {}).get("min")
            if not name.startswith("clamp") or (isinstance(low, int | float) and low == 0):
                self.calls[name] += 1
        return result


def tally(text: str) -> Counter[tuple[str, int]]:
    """Read `relu 64x5 128 sigmoid 64` as numbers of (activation, units)."""
    found: Counter[tuple[str, int]] = Counter()
    act = ""
    for word in text.split():
        if word[0].isdigit():
            units, _, count = word.partition("x")
            found[act, int(units)] += int(count or 1)
        else:
            act = word
    return found


def written(found: Counter[tuple[str, int]]) -> str:
    return " ".join(f"{act} {units}x{count}" for (act, units), count in found.items())


def run(model: nn.Module, net: Net) -> Any:
    def ready(given: Tensor) -> Tensor:
        return given.double() if given.is_floating_point() else given.clone()

    if isinstance(net.inputs, Mapping):
        return model(**{name: ready(part) for name, part in net.inputs.items()})
    return model(ready(numbers(*net.inputs)))


def counted(model: nn.Module, net: Net) -> Counter[str]:
    with torch.no_grad(), Census() as census:
        run(model, net)
    calls: Counter[str] = census.calls
    return calls


def off_axis(model: nn.Module, net: Net, layers: Iterable[Any]) -> int:
    """Count the rows of modules whose units do not have the means of the outputs' axis."""
    means: dict[str, Tensor] = {}

    def note(where: str, a: Tensor) -> None:
        means[where] = a.movedim(net.axis, 0).flatten(1).mean(1)

    hooks = [
        module.register_forward_hook(lambda *call, where=where: note(where, call[2]))
        for where, module in model.named_modules()
        if type(module).__name__ in CLASSES[net.swap.split(">")[0]]
    ]
    counted(model, net)
    for hook in hooks:
        hook.remove()
    return sum(
        layer.module in means and not torch.allclose(layer.statistics.mean, means[layer.module])
        for layer in layers
    )


def held(value: Any) -> Any:
    """What can be compared of an attribute later: bytes, values, and identities."""
    if isinstance(value, Tensor):
        data = value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return id(value), value.requires_grad, held(value.grad), data
    if isinstance(value, Mapping):
        return [(str(key), held(part)) for key, part in value.items()]
    if isinstance(value, list | tuple | set):
        return [held(part) for part in value]
    return value if isinstance(value, bool | int | float | str) else id(value)


def state_of(model: nn.Module) -> list[Any]:
    """Weights, buffers, modes, hooks and attributes of all modules, and generators."""
    hooks = [
        value for name, value in vars(nn.modules.module).items() if name.startswith("_global_")
    ]
    return [
        [(name, held(vars(module))) for name, module in model.named_modules()],
        [len(value) if isinstance(value, dict) else value for value in hooks],
        str(getattr(model, "config", "")),
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state(legacy=False)),
        (torch.is_grad_enabled(), torch.get_default_dtype(), torch._C._len_torch_function_stack()),
    ]


def tensors_of(output: Any) -> Iterator[Tensor]:
    parts = output.values() if isinstance(output, Mapping) else output
    if isinstance(output, Tensor):
        if output.is_floating_point() and output.requires_grad:
            yield output
    elif isinstance(output, Mapping | list | tuple):
        for part in parts:
            yield from tensors_of(part)


def gradients(model: nn.Module, net: Net) -> tuple[dict[str, Tensor], Counter[str]]:
    """The gradients of a fixed sum over all outputs, and the activations called for them."""
    model.zero_grad()
    torch.manual_seed(0)
    with Census() as census:
        out = list(tensors_of(run(model, net)))
        loss = sum((t.flatten() * torch.arange(t.numel()).cos()).sum() for t in out)
        loss.backward()  # type: ignore[union-attr]
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return grads, census.calls


def checkpointed(model: nn.Module, reentrant: bool) -> bool:
    """Turn on the library's checkpointing, whose layers must be in training mode."""
    if hasattr(model, "gradient_checkpointing_enable"):
        if not getattr(model, "supports_gradient_checkpointing", False):
            return False
        model.gradient_checkpointing_enable(  # type: ignore[operator]
            gradient_checkpointing_kwargs={"use_reentrant": reentrant}
        )
        for module in model.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.training = True
        return True
    if not hasattr(model, "set_grad_checkpointing"):
        return False
    timm.layers.set_reentrant_ckpt(reentrant)
    try:
        model.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AssertionError, NotImplementedError):  # as timm says that it has none
        return False
    return True


def apart(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> float:
    """The largest difference relative to a parameter's gradient, or to a millionth of the largest.

    Some gradients are 0 but for rounding, as that of a bias before a softmax.
    """
    if found.keys() != truth.keys():
        return float("inf")
    least = 1e-6 * max(float(g.abs().max()) for g in truth.values())
    return max(
        float((found[name] - g).abs().max()) / max(float(g.abs().max()), least)
        for name, g in truth.items()
    )


def check_gradient(net: Net, model: nn.Module, twin: nn.Module) -> tuple[float, int]:
    """Return the largest difference, and how many of the three ways were run."""
    if net.built == "modules":
        truth = by_hand(net, copy.deepcopy(model))
    else:
        truth = net.make(net.swap.split(">")[1]).double().eval()
        truth.load_state_dict(model.state_dict())
    expected, _ = gradients(truth, net)
    grads, plain = gradients(twin, net)
    worst, ways = apart(grads, expected), 1
    for reentrant in (True, False):
        if checkpointed(twin, reentrant):
            try:
                grads, calls = gradients(twin, net)
            except ValueError as error:  # the reentrant kind takes no keyword arguments
                if "Unexpected keyword arguments" not in str(error):
                    raise
                continue
            if calls.total() > plain.total():  # it did run parts again
                worst, ways = max(worst, apart(grads, expected)), ways + 1
    return worst, ways


def census_of(net: Net) -> dict[str, Any]:
    """Make all checks of an architecture; the first that raises ends them."""
    row: dict[str, Any] = {"name": net.name, "failed": True, "note": net.note}
    try:
        torch.manual_seed(0)
        model = net.make("").double().eval()
        with torch.no_grad():
            for p in model.parameters():  # whatever starts at 0, or nearly
                p.add_(torch.randn_like(p), alpha=0.02)
        before = counted(model, net)
        row["calls"] = before.total()
        given = net.inputs if isinstance(net.inputs, Mapping) else numbers(*net.inputs)
        state = state_of(model)
        found = inspect_model(model, [given] if isinstance(given, Mapping) else given)
        row["state"] = state == state_of(model)
        has = Counter((x.use.partition(":")[0].replace("clamp_min", "clamp"), x.units)
                      for x in found.layers)  # fmt: skip
        expected = tally(net.rows)
        lacks, beyond = expected - has, has - expected
        off = off_axis(model, net, found.layers) if net.axis else 0
        products = sum(n for (act, _), n in has.items() if act in PRODUCTS)
        row |= {"found": has.total() - products + len(found.unseen), "rows": expected.total(),
                "right": (expected & has).total() - off, "beyond": beyond.total()}  # fmt: skip
        parts = [f"lacks {written(lacks)}"] * bool(lacks) + [f"has {written(beyond)}"] * bool(
            beyond
        )
        parts += [f"{off} along another axis"] * bool(off)
        row["note"] = "; ".join([*parts, *map(str, found.unseen), *[net.note] * bool(net.note)])
        old, new = net.swap.split(">")
        operator = net.operator or {"relu6": "hardtanh"}.get(old, old)
        twin, _ = swap_activations(model, {old: new})
        after = counted(twin, net)
        row |= {"old": before[operator], "new": after[new] - before[new], "left": after[operator]}
        if net.built:
            row["gradient"], row["ways"] = check_gradient(net, model, twin)
        row["failed"] = False
    except Exception as error:  # whatever the libraries and the models do
        said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        row["note"] = "; ".join(filter(None, [said, row["note"]]))
    return row


def is_right(row: Mapping[str, Any]) -> bool:
    return (
        not row["failed"]
        and row["right"] == row["rows"]
        and row["beyond"] == 0
        and row["state"]
        and row["new"] == row["old"]
        and row["left"] == 0
        and row.get("gradient", 0.0) <= 1e-5
    )


# --- names ---------------------------------------------------------------------------------------


class Calling(nn.Module):
    """A linear layer and a function of it."""

    def __init__(self, fc: nn.Linear, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.function = fc, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.fc(x))


def named() -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        f"transformers {name}": partial(ACT2FN.__getitem__, name) for name in ACT2FN
    }
    for table in ("_ACT_LAYER_DEFAULT", "_ACT_LAYER_ME"):
        found |= {f"timm{table.lower()} {k}": v for k, v in getattr(create_act, table).items()}
    for table in ("_ACT_FN_DEFAULT", "_ACT_FN_ME"):
        for name, function in getattr(create_act, table).items():
            found[f"timm{table.lower()} {name}"] = partial(lambda f: f, function)
    return found


def verdict_of(make: Callable[[], Any]) -> str:
    """Compare the verdicts on units at z = 6, -12 and 0.3 with values and slopes of autograd."""
    act, fc = make(), nn.Linear(6, 12)
    with torch.no_grad():
        fc.weight.zero_()
        fc.bias.copy_(torch.tensor([6.0, -12.0, 0.3]).repeat(4))
    z = fc.bias.detach().clone().requires_grad_()
    a = act(z)
    (slope,) = torch.autograd.grad(a.sum(), z)
    truth = {"zero_dead": a == 0, "gradient_dead": slope.abs() <= 1e-3}
    model = nn.Sequential(fc, act) if isinstance(act, nn.Module) else Calling(fc, act)
    try:
        found = inspect_model(model, numbers(5, 6))
    except ActcompareError as error:
        return f"refused: {error}"
    layers = [x for x in found.layers if getattr(x, "role", "unit") == "unit"]
    if not layers:
        return f"refused: {'; '.join(map(str, found.unseen))}"
    if len(layers) > 1 or layers[0].units != 12:
        return f"wrong: {', '.join(f'{x.name} ({x.units})' for x in layers)}"
    counts = {name: int(holds.sum()) for name, holds in truth.items()}
    if all(torch.equal(layers[0].verdicts[name], holds) for name, holds in truth.items()):
        return f"right: {layers[0].use}"
    told = {name: int(layers[0].verdicts[name].sum()) for name in truth}
    return f"wrong: {layers[0].name} has {told}, not {counts}"


# --- tables --------------------------------------------------------------------------------------

COLUMNS = ("architecture", "calls", "found", "axes", "state", "swap", "gradient", "", "note")


def cells(row: Mapping[str, Any]) -> list[str]:
    axes = f"{row['right']}/{row['rows']}" if "rows" in row else "-"
    swap = f"{row['new']}/{row['old']}" if "old" in row else "-"
    return [
        row["name"],
        str(row.get("calls", "-")),
        str(row.get("found", "-")),
        axes + (f" +{row['beyond']}" if row.get("beyond") else ""),
        {True: "same", False: "CHANGED"}.get(row.get("state"), "-"),  # type: ignore[arg-type]
        swap + (f" {row['left']} left" if row.get("left") else ""),
        f"{row['gradient']:.0e} ({row['ways']})" if "gradient" in row else "-",
        "ok" if is_right(row) else "FAILED" if row["failed"] else "wrong",
        row["note"],
    ]


def line(parts: list[str], markdown: bool) -> str:
    if markdown:
        return f"| {' | '.join(part.replace('|', '/') for part in parts)} |"
    widths = (32, 6, 6, 12, 8, 14, 10, 7, 0)
    return " ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="Words, one of which the architectures contain.")
    parser.add_argument("--markdown", action="store_true", help="Print tables as Markdown.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")

    def chosen(name: str) -> bool:
        return not arguments.names or any(w.lower() in name.lower() for w in arguments.names)

    rows = []
    print(line([*COLUMNS], arguments.markdown))
    if arguments.markdown:
        print("|" + " --- |" * len(COLUMNS))
    for net in NETS:
        if chosen(net.name):
            rows.append(census_of(net))
            print(line(cells(rows[-1]), arguments.markdown), flush=True)
    answers = {name: verdict_of(make) for name, make in named().items() if chosen(f"names {name}")}
    print("\n" + "| name | verdicts |\n| --- | --- |" * arguments.markdown)
    for name, answer in answers.items():
        print(f"| {name} | {answer} |" if arguments.markdown else f"{name:<36}{answer}")
    kinds = Counter(answer.partition(":")[0] for answer in answers.values())

    def total(key: str) -> int:
        return sum(row.get(key, 0) for row in rows)

    totals = {
        "architectures": len(rows), "right": sum(map(is_right, rows)), "failed": total("failed"),
        "calls": total("calls"), "found": total("found"), "rows": total("rows"),
        "rows_right": total("right"), "rows_beyond": total("beyond"),
        "states_same": total("state"), "old_calls": total("old"), "new_calls": total("new"),
        "old_left": total("left"), "gradients": sum("gradient" in row for row in rows),
        "gradients_3_ways": sum(row.get("ways") == 3 for row in rows),
        "worst_gradient": max((row.get("gradient", 0.0) for row in rows), default=0.0),
        "names": {kind: kinds[kind] for kind in ("right", "refused", "wrong")},
    }  # fmt: skip
    print(json.dumps({"census": totals}))
    sys.exit(totals["right"] != len(rows) or kinds["wrong"] > 0)


if __name__ == "__main__":
    main()
