"""Torch models as people write them, each with an input: what from_torch is held against."""

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, i, o, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.downsample = (
            nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if stride != 1 or i != o else None
        )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    def __init__(self, i, w, stride=1):
        super().__init__()
        o = 4 * w
        self.conv1 = nn.Conv2d(i, w, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.conv2 = nn.Conv2d(w, w, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.conv3 = nn.Conv2d(w, o, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if stride != 1 or i != o else None
        )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        return self.relu(out + identity)


class ResNet(nn.Module):
    def __init__(self, block=BasicBlock, w=8, layers=(2, 2, 2, 2), classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, w, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        i = w
        for k, n in enumerate(layers):
            o = w * 2**k
            bl = []
            for j in range(n):
                bl.append(block(i, o, 2 if (j == 0 and k > 0) else 1))
                i = o * (4 if block is Bottleneck else 1)
            setattr(self, f"layer{k + 1}", nn.Sequential(*bl))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.fc(x)


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(16 * 12 * 12, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, 0.5, training=self.training)
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


class Tagger(nn.Module):
    def __init__(self, bf=False):
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 5, 2, bidirectional=True, batch_first=bf)
        self.out = nn.Linear(10, 4)

    def forward(self, x):
        h, _ = self.lstm(self.embed(x))
        return F.log_softmax(self.out(h), dim=-1)


class Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 5, batch_first=True)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.fc = nn.Linear(10, 4)

    def forward(self, x):
        y, _ = self.gru(x)
        _, (h, _) = self.lstm(x)
        return self.fc(torch.cat([y[:, -1, :], h[-1]], dim=1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.down = nn.MaxPool2d(2)
        self.b = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.c = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(self.down(a))
        return self.c(torch.cat((a, self.up(b)), 1))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.BatchNorm2d(3 + 2 * i), nn.ReLU(), nn.Conv2d(3 + 2 * i, 2, 3, padding=1))
                for i in range(3)
            ]
        )
        self.head = nn.Linear(9, 4)

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(x.mean([2, 3]))


class Block(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.ln1 = nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, h, batch_first=True)
        self.ln2 = nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        h = self.ln1(x)
        a, _ = self.attn(h, h, h, need_weights=False)
        x = x + a
        return x + self.mlp(self.ln2(x))


class Arithmetic(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.scale = nn.Linear(5, 6), 0.5

    def forward(self, x):
        a, b = self.fc(x).chunk(2, dim=1)
        g = torch.sigmoid(a) * b * self.scale + 1
        h = (1 - g) / 2 - b**2
        y = -h + torch.exp(a) / (2 + a.abs())
        first, middle, last = y.split(1, dim=-1)
        last = last - 2.0 * first
        last *= 3
        return torch.cat([first, middle.squeeze(1).unsqueeze(-1), last], 1)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.out = nn.Linear(4, 1)

    def forward(self, x):
        x, gate = torch.chunk(0.5 * self.conv(x), 2, 1)
        top, bottom = torch.split(x * torch.sigmoid(gate).square(), 2, dim=2)
        return self.out(self.pool(top - bottom).squeeze(-1).squeeze(-1)).squeeze(1)


def vgg11():
    cfg = [4, "M", 8, "M", 8, 8, "M", 16, 16, "M", 16, 16, "M"]
    layers = []
    i = 3
    for v in cfg:
        if v == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(i, v, 3, padding=1), nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
            i = v
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*layers),
            avgpool=nn.AdaptiveAvgPool2d((2, 2)),
            flat=nn.Flatten(),
            classifier=nn.Sequential(nn.Linear(16 * 4, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10)),
        )
    )


