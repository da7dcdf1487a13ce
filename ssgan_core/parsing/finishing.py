"""What is done to a parser's weights after the last step: a mean with those that the training went on from.

Such a mean is sounder on pictures of another kind than either (Wortsman et al., "Robust fine-tuning of zero-shot
models", 2022).
"""

from __future__ import annotations

import copy

from ssgan_core.parsing.network import ParserNetwork


def mixed(first: ParserNetwork, second: ParserNetwork, share: float) -> ParserNetwork:
    """The mean of two networks' weights, of which the second's have `share` (0 to 1)."""
    result = copy.deepcopy(second)
    ours, theirs = first.state_dict(), second.state_dict()
    result.load_state_dict({name: value.lerp(theirs[name], share) for name, value in ours.items()})
    return result
