import jax
import jax.numpy as jnp
from jax.example_libraries import optimizers, stax


# --- model
def model(mode):
    return stax.serial(
        stax.Conv(32, (3, 3), padding="SAME"),
        stax.BatchNorm(),  # of the batch, in evaluation too: stax keeps no running statistics
        stax.Relu,
        stax.MaxPool((2, 2), strides=(2, 2)),
        stax.Dropout(0.75, mode),  # the rate of keeping
        stax.Flatten,
        stax.Dense(10),
    )


init, train_apply = model("train")
_, test_apply = model("test")

# --- training step
opt_init, opt_update, get_params = optimizers.adam(1e-3)


@jax.jit
def train_step(i, opt_state, x, labels, rng):
    def loss(params):
        log_probs = jax.nn.log_softmax(train_apply(params, x, rng=rng))
        return -jnp.take_along_axis(log_probs, labels[:, None], -1).mean()

    value, grads = jax.value_and_grad(loss)(get_params(opt_state))
    return opt_update(i, grads, opt_state), value


# --- evaluation
@jax.jit
def evaluate(params, x):
    return test_apply(params, x, rng=jax.random.key(0)).argmax(-1)  # Dropout asks for a key in evaluation too


# --- use
def main(x, labels, steps):
    _, params = init(jax.random.key(0), x.shape)
    opt_state = opt_init(params)
    losses = []
    for i, rng in enumerate(jax.random.split(jax.random.key(1), steps)):
        opt_state, value = train_step(i, opt_state, x, labels, rng)
        losses.append(value)
    return losses, evaluate(get_params(opt_state), x)
