import jax
import optax

import jseq

# --- model
model = jseq.sequential(
    jseq.conv2d(3, 32, 3, padding=1),
    jseq.batch_norm(32),
    jseq.relu(),
    jseq.max_pool2d(2),
    jseq.dropout(0.25),
    jseq.flatten(),
    jseq.linear(16 * 16 * 32, 10),
)
init, apply = jseq.with_state(model)

# --- training step
adam = optax.adam(1e-3)


@jax.jit
def train_step(params, state, moments, x, labels, key):
    def loss(params):
        logits, new_state = apply(params, state, x, key=key, train=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), new_state

    (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, moments = adam.update(grads, moments)
    return optax.apply_updates(params, updates), state, moments, value


# --- evaluation
@jax.jit
def evaluate(params, state, x):
    logits, _ = apply(params, state, x)
    return logits.argmax(-1)


# --- use
def main(x, labels, steps):
    params, state = init(jax.random.key(0))
    moments = adam.init(params)
    losses = []
    for key in jax.random.split(jax.random.key(1), steps):
        params, state, moments, value = train_step(params, state, moments, x, labels, key)
        losses.append(value)
    return losses, evaluate(params, state, x)