def dcgan():
    return nn.Sequential(
        nn.ConvTranspose2d(10, 16, 4, 1, 0, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(True),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def tiedlm():
    emb = nn.Embedding(11, 6)
    head = nn.Linear(6, 11, bias=False)
    head.weight = emb.weight
    return nn.Sequential(OrderedDict(emb=emb, fc=nn.Linear(6, 6), head=head))


def twice():
    shared = nn.Linear(5, 5)
    return nn.Sequential(shared, nn.Tanh(), shared)


wn, sn = nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm


def r(*shape):
    return torch.from_numpy(np.random.RandomState(0).standard_normal(shape))


def ids(n, *shape):
    return torch.from_numpy(np.random.RandomState(0).randint(0, n, shape))


ZOO = {
    "mlp": (lambda: nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 2)), r(4, 5)),
    "lenet": (LeNet, r(2, 1, 32, 32)),
    "mnist net": (Net, r(2, 1, 28, 28)),
    "vgg11_bn": (vgg11, r(4, 3, 32, 32)),
    "dcgan": (dcgan, r(2, 10, 1, 1)),
    "basic block": (lambda: BasicBlock(3, 4, 2), r(2, 3, 8, 8)),
    "bottleneck": (lambda: Bottleneck(3, 4, 2), r(2, 3, 8, 8)),
    "resnet18": (ResNet, r(2, 3, 64, 64)),
    "resnet50": (lambda: ResNet(Bottleneck, 4, (3, 4, 6, 3)), r(2, 3, 64, 64)),
    "tagger": (Tagger, ids(20, 7, 3)),
    "tagger bf": (lambda: Tagger(True), ids(20, 3, 7)),
    "last": (Last, r(3, 7, 6)),
    "unet": (UNet, r(2, 3, 8, 8)),
    "densenet": (Dense, r(2, 3, 6, 6)),
    "arithmetic": (Arithmetic, r(4, 5)),
    "gated": (Gated, r(2, 3, 6, 6)),
    "transformer block": (lambda: Block(8, 2), r(2, 5, 8)),
    "encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2, nn.LayerNorm(8), enable_nested_tensor=False
        ),
        r(5, 2, 8),
    ),
    "encoder bf": (
        lambda: nn.Sequential(
            nn.Embedding(11, 8),
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, activation="gelu", norm_first=True),
                2,
                enable_nested_tensor=False,
            ),
            nn.Linear(8, 3),
        ),
        ids(11, 2, 5),
    ),
    "tied lm": (tiedlm, ids(11, 2, 5)),
    "twice": (twice, r(3, 5)),
    "weight norm": (
        lambda: nn.Sequential(
            wn(nn.Conv2d(3, 4, 3)),
            nn.ReLU(),
            wn(nn.ConvTranspose2d(4, 2, 3)),
            nn.Flatten(),
            wn(nn.Linear(2 * 36, 3), dim=None),
        ),
        r(2, 3, 6, 6),
    ),
    "spectral norm": (
        lambda: nn.Sequential(
            sn(nn.Conv2d(3, 4, 3)),
            nn.LeakyReLU(0.2),
            sn(nn.ConvTranspose2d(4, 4, 3)),
            nn.Flatten(),
            sn(nn.Linear(4 * 36, 3)),
        ),
        r(2, 3, 6, 6),
    ),
    "legacy norms": (
        lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 5)), nn.utils.spectral_norm(nn.Linear(5, 3))),
        r(2, 4),
    ),
    "wgan": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 4, 4]), nn.Softmax(dim=1), nn.Conv2d(4, 2, 3), nn.Linear(2, 5)
        ),
        r(2, 3, 6, 6),
    ),
    "padding modes": (
        lambda: nn.Sequential(
            *[nn.Conv1d(3, 3, 3, padding=1, padding_mode=m) for m in ("zeros", "reflect", "replicate", "circular")]
        ),
        r(2, 3, 9),
    ),
    "lstm": (lambda: nn.LSTM(4, 5, 2, bidirectional=True, proj_size=2), r(6, 3, 4)),
    "gru": (lambda: nn.GRU(4, 5, batch_first=True), r(3, 6, 4)),
    "softmax2d etc": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 1),
            nn.Softmax2d(),
            nn.GroupNorm(2, 4),
            nn.PixelShuffle(2),
            nn.Upsample(scale_factor=2),
            nn.Softmax(dim=-1),
            nn.ChannelShuffle(1),
            nn.Unfold(2),
            nn.Conv1d(4, 2, 1),
        ),
        r(2, 3, 5, 4),
    ),
    "unflatten": (
        lambda: nn.Sequential(
            nn.Linear(5, 32), nn.ReLU(), nn.Unflatten(1, (2, 4, 4)), nn.ConvTranspose2d(2, 3, 2, 2), nn.Sigmoid()
        ),
        r(2, 5),
    ),
    "conv": (lambda: nn.Conv3d(2, 4, 2, groups=2), r(2, 2, 4, 5, 3)),
}
