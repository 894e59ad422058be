"""Where can something be added to a frozen network? At its seams: linear maps, norms, branches, blocks and the head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from robustpeft.errors import UserError, nearest_hint

__all__ = ["COMPONENTS", "STAGE_COMPONENTS", "Residual", "Seams", "Site"]

COMPONENTS = ("patch_embed", "q", "k", "v", "proj", "fc1", "fc2")
"""The key components of a ViT: every linear map between the pixels and the head, in the order of the forward pass."""

STAGE_COMPONENTS = ("reduction",)
"""What a network of several stages has besides: the linear map that merges 2 x 2 tokens between two stages."""

_ALL_COMPONENTS = (*COMPONENTS, *STAGE_COMPONENTS)
_HEAD = "head"  # no key component: every technique trains the head, unless it is adapted like the other maps


@dataclass(frozen=True)
class Site:
    """One linear map of the network.

    Args:
        component: One of `COMPONENTS` or `STAGE_COMPONENTS`, or ``head``.
        module: Dotted path of the module that computes it.
        block: Index of its transformer block; None outside the blocks.
        part: (i, n) if it is the i-th of n equal parts of the module's output (q, k, v of a fused layer); else None.
    """

    component: str
    module: str
    block: int | None = None
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Residual:
    """The two branches of one pre-norm transformer block: ``r = x + attn(x)``, then ``r + mlp(r)``.

    Each branch is a chain of modules: the first, a norm, is called with the stream itself, and what the last returns is
    added to the stream (the first entry of it, if it returns a tuple). Between the first and the last, each module of
    the chain is called with the very tensor that the one before it returned.

    A chain of one module is a branch of which only the end is known: something can be put behind that module, acting on
    each token alone, because it may see the tokens in another order or in windows; nothing can be put beside it.

    Args:
        attn: Dotted paths of the attention branch: the norm, the attention, the LayerScale if there is one.
        mlp: Likewise of the MLP branch.
        width: Channels of the stream.
    """

    attn: tuple[str, ...]
    mlp: tuple[str, ...]
    width: int


@dataclass(frozen=True)
class Seams:
    """Everything that can be adapted in one network.

    Args:
        family: Name of the family whose map this is.
        sites: Its linear maps.
        heads: Dotted paths of the classification heads.
        blocks: Dotted paths of the transformer blocks, in order.
        norms: Dotted paths of the normalisation layers.
        embeddings: Dotted paths of parameters added to the token stream (position embedding, class token).
        residuals: The branches of each block, in order; empty if the blocks are not of the pre-norm kind.
        prefix_tokens: How many tokens stand before the patches in the blocks' input (b, n, d); None if the blocks take
            something else than one sequence of tokens.
        absent: Why a component that one would expect has no site, as part of a sentence; empty if none is missing.
    """

    family: str
    sites: tuple[Site, ...]
    heads: tuple[str, ...]
    blocks: tuple[str, ...]
    norms: tuple[str, ...]
    embeddings: tuple[str, ...] = ()
    residuals: tuple[Residual, ...] = ()
    prefix_tokens: int | None = None
    absent: str = ""

    @property
    def components(self) -> tuple[str, ...]:
        """The components that have a site."""
        have = {site.component for site in self.sites}
        return tuple(name for name in _ALL_COMPONENTS if name in have)

    def require_residuals(self) -> tuple[Residual, ...]:
        """Return the residual branches of the blocks.

        Raises:
            UserError: If none are known.
        """
        if not self.residuals:
            raise UserError(
                f"the blocks of this {self.family} are not x + attn(norm(x)), then r + mlp(norm(r)), so nothing can be "
                "added to these branches; use a technique beside single layers, such as lora"
            )
        return self.residuals

    def require_parallel(self) -> tuple[Residual, ...]:
        """Return the residual branches of blocks in which something can also be put beside the MLP.

        Raises:
            UserError: If none are known, or only the ends of them.
        """
        residuals = self.require_residuals()
        if any(len(residual.mlp) < 2 for residual in residuals):
            raise UserError(
                f"of the MLP branches of this {self.family} only the end is known, so nothing can be put beside them; "
                "use a technique behind the branches, such as adapter, or beside single layers, such as lora"
            )
        return residuals

    def require_prefix_tokens(self) -> int:
        """Return how many tokens stand before the patches.

        Raises:
            UserError: If the blocks take something else than one sequence of tokens.
        """
        if self.prefix_tokens is None:
            raise UserError(
                f"the blocks of this {self.family} take no sequence of tokens that could hold prompts; use another "
                "technique, such as lora"
            )
        return self.prefix_tokens

    def select(self, components: Sequence[str], blocks: Iterable[int] | None = None) -> tuple[Site, ...]:
        """Return the sites of these components, in these blocks if given; ``head`` stands for the classification heads.

        Raises:
            UserError: If a component is unknown, or a choice matches nothing; the message lists what there is.
        """
        if isinstance(components, str):
            raise UserError(f"components are several names, such as ({components!r},); got the text {components!r}")
        known, available = (*_ALL_COMPONENTS, _HEAD), (*self.components, *([_HEAD] if self.heads else []))
        for component in components:
            if component not in known:
                raise UserError(f"unknown component {component!r}; {nearest_hint(component, known)}")
            if component not in available:
                why = f"; {self.absent}" if self.absent else ""
                raise UserError(f"this {self.family} has no {component!r}; it has {', '.join(available)}{why}")
        wanted = None if blocks is None else set(blocks)
        if wanted is not None and (missing := sorted(wanted - set(range(len(self.blocks))))):
            raise UserError(f"blocks {missing} do not exist; this network has blocks 0 to {len(self.blocks) - 1}")
        heads = (Site(_HEAD, head) for head in self.heads)
        chosen = tuple(
            s
            for s in (*self.sites, *heads)
            if s.component in components and (wanted is None or s.block is None or s.block in wanted)
        )
        if not chosen:
            raise UserError(f"components {list(components)} match nothing; this network has {', '.join(available)}")
        return chosen
