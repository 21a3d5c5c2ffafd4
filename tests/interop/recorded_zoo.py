"""Modules in the styles in which people write them, small, for recording."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


class NanoGPT(nn.Module):
    """GPT-2 as nanoGPT has it: a tied head, and the projections into the stream drawn again."""

    def __init__(self, layers: int = 3, width: int = 48, words: int = 97, steps: int = 32) -> None:
        super().__init__()
        blocks = [self.block(width) for _ in range(layers)]
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(words, width),
                "wpe": nn.Embedding(steps, width),
                "h": nn.ModuleList(blocks),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = nn.Linear(width, words, bias=False)
        self.transformer["wte"].weight = self.lm_head.weight
        self.apply(self.start)
        for name, weight in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(weight, mean=0.0, std=0.02 / math.sqrt(2 * layers))

    @staticmethod
    def block(width: int) -> nn.Module:
        return nn.ModuleDict(
            {
                "ln_1": nn.LayerNorm(width),
                "attn": nn.ModuleDict(
                    {"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)}
                ),
                "ln_2": nn.LayerNorm(width),
                "mlp": nn.ModuleDict(
                    {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
                ),
            }
        )

    @staticmethod
    def start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)


def zero_module(module: nn.Module) -> nn.Module:
    """Set a module's parameters to 0, as guided diffusion does."""
    for parameter in module.parameters():
        parameter.detach().zero_()
    return module


class DiffusionUNet(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.time_embed = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(64, 64))
        self.input_blocks = nn.ModuleList([nn.Conv2d(3, width, 3, padding=1)])
        for _ in range(2):
            self.input_blocks.append(self.block(width))
        self.out = nn.Sequential(
            nn.GroupNorm(4, width), nn.SiLU(), zero_module(nn.Conv2d(width, 3, 3, padding=1))
        )

    @staticmethod
    def block(width: int) -> nn.Module:
        return nn.ModuleDict(
            {
                "in_layers": nn.Sequential(nn.GroupNorm(4, width), nn.Conv2d(width, width, 3)),
                "emb": nn.Linear(64, 2 * width),
                "out_layers": nn.Sequential(zero_module(nn.Conv2d(width, width, 3))),
                "qkv": nn.Conv1d(width, 3 * width, 1),
                "proj_out": zero_module(nn.Conv1d(width, width, 1)),
            }
        )


class ViT(nn.Module):
    def __init__(self, width: int = 48, depth: int = 2, patches: int = 16) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, patches + 1, width) * 0.02)
        self.patch_embed = nn.Conv2d(3, width, 4, 4)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth)
        self.head = nn.Linear(width, 10)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.head.weight, std=0.02, a=-0.03, b=0.03)
        fan_in = 3 * 4 * 4
        nn.init.trunc_normal_(self.patch_embed.weight, std=math.sqrt(1 / fan_in))


class Mamba(nn.Module):
    def __init__(self, width: int = 24, state: int = 16, layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, width)
        self.layers = nn.ModuleList([self.block(width, 2 * width, state) for _ in range(layers)])
        for layer in self.layers:
            with torch.no_grad():
                weight = layer["out_proj"].weight
                nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
                weight /= math.sqrt(layers)
        self.out = nn.Linear(width, 50, bias=False)
        self.out.weight = self.embed.weight

    @staticmethod
    def block(width: int, inner: int, state: int) -> nn.Module:
        rank = math.ceil(width / 16)
        block = nn.ModuleDict(
            {
                "in_proj": nn.Linear(width, 2 * inner, bias=False),
                "conv1d": nn.Conv1d(inner, inner, 4, groups=inner, padding=3),
                "x_proj": nn.Linear(inner, rank + 2 * state, bias=False),
                "dt_proj": nn.Linear(rank, inner),
                "out_proj": nn.Linear(inner, width, bias=False),
            }
        )
        nn.init.uniform_(block["dt_proj"].weight, -(rank**-0.5), rank**-0.5)
        dt = torch.exp(
            torch.rand(inner) * (math.log(0.1) - math.log(0.001)) + math.log(0.001)
        ).clamp(min=1e-4)
        with torch.no_grad():
            block["dt_proj"].bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        A = torch.arange(1, state + 1, dtype=torch.float32).repeat(inner, 1).contiguous()
        block.register_parameter("A_log", nn.Parameter(torch.log(A)))
        block.register_parameter("D", nn.Parameter(torch.ones(inner)))
        return block


