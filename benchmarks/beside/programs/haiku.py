import haiku as hk
import jax
import optax


# --- model
def forward(x, is_training):
    x = hk.Conv2D(32, kernel_shape=3)(x)
    x = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)(x, is_training)
    x = jax.nn.relu(x)
    x = hk.max_pool(x, window_shape=2, strides=2, padding="VALID")
    if is_training:
        x = hk.dropout(hk.next_rng_key(), 0.25, x)
    x = hk.Flatten()(x)
    return hk.Linear(10)(x)


model = hk.transform_with_state(forward)

# --- training step
adam = optax.adam(1e-3)


@jax.jit
def train_step(params, state, opt_state, x, labels, rng):
    def loss_fn(params):
        logits, new_state = model.apply(params, state, rng, x, is_training=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), new_state

    (loss, state), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = adam.update(grads, opt_state)
    return optax.apply_updates(params, updates), state, opt_state, loss


# --- evaluation
@jax.jit
def evaluate(params, state, x):
    logits, _ = model.apply(params, state, None, x, is_training=False)
    return logits.argmax(-1)


# --- use
def main(x, labels, steps):
    params, state = model.init(jax.random.key(0), x, is_training=True)
    opt_state = adam.init(params)
    losses = []
    for rng in jax.random.split(jax.random.key(1), steps):
        params, state, opt_state, loss = train_step(params, state, opt_state, x, labels, rng)
        losses.append(loss)
    return losses, evaluate(params, state, x)
