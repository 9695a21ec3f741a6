"""torch.nn.Sequential reborn for JAX: every layer is a pair of pure functions over explicit params."""

from jseq import errors as errors
from jseq import functional as functional
from jseq._combinators.children import Children as Children
from jseq._combinators.sequential import sequential as sequential
from jseq._layers.activation import gelu as gelu
from jseq._layers.activation import leaky_relu as leaky_relu
from jseq._layers.activation import log_softmax as log_softmax
from jseq._layers.activation import prelu as prelu
from jseq._layers.activation import relu as relu
from jseq._layers.activation import sigmoid as sigmoid
from jseq._layers.activation import silu as silu
from jseq._layers.activation import softmax as softmax
from jseq._layers.activation import tanh as tanh
from jseq._layers.batch_norm import batch_norm as batch_norm
from jseq._layers.convolution import conv2d as conv2d
from jseq._layers.dropout import dropout as dropout
from jseq._layers.embedding import embedding as embedding
from jseq._layers.linear import identity as identity
from jseq._layers.linear import linear as linear
from jseq._layers.normalisation import layer_norm as layer_norm
from jseq._layers.pooling import avg_pool2d as avg_pool2d
from jseq._layers.pooling import max_pool2d as max_pool2d
from jseq._layers.shape import flatten as flatten
from jseq._tools.config import from_config as from_config
from jseq._tools.config import to_config as to_config
from jseq.core import Layer as Layer
from jseq.core import layer as layer
from jseq.core import lift as lift
from jseq.core import no_params as no_params
from jseq.core import with_state as with_state

__version__ = "0.1.0"
