from typing import Any

import flax.linen as nn
import jax
import optax
from flax.training import train_state


# --- model
class CNN(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Conv(32, kernel_size=(3, 3))(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.relu(x)
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.Dropout(0.25, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(10)(x)


# --- training step
class TrainState(train_state.TrainState):
    batch_stats: Any
    key: jax.Array


@jax.jit
def train_step(state, x, labels):
    dropout_key = jax.random.fold_in(state.key, state.step)

    def loss_fn(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updates = state.apply_fn(
            variables, x, train=True, rngs={"dropout": dropout_key}, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updates

    (loss, updates), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    state = state.apply_gradients(grads=grads)
    return state.replace(batch_stats=updates["batch_stats"]), loss


# --- evaluation
@jax.jit
def evaluate(state, x):
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return state.apply_fn(variables, x, train=False).argmax(-1)


# --- use
def create_train_state(x):
    cnn = CNN()
    variables = cnn.init(jax.random.key(0), x, train=False)
    return TrainState.create(
        apply_fn=cnn.apply,
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        key=jax.random.key(1),
        tx=optax.adam(1e-3),
    )


def main(x, labels, steps):
    state = create_train_state(x)
    losses = []
    for _ in range(steps):
        state, loss = train_step(state, x, labels)
        losses.append(loss)
    return losses, evaluate(state, x)
