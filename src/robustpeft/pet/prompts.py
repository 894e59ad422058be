"""How do learned tokens get into a sequence of tokens, and out of it again?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Prompts", "WithoutPrompts"]


class Prompts(nn.Module):
    """Learned tokens P (n, d) in a sequence: [prefix, patches] to [prefix, P, patches].

    Args:
        start: Their initial values, (n, d).
        prefix: How many tokens stand before them.
        dropout: Probability of dropping an entry, drawn for each image anew, in training only.
        replace: The sequence holds n prompts already; these take their place.
    """

    def __init__(self, start: Tensor, prefix: int, dropout: float, *, replace: bool) -> None:
        super().__init__()
        self.tokens = nn.Parameter(start)
        self.prefix = prefix
        self.dropout = nn.Dropout(dropout)
        self.replace = replace
        self.enabled = True

    def forward(self, sequence: Tensor) -> Tensor:
        """Return the sequence (b, m, d) with the prompts: (b, m + n, d), or (b, m, d) if they replace others."""
        if not self.enabled:
            return sequence
        prompts = self.dropout(self.tokens.expand(sequence.shape[0], -1, -1)).to(sequence.dtype)
        patches = self.prefix + (len(self.tokens) if self.replace else 0)
        return torch.cat((sequence[:, : self.prefix], prompts, sequence[:, patches:]), dim=1)


class WithoutPrompts(nn.Module):
    """Takes the prompts out of a sequence again: [prefix, P, patches] to [prefix, patches].

    Args:
        prefix: How many tokens stand before them.
        num_prompts: How many they are.
    """

    def __init__(self, prefix: int, num_prompts: int) -> None:
        super().__init__()
        self.prefix = prefix
        self.num_prompts = num_prompts
        self.enabled = True

    def forward(self, sequence: Tensor) -> Tensor:
        """Return the sequence (b, m + n, d) without the prompts, (b, m, d)."""
        if not self.enabled:
            return sequence
        return torch.cat((sequence[:, : self.prefix], sequence[:, self.prefix + self.num_prompts :]), dim=1)
