import optax
from flax import nnx


# --- model
class CNN(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(3, 32, kernel_size=(3, 3), rngs=rngs)
        self.batch_norm = nnx.BatchNorm(32, rngs=rngs)
        self.dropout = nnx.Dropout(0.25, rngs=rngs)
        self.linear = nnx.Linear(16 * 16 * 32, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.batch_norm(self.conv(x)))
        x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        x = self.dropout(x)
        return self.linear(x.reshape(x.shape[0], -1))


# --- training step
@nnx.jit
def train_step(model, optimizer, x, labels):
    def loss_fn(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


# --- evaluation
@nnx.jit
def evaluate(model, x):
    return model(x).argmax(-1)


# --- use
def main(x, labels, steps):
    model = CNN(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    losses = [train_step(model, optimizer, x, labels) for _ in range(steps)]
    eval_model = nnx.view(model, deterministic=True, use_running_average=True)
    return losses, evaluate(eval_model, x)
