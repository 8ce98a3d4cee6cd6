"""A comparison with a finding of every kind, for the tests of what is made of comparisons."""

from __future__ import annotations

from typing import Any

from odebench.compare.verdicts import Comparison, Finding, Noise, Verdict, worst_first

COUPLED = "coupled(base=rk4, coupling=0.999)"
STORED = "measured on different machines; `odebench compare --suite s.yaml --base REV --new .` tells"


def cell(problem: str = "logistic", solver: str = "rk4", gradient: str = "direct") -> str:
    return f"{problem}/{solver}/{gradient}/fixed(steps=100)/cpu/float64/32/0"


def finding(verdict: Verdict, metric: str, at: str | None = None, suite: str = "small", **more: Any) -> Finding:
    base, new = more.get("base"), more.get("new")
    if isinstance(base, (int, float)) and isinstance(new, (int, float)) and base:
        more.setdefault("ratio", new / base)
    return Finding(suite, at or cell(), metric, verdict, **more)


FINDINGS = worst_first(
    [
        finding(Verdict.WORSE, "nfe_backward", base=400, new=401),
        finding(
            Verdict.WORSE, "wall_seconds", cell("pendulum", COUPLED, "reversible"), base=0.0123, new=0.0130,
            ratio=1.053, low=1.031, high=1.072, margin=0.03, samples=8,
        ),
        finding(Verdict.WORSE, "status", cell("pendulum"), base="ok", new="timed_out", note="it took over 120 s"),
        finding(Verdict.WORSE, "overhead", base=1.3, new=3.9, low=2.8, high=3.3, margin=0.03, gated=False),
        finding(Verdict.MISSING, "status", cell(solver="dopri5"), base="ok", note="NEW has no such cell"),
        finding(Verdict.UNCLEAR, "wall_seconds", base=0.01, new=0.0108, margin=0.03, note=STORED),
        finding(Verdict.UNCLEAR, "wall_seconds", cell("pendulum"), base=0.01, new=0.0108, margin=0.03, note=STORED),
        finding(Verdict.BETTER, "peak_memory_bytes", base=12345678, new=12345677),
        finding(Verdict.NEW, "status", cell(solver="tsit5"), new="ok"),
        *(finding(Verdict.SAME, "nfe_forward", cell(solver=each), base=4, new=4) for each in ("rk4", "heun", "ab2")),
    ]
)  # fmt: skip
NOISE = (
    Noise("small", cell(), "wall_seconds", 1.001, 0.985, 1.010, 0.018, 0.041),
    Noise("small", cell("pendulum"), "wall_seconds", 0.999, 0.980, 1.020, 0.026, 0.052),
)
EXAMPLE = Comparison(
    "main (1a2b3c4d)", "HEAD (5e6f7a8b)", FINDINGS, NOISE, "status, exact, wall_seconds > 3%",
    ("times: 8 rounds of three fresh processes", "times: 8 rounds of three fresh processes"),
    {"wall_seconds": {"log_ratios": [0.01, float("inf")]}},
)  # fmt: skip
CLEAN = Comparison("a", "b", tuple(each for each in FINDINGS if each.verdict is Verdict.SAME))
UNTOLD = Comparison("a", "b", tuple(each for each in FINDINGS if each.verdict in (Verdict.SAME, Verdict.UNCLEAR)))
# What a stranger may write in a suite, a plugin or a results file.
HOSTILE = (
    "<img src=x onerror=alert(1)>", "a|b", "`code`", "@team/owners", "#123", "GH-7", "[x](javascript:alert(1))",
    "https://evil.example/x", "www.evil.example", "\x1b[31mred\x1b[0m", "two\nlines\n\n# heading",
    "\x00\x08\ufffe\ud800", "]]>", "=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "</summary></details>", "&lt;b&gt;", "$x$",
    "~~s~~ *b* _i_ __b__",
    "![i](//e.example/i.png)", "{% raw %}", "a@evil.example", "<!-- x", "\u202egnp.exe", "%60",
)  # fmt: skip
