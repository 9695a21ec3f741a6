"""Pure functions on arrays."""
from jseq.functional.linear import linear as linear
