"""x"""
from jseq._combinators.children import Children as Children
from jseq._combinators.sequential import sequential as sequential
from jseq._layers.linear import identity as identity
from jseq._layers.linear import linear as linear
from jseq.core import Layer as Layer, layer as layer, lift as lift, no_params as no_params, with_state as with_state
