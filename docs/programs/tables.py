"""The tables of docs/programs.md, made from the records of comparisons."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

from marked import prose, table

from programs.comparing import Compared
from programs.listing import PROGRAMS

# Steps that are the same end apart by their roundings, which a few training steps let grow. Relative, by precision.
ROUNDING = {False: 1e-5, True: 1e-11}
PROGRAM = "program | at | cases that run | equal | calls of f | time ratio"
CASE = "case | rtol | apart | off: torchdiffeq | off: odebench | calls: torchdiffeq | odebench | time ratio | verdict"


def parts(found: Sequence[Compared]) -> dict[str, str]:
    """What stands between each pair of marks of the page."""
    return {
        "conditions": " ".join(dict.fromkeys(each.conditions for each in found)),
        "programs": table(PROGRAM, [_program(name, cases) for name, cases in _by_program(found)]),
        "cases": "\n\n".join(
            f"### {PROGRAMS[name].title}\n\n{table(CASE, map(_case, cases))}" for name, cases in _by_program(found)
        ),
        "failures": "\n".join(_failures(found)) or "Nothing.",
        "sources": table("program | at | packages it needs", [
            (f"[{each.title}](https://github.com/{each.title})", each.version, f"`{each.needs}`" if each.needs else "")
            for each in PROGRAMS.values()
        ]),
    }  # fmt: skip


def verdict(case: Compared) -> str:
    """Whether the two sides agree, and which is nearer to the truth where they do not."""
    if case.failed_there or case.failed_here:
        runs = [
            side
            for side, failure in (("torchdiffeq", case.failed_there), ("odebench", case.failed_here))
            if not failure
        ]
        return f"{runs[0]} alone runs" if runs else "neither runs"
    if case.counts:
        return "equal" if len({tuple(each) for each in zip(*case.counts.values(), strict=True)}) == 1 else "not equal"
    assert case.apart is not None
    if case.apart <= max(ROUNDING[case.double], case.rtol or 0.0):
        return "equal"
    if case.off_there is None or case.off_here is None:
        return "not equal"
    return "odebench nearer" if case.off_here < case.off_there else "torchdiffeq nearer"


def _by_program(found: Sequence[Compared]) -> Iterator[tuple[str, list[Compared]]]:
    for name in PROGRAMS:
        if cases := [each for each in found if each.program == name]:
            yield name, cases


def _program(name: str, cases: Sequence[Compared]) -> tuple[str, ...]:
    program = PROGRAMS[name]
    ran = [
        sum(not each for each in failures)
        for failures in zip(*((c.failed_there, c.failed_here) for c in cases), strict=True)
    ]
    both = [each for each in cases if not each.failed_there and not each.failed_here]
    verdicts = [verdict(each) for each in both]
    differ = [f"{verdicts.count(each)} {each}" for each in dict.fromkeys(verdicts) if each != "equal"]
    equal = f"{verdicts.count('equal')} of {len(both)}" + "".join(f"; {each}" for each in differ)
    calls = [f"{sum(each.calls[side] for each in both):,}" for side in (0, 1)]
    return (
        program.title,
        program.version,
        f"{ran[0]}, {ran[1]} of {len(cases)}",
        equal,
        ", ".join(calls),
        _overall(both),
    )


def _overall(cases: Iterable[Compared]) -> str:
    """The ratio of the sums of median times, and the least and the greatest of the cases' own ratios."""
    timed = [each for each in cases if each.pairs]
    if not timed:
        return ""
    sums = [sum(statistics.median(pair[side] for pair in each.pairs) for each in timed) for side in (0, 1)]
    ratios = [ratio[0] for each in timed if (ratio := each.ratio())]
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return f"{sums[0] / sums[1]:.2f}{spread}"


def _case(case: Compared) -> tuple[str, ...]:
    rtol = "" if case.counts else "fixed" if case.rtol is None else f"{case.rtol:.0e}"
    distances = ["" if each is None else f"{each:.1e}" for each in (case.apart, case.off_there, case.off_here)]
    if case.counts:
        distances = ["", *("{} pass, {} fail".format(*side) for side in zip(*case.counts.values(), strict=True))]
    ran = not case.failed_there and not case.failed_here
    calls = [f"{each:,}" if ran else "" for each in case.calls]
    ratio = case.ratio()
    return (
        case.case,
        rtol,
        *distances,
        *calls,
        "" if ratio is None else "{:.2f} ({:.2f} to {:.2f})".format(*ratio),
        verdict(case),
    )


def _failures(found: Sequence[Compared]) -> Iterator[str]:
    """What a side says where it does not run, the same words once; then what odebench alone warns of."""
    said: dict[tuple[str, str, str], list[str]] = {}
    for case in found:
        sides = [("torchdiffeq", case.failed_there), ("odebench", case.failed_here)]
        if case.failed_there == case.failed_here:
            sides = [("either", case.failed_there)]
        for side, words in (*sides, *(("odebench warns", each) for each in case.warned)):
            if words:
                said.setdefault((case.program, side, _short(words)), []).append(case.case)
    for (program, side, words), cases in said.items():
        yield f"- {PROGRAMS[program].title}, {', '.join(cases)}; {side}: {prose(words)}"


def _short(words: str, most: int = 240) -> str:
    line = words.splitlines()[0]
    return line if len(line) <= most else f"{line[:most].rsplit(' ', 1)[0]} …"
