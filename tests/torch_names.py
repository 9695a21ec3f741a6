"""Every name of torch.nn 2.13 and its neighbours, and what takes its place; layers are read off tests/cases.py."""

# The module classes of torch.nn that take one tensor and return one, without Lazy* and containers.
SEQUENTIAL = """
Identity Linear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d MaxPool1d MaxPool2d MaxPool3d
AvgPool1d AvgPool2d AvgPool3d LPPool1d LPPool2d LPPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d
AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d FractionalMaxPool2d FractionalMaxPool3d ZeroPad1d ZeroPad2d
ZeroPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d CircularPad3d CELU ELU GELU GLU Hardshrink Hardsigmoid
Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d
Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm
InstanceNorm1d InstanceNorm2d InstanceNorm3d GroupNorm LayerNorm RMSNorm LocalResponseNorm CrossMapLRN2d RNNCell
GRUCell TransformerEncoderLayer TransformerEncoder Dropout Dropout1d Dropout2d Dropout3d AlphaDropout
FeatureAlphaDropout Embedding EmbeddingBag PixelShuffle PixelUnshuffle ChannelShuffle Upsample UpsamplingNearest2d
UpsamplingBilinear2d Flatten Unflatten Fold Unfold
""".split()  # noqa: SIM905

# Those that take several tensors, or return several.
SEVERAL = """
Bilinear MaxUnpool1d MaxUnpool2d MaxUnpool3d RNN LSTM GRU LSTMCell MultiheadAttention TransformerDecoderLayer
TransformerDecoder Transformer CosineSimilarity PairwiseDistance
""".split()  # noqa: SIM905

# torch builds SyncBatchNorm only where there is a process group; ours is batch_norm with an axis name.
BY_HAND = {"SyncBatchNorm": "batch_norm"}

CONTAINERS = {
    "Sequential": "`jseq.sequential(...)`",
    "Module": "a layer: `@jseq.layer`",
    "ModuleList": "a Python tuple of layers; `jseq.Children` inside a combinator",
    "ModuleDict": "a dict of layers: `jseq.sequential({...})`",
    "ParameterList": "a tuple in params",
    "ParameterDict": "a dict in params",
    "Container": "deprecated in torch",
    "DataParallel": "`jax.jit` over sharded arrays",
    "RNNBase": "`jseq.rnn`, `jseq.lstm`, `jseq.gru`",
    "RNNCellBase": "`jseq.rnn_cell`, `jseq.lstm_cell`, `jseq.gru_cell`",
}

# Losses are optax's. In the expressions, x is the prediction and y the target; ids are classes, s is -1 or 1.
LOSSES = {
    "L1Loss": "jnp.abs(x - y).mean()",
    "MSELoss": "optax.losses.squared_error(x, y).mean()",
    "SmoothL1Loss": "optax.losses.huber_loss(x, y, delta=1.0).mean()",
    "HuberLoss": "optax.losses.huber_loss(x, y, delta=1.0).mean()",
    "CrossEntropyLoss": "optax.losses.softmax_cross_entropy_with_integer_labels(x, ids).mean()",
    "NLLLoss": "-jnp.take_along_axis(logp, ids[:, None], -1).mean()",
    "BCELoss": "-(t * jnp.log(p) + (1 - t) * jnp.log1p(-p)).mean()",
    "BCEWithLogitsLoss": "optax.losses.sigmoid_binary_cross_entropy(x, t).mean()",
    "KLDivLoss": "optax.losses.kl_divergence(logp, q).sum() / logp.size",
    "PoissonNLLLoss": "(jnp.exp(x) - y * x).mean()",
    "GaussianNLLLoss": "(0.5 * (jnp.log(v) + (x - y) ** 2 / v)).mean()",
    "CosineEmbeddingLoss": "jnp.where(s > 0, 1 - cos(x, y), jnp.maximum(0, cos(x, y))).mean()",
    "HingeEmbeddingLoss": "jnp.where(s > 0, d, jnp.maximum(0, 1 - d)).mean()",
    "MarginRankingLoss": "jnp.maximum(0, -s * (d - p[:, 0])).mean()",
    "SoftMarginLoss": "jax.nn.softplus(-s * d).mean()",
    "MultiLabelSoftMarginLoss": "optax.losses.sigmoid_binary_cross_entropy(x, t).mean()",
    "TripletMarginLoss": "jnp.maximum(0, dist(x, y) - dist(x, p) + 1).mean()",
    "TripletMarginWithDistanceLoss": "jnp.maximum(0, dist(x, y) - dist(x, p) + 1).mean()",
    "MultiMarginLoss": "((jnp.maximum(0, 1 - x_ids + x).sum(-1) - 1) / x.shape[-1]).mean()",
}
LOSS_ARGUMENTS = {
    "CrossEntropyLoss": "x, ids", "NLLLoss": "logp, ids", "BCELoss": "p, t", "BCEWithLogitsLoss": "x, t",
    "KLDivLoss": "logp, q", "GaussianNLLLoss": "x, y, v", "CosineEmbeddingLoss": "x, y, s",
    "HingeEmbeddingLoss": "d, s", "MarginRankingLoss": "d, p[:, 0], s", "SoftMarginLoss": "d, s",
    "MultiLabelSoftMarginLoss": "x, t", "TripletMarginLoss": "x, y, p", "TripletMarginWithDistanceLoss": "x, y, p",
    "MultiMarginLoss": "x, ids",
}  # fmt: skip
OTHER_LOSSES = {
    "NLLLoss2d": "`NLLLoss` on `(N, H, W, C)`",
    "CTCLoss": "`optax.losses.ctc_loss(logits, logit_paddings, labels, label_paddings)`",
    "LinearCrossEntropyLoss": "`jseq.linear` and optax's cross-entropy; XLA fuses, but does hold the logits",
    "MultiLabelMarginLoss": "no equivalent: a loss of your own",
    "AdaptiveLogSoftmaxWithLoss": "no equivalent",
}

