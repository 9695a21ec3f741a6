import equinox as eqx
import jax
import optax


# --- model
class CNN(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    pool: eqx.nn.MaxPool2d
    dropout: eqx.nn.Dropout
    linear: eqx.nn.Linear

    def __init__(self, key):
        conv_key, linear_key = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(3, 32, kernel_size=3, padding=1, key=conv_key)
        self.norm = eqx.nn.BatchNorm(32, axis_name="batch", mode="batch")
        self.pool = eqx.nn.MaxPool2d(2, 2)
        self.dropout = eqx.nn.Dropout(0.25)
        self.linear = eqx.nn.Linear(32 * 16 * 16, 10, key=linear_key)

    def __call__(self, x, state, key=None):
        x, state = self.norm(self.conv(x), state)
        x = self.pool(jax.nn.relu(x))
        x = self.dropout(x, key=key)
        return self.linear(x.ravel()), state


# --- training step
optim = optax.adam(1e-3)


def compute_loss(model, state, xs, labels, key):
    keys = jax.random.split(key, xs.shape[0])
    batch_model = jax.vmap(model, axis_name="batch", in_axes=(0, None, 0), out_axes=(0, None))
    logits, state = batch_model(xs, state, keys)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), state


@eqx.filter_jit
def make_step(model, state, opt_state, xs, labels, key):
    (loss, state), grads = eqx.filter_value_and_grad(compute_loss, has_aux=True)(model, state, xs, labels, key)
    updates, opt_state = optim.update(grads, opt_state)
    return eqx.apply_updates(model, updates), state, opt_state, loss


# --- evaluation
@eqx.filter_jit
def evaluate(inference_model, state, xs):
    logits, _ = jax.vmap(inference_model, in_axes=(0, None), out_axes=(0, None))(xs, state)
    return logits.argmax(-1)


# --- use
def main(xs, labels, steps):
    model, state = eqx.nn.make_with_state(CNN)(jax.random.key(0))
    opt_state = optim.init(eqx.filter(model, eqx.is_inexact_array))
    losses = []
    for key in jax.random.split(jax.random.key(1), steps):
        model, state, opt_state, loss = make_step(model, state, opt_state, xs, labels, key)
        losses.append(loss)
    return losses, evaluate(eqx.nn.inference_mode(model), state, xs)
