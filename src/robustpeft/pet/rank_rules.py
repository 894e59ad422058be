"""Which linear maps are adapted, and at which rank? Those of some components and blocks, with rules for exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.errors import UserError
from robustpeft.pet.block_choice import choose_blocks
from robustpeft.types import Seams, Site

__all__ = ["RankRule", "ranked_sites"]


@dataclass(frozen=True)
class RankRule:
    """Another rank for some maps; in a recipe ``{r: 16, blocks: [10, 11], components: [fc1, fc2]}``.

    Blocks are numbers and not text to be matched, so block 1 is never mistaken for 10 and 11.

    Args:
        r: Rank of these maps; 0 leaves them out.
        components: Which components; None for all that are adapted.
        blocks: Which blocks, negative ones counted from the end; None for all, and the maps outside the blocks.
    """

    r: int
    components: tuple[str, ...] | None = None
    blocks: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.r < 0 or self.r != int(self.r):
            raise UserError(f"the r of a RankRule must be at least 0, which leaves the maps out; got {self.r}")


def ranked_sites(
    seams: Seams,
    components: Sequence[str],
    blocks: tuple[int, ...] | None,
    r: int,
    rank_pattern: Sequence[RankRule] = (),
) -> dict[Site, int]:
    """Return the rank of each adapted map, in the order of the forward pass; maps of rank 0 are left out.

    Args:
        seams: What there is.
        components: Which components.
        blocks: Which blocks, negative ones counted from the end; None for all. Maps outside the blocks are not
            concerned: their component decides alone.
        r: Rank where no rule says otherwise.
        rank_pattern: Exceptions; where several hold for one map, the last decides.

    Raises:
        UserError: If a component or block does not exist, or a rule names one that is not adapted; the message lists
            what is.
    """
    sites = seams.select(components, None if blocks is None else choose_blocks(blocks, len(seams.blocks)))
    ranks = dict.fromkeys(sites, r)
    for index, rule in enumerate(rank_pattern):
        wanted = None if rule.blocks is None else choose_blocks(rule.blocks, len(seams.blocks))
        matched = [
            site
            for site in sites
            if (rule.components is None or site.component in rule.components)
            and (wanted is None or site.block in wanted)
        ]
        unmet = set(rule.components or ()) - {site.component for site in matched}
        if not matched or unmet or set(wanted or ()) - {site.block for site in matched}:
            raise UserError(
                f"rank_pattern.{index}, {rule}, names what is not adapted; these are the adapted maps: {_listed(sites)}"
            )
        ranks.update(dict.fromkeys(matched, rule.r))
    kept = {site: rank for site, rank in ranks.items() if rank > 0}
    if not kept:
        raise UserError("rank_pattern gives every map the rank 0, so nothing would be adapted")
    return kept


def _listed(sites: Sequence[Site]) -> str:
    """Return ``patch_embed; q, v in blocks 0, 1``."""
    outside = dict.fromkeys(site.component for site in sites if site.block is None)
    inside = dict.fromkeys(site.component for site in sites if site.block is not None)
    blocks = sorted({site.block for site in sites if site.block is not None})
    said = [", ".join(outside)] if outside else []
    if inside:
        said.append(f"{', '.join(inside)} in blocks {', '.join(map(str, blocks))}")
    return "; ".join(said)
