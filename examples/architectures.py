"""Builds well-known architectures from pairs, prints their trees, and trains the smallest of them.

ResNet-18 and its bottleneck, an Inception block, a DenseNet block, a U-Net, a two-tower model and a pre-norm
transformer: `sequential` for depth, `residual`, `branch` and `parallel` for the shape of the graph, `repeat` for many
equal blocks. Images are channels-last.
"""

import argparse

import jax
import jax.numpy as jnp
import optax

import jseq


def conv_norm(inside, outside, kernel_size=1, stride=1):
    """A convolution without bias that keeps the image's size, and its normalisation."""
    conv = jseq.conv2d(inside, outside, kernel_size, stride, kernel_size // 2, bias=False)
    return jseq.sequential({"conv": conv, "norm": jseq.batch_norm(outside)})


def conv_relu(inside, outside, kernel_size=1, stride=1):
    return conv_norm(inside, outside, kernel_size, stride) + jseq.sequential({"act": jseq.relu()})


# --- ResNet (He et al. 2015) ---


def basic_block(inside, outside, stride=1):
    """Two convolutions, and a way around them."""
    body = jseq.sequential(conv_relu(inside, outside, 3, stride), conv_norm(outside, outside, 3))
    shortcut = None if (inside, stride) == (outside, 1) else conv_norm(inside, outside, 1, stride)
    return jseq.sequential(jseq.residual(body, shortcut), jseq.relu())


def bottleneck(inside, width, stride=1):
    """The block of ResNet-50: narrow, convolve, widen."""
    body = jseq.sequential(conv_relu(inside, width), conv_relu(width, width, 3, stride), conv_norm(width, 4 * width))
    shortcut = None if (inside, stride) == (4 * width, 1) else conv_norm(inside, 4 * width, 1, stride)
    return jseq.sequential(jseq.residual(body, shortcut), jseq.relu())


def resnet18(classes=1000, width=64):
    widths = [width, 2 * width, 4 * width, 8 * width]
    stages = {}
    for i, (inside, outside) in enumerate(zip([width, *widths], widths, strict=False)):
        first = basic_block(inside, outside, stride=1 if i == 0 else 2)
        stages[f"layer{i + 1}"] = jseq.sequential(first, basic_block(outside, outside))
    return jseq.sequential({
        "stem": conv_relu(3, width, 7, 2),
        "pool": jseq.max_pool2d(3, 2, 1),
        **stages,
        "mean": jseq.global_avg_pool2d(),
        "head": jseq.linear(8 * width, classes),
    })  # fmt: skip


# --- branches that meet again ---


def inception(inside, width):
    """Four views of one image, side by side (Szegedy et al. 2014)."""
    return jseq.sequential(
        jseq.branch(
            conv_relu(inside, width),
            jseq.sequential(conv_relu(inside, width), conv_relu(width, width, 3)),
            jseq.sequential(conv_relu(inside, width), conv_relu(width, width, 5)),
            jseq.sequential(jseq.max_pool2d(3, 1, 1), conv_relu(inside, width)),
        ),
        jseq.concatenate(),
    )


def dense_block(inside, growth, layers):
    """Every layer sees the outputs of all before it (Huang et al. 2016)."""

    def dense_layer(i):
        features = inside + i * growth
        new = jseq.sequential(jseq.batch_norm(features), jseq.relu(), jseq.conv2d(features, growth, 3, padding=1))
        return jseq.sequential(jseq.branch(jseq.identity(), new), jseq.concatenate())

    return jseq.sequential(*[dense_layer(i) for i in range(layers)])


def unet(inside, widths, classes):
    """Down and up again, with a skip at every level: each level holds the one below it (Ronneberger et al. 2015)."""

    def level(inside, width, *deeper):
        enter = jseq.sequential(conv_relu(inside, width, 3), conv_relu(width, width, 3))
        if not deeper:
            return enter
        up = jseq.conv_transpose2d(deeper[0], width, 2, stride=2)
        return jseq.sequential({
            "enter": enter,
            "fork": jseq.branch({
                "skip": jseq.identity(),
                "below": jseq.sequential(jseq.max_pool2d(2), level(width, *deeper), up),
            }),
            "join": jseq.concatenate(),
            "leave": conv_relu(2 * width, width, 3),
        })  # fmt: skip

    return jseq.sequential(level(inside, *widths), jseq.conv2d(widths[0], classes, 1))


def two_towers(users, items, features):
    """Scores pairs of a user and an item: each has a tower, and their products are weighed."""
    return jseq.sequential(
        jseq.parallel({
            "user": jseq.sequential(jseq.linear(users, features), jseq.relu(), jseq.linear(features, features)),
            "item": jseq.sequential(jseq.linear(items, features), jseq.relu(), jseq.linear(features, features)),
        }),
        jseq.multiply(),
        jseq.linear(features, 1),
    )  # fmt: skip


def transformer(ids, length, features, heads, depth):
    """A pre-norm decoder of equal blocks, compiled once by `repeat`."""
    attend = jseq.multihead_attention(features, heads, is_causal=True)
    feed = jseq.sequential(jseq.linear(features, 4 * features), jseq.gelu(), jseq.linear(4 * features, features))
    block = jseq.sequential({
        "attend": jseq.residual(jseq.sequential(jseq.layer_norm(features), attend)),
        "feed": jseq.residual(jseq.sequential(jseq.layer_norm(features), feed)),
    })  # fmt: skip
    return jseq.sequential({
        "embed": jseq.embedding(ids, features),
        "positions": jseq.learned_positions(length, features),
        "blocks": jseq.repeat(block, depth),
        "norm": jseq.layer_norm(features),
        "head": jseq.linear(features, ids),
    })  # fmt: skip


def show(name, model):
    """Prints the tree of a model and the number of its params, without making any."""
    params, _ = jax.eval_shape(lambda: jseq.with_state(model).init(jax.random.key(0)))
    print(f"{name}, {sum(leaf.size for leaf in jax.tree.leaves(params)):,} params\n{model}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps

    show("ResNet-18", resnet18())
    show("bottleneck", bottleneck(256, 64))
    show("Inception block", inception(32, 16))
    show("DenseNet block", dense_block(16, 8, 3))
    show("U-Net", unet(3, (16, 32, 64), classes=2))
    show("transformer", transformer(ids=50_257, length=1024, features=768, heads=12, depth=12))

    model = two_towers(users=8, items=6, features=32)
    show("two towers", model)
    user, item = (jax.random.normal(jax.random.key(i), (512, n)) for i, n in ((1, 8), (2, 6)))
    likes = (user[:, :3] * item[:, :3]).sum(-1, keepdims=True)  # to be learned from examples
    params, adam = model.init(jax.random.key(0)), optax.adam(3e-3)
    moments = adam.init(params)

    @jax.jit
    def step(params, moments):
        loss, grad = jax.value_and_grad(lambda p: jnp.mean((model.apply(p, (user, item)) - likes) ** 2))(params)
        updates, moments = adam.update(grad, moments)
        return optax.apply_updates(params, updates), moments, loss

    for _ in range(steps):
        params, moments, loss = step(params, moments)
    print(f"two towers: loss {loss:.3f} after {steps} steps")


if __name__ == "__main__":
    main()
