"""Why a comparison of times has no verdict, and what would bring one about."""

from __future__ import annotations

from math import exp, expm1

from odebench.compare.evidence import Test
from odebench.compare.interval import fewest

# Times the margin. An estimate between the first two with an interval no wider than the third is that of a change which
# no number of rounds tells from the margin soon; everywhere else it is the noise that keeps the verdict open.
_NEAR, _NARROW = (0.5, 1.5), 3.0


def what_would_tell(test: Test) -> str:
    """One sentence for a test that was closed undecided; it agrees with the estimate that stands beside it."""
    more, found = test.more_pairs(), test.interval
    short = "" if found else f"{len(test.samples)} of the {fewest(test.level)} rounds that an interval takes; "
    if more is not None:
        return f"{short}about {more} more rounds would tell: give a larger --budget, or a quieter machine"
    effect = (test.estimate or 1.0) - 1
    near = _NEAR[0] * test.margin <= effect <= _NEAR[1] * test.margin
    if near and found and found.high - found.low <= _NARROW * test.margin:
        return "the change is about as large as the margin; another margin would tell"
    where = "beyond the margin" if effect > test.margin else "within the margin"
    reach = max(test.samples) - min(test.samples)
    apart = f"{100 * expm1(reach):.2g} %" if expm1(reach) < 1 else f"a factor of {exp(reach):.2g}"
    return (
        f"{short}the estimate is {where}, but pairs of processes are up to {apart} apart, too far to be sure; "
        "a quieter machine would tell"
    )
