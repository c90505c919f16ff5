"""The lowering guard: what a graph may be made of, so that a phone's runtime takes all of it."""

from collections.abc import Mapping

from lira_export.target import Inventory
from lira_runtime.errors import ParityLost
from lira_runtime.manifest import TargetName

HIGHEST_RANK = 5
ALLOWED: Mapping[TargetName, frozenset[str]] = {}
EXPLAINED: Mapping[tuple[TargetName, str], str] = {}


def check_lowering(target: TargetName, component: str, inventory: Inventory) -> None:
    """Raise ParityLost for an op outside the target's list, a tensor of too high a rank or an op left undelegated."""
    if inventory.highest_rank > HIGHEST_RANK:
        raise ParityLost(f"{component}: a tensor has rank {inventory.highest_rank}, {HIGHEST_RANK} is the most.")