# torch.nn.functional where the name differs from ours, or where jax has the function.
FUNCTIONAL = {
    "affine_grid": "no equivalent",
    "grid_sample": "`jax.scipy.ndimage.map_coordinates`",
    "gumbel_softmax": "`jax.nn.softmax((x + jax.random.gumbel(key, x.shape)) / tau)`",
    "one_hot": "`jax.nn.one_hot`",
    "pdist": "`jseq.functional.pairwise_distance` on broadcast pairs",
    "dropout1d, dropout2d, dropout3d": "`jseq.functional.feature_dropout(x, p, spatial_dims, key=key)`",
    "multi_head_attention_forward": "`jseq.multihead_attention`",
    "upsample": "`jseq.functional.interpolate`",
    "conv_tbc": "`jseq.functional.conv1d`",
    "*_with_indices": "`return_indices=True`",
    "cross_entropy, mse_loss and the other losses": "optax, as above",
}

UTILS = {
    "clip_grad_norm_": "`optax.clip_by_global_norm`",
    "clip_grad_value_": "`optax.clip`",
    "get_total_norm": "`optax.global_norm`",
    "parameters_to_vector, vector_to_parameters": "`jax.flatten_util.ravel_pytree`",
    "skip_init": "`jax.eval_shape(model.init, key)`",
    "stateless.functional_call": "`model.apply(params, x)`: every call is functional",
    "checkpoint": "`jax.checkpoint`",
    "rnn.pack_padded_sequence, pad_packed_sequence": '`context={"lengths": lengths}`',
    "rnn.pad_sequence": "`numpy.pad`",
    "convert_conv2d_weight_memory_format": "channels are last already",
}

INIT = {
    "zeros_, ones_, constant_": "`jax.nn.initializers.zeros`, `ones`, `constant(value)`",
    "normal_, trunc_normal_": "`jax.nn.initializers.normal(stddev)`, `truncated_normal(stddev)`",
    "uniform_(-a, a)": "`lambda key, shape: jax.random.uniform(key, shape, minval=-a, maxval=a)`",
    "xavier_uniform_, xavier_normal_": "`jax.nn.initializers.glorot_uniform()`, `glorot_normal()`",
    "kaiming_uniform_, kaiming_normal_": "`jax.nn.initializers.he_uniform()`, `he_normal()`",
    "orthogonal_": "`jax.nn.initializers.orthogonal()`",
    "dirac_": "`jax.nn.initializers.delta_orthogonal()` is near; no exact equivalent",
    "eye_": "`lambda key, shape: jnp.eye(*shape)`",
    "sparse_": "no equivalent",
}