def dcgan() -> nn.Module:
    def weights_init(module: nn.Module) -> None:
        name = module.__class__.__name__
        if name.find("Conv") != -1:
            nn.init.normal_(module.weight.data, 0.0, 0.02)
        elif name.find("BatchNorm") != -1:
            nn.init.normal_(module.weight.data, 1.0, 0.02)
            nn.init.constant_(module.bias.data, 0)

    generator = nn.Sequential(
        nn.ConvTranspose2d(20, 32, 4, 1, 0, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(True),
        nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    generator.apply(weights_init)
    return generator


class ForgetLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 12, padding_idx=0)
        self.lstm = nn.LSTM(12, 20, num_layers=2, bidirectional=True)
        for name, bias in self.lstm.named_parameters():
            if "bias" in name:
                n = bias.size(0)
                bias.data[n // 4 : n // 2].fill_(1.0)
        self.fc = nn.Linear(40, 5)


class ActorCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            self.layer(nn.Linear(8, 64)), nn.Tanh(), self.layer(nn.Linear(64, 1), std=1.0)
        )
        self.actor = nn.Sequential(
            self.layer(nn.Linear(8, 64)), nn.Tanh(), self.layer(nn.Linear(64, 4), std=0.01)
        )
        self.log_std = nn.Parameter(torch.zeros(1, 4))

    @staticmethod
    def layer(layer: nn.Linear, std: float = math.sqrt(2), bias: float = 0.0) -> nn.Linear:
        nn.init.orthogonal_(layer.weight, std)
        nn.init.constant_(layer.bias, bias)
        return layer


class Siren(nn.Module):
    def __init__(self, hidden: int = 32, omega: float = 30.0) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            [nn.Linear(2, hidden), *(nn.Linear(hidden, hidden) for _ in range(3))]
        )
        self.last = nn.Linear(hidden, 1)
        with torch.no_grad():
            self.net[0].weight.uniform_(-1 / 2, 1 / 2)
            for layer in self.net[1:]:
                bound = math.sqrt(6 / hidden) / omega
                layer.weight.uniform_(-bound, bound)


class MuP(nn.Module):
    """A perceptron under muP: the hidden weights by their fan_in, the readout at 0."""

    def __init__(self, width: int = 64, base: int = 16) -> None:
        super().__init__()
        self.inner = nn.Linear(10, width, bias=False)
        self.hidden = nn.Linear(width, width, bias=False)
        self.readout = nn.Linear(width, 3, bias=False)
        nn.init.kaiming_normal_(self.inner.weight, a=1, mode="fan_in")
        self.hidden.weight.data.normal_(0.0, 1.0).mul_(width**-0.5)
        self.readout.weight.data.zero_()
        self.register_buffer("multiplier", torch.tensor(base / width))


class WeightNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.convolutions = nn.Sequential(
            *(norm(nn.Conv1d(8, 8, 3, dilation=2**i)) for i in range(3))
        )
        self.old = nn.utils.weight_norm(nn.Linear(8, 4))


class HalfModel(nn.Module):
    """A network that is drawn in float32 and then held in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 33), nn.GELU(), nn.Linear(33, 7)).bfloat16()
        self.table = nn.Parameter(torch.randn(5, 9, dtype=torch.float16) / math.sqrt(9))


class DoubleModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(19, 11, dtype=torch.float64)
        self.noise = nn.Parameter(torch.empty(37, dtype=torch.float64))
        nn.init.normal_(self.noise, 0.5, 2.0)


class Pieces(nn.Module):
    """Parts of tensors that start otherwise than the rest, views and turned matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        for part in self.qkv.weight.chunk(3):
            nn.init.xavier_uniform_(part)
        nn.init.zeros_(self.qkv.bias)
        self.gate = nn.Linear(16, 12)
        self.gate.weight.data[:4].zero_()
        self.turned = nn.Parameter(torch.randn(6, 10).t())
        self.flat = nn.Parameter((torch.rand(4, 9) * 2 - 1).reshape(6, 6).contiguous())
        self.joined = nn.Parameter(torch.cat([torch.randn(2, 5), torch.zeros(2, 5)]))


class Residual(nn.Module):
    """A residual network whose last norms start at 0, as torchvision's `zero_init_residual`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(*(self.block() for _ in range(4)))
        self.fc = nn.Linear(8, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 1)
                nn.init.constant_(module.bias, 0)
        for block in self.layer1:
            nn.init.zeros_(block["bn2"].weight)

    @staticmethod
    def block() -> nn.Module:
        return nn.ModuleDict(
            {
                "conv1": nn.Conv2d(8, 8, 3, bias=False),
                "bn1": nn.BatchNorm2d(8),
                "conv2": nn.Conv2d(8, 8, 3, bias=False),
                "bn2": nn.BatchNorm2d(8),
            }
        )


OWN: dict[str, Any] = {
    "nanogpt": NanoGPT,
    "diffusion_unet": DiffusionUNet,
    "vit": ViT,
    "mamba": Mamba,
    "dcgan": dcgan,
    "forget_lstm": ForgetLSTM,
    "actor_critic": ActorCritic,
    "siren": Siren,
    "mup": MuP,
    "weight_normed": WeightNormed,
    "bfloat16": HalfModel,
    "float64": DoubleModel,
    "pieces": Pieces,
    "residual": Residual,
    "seq2seq": lambda: nn.Transformer(16, 2, 2, 2, 24),
}
