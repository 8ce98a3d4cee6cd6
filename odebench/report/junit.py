"""A comparison as JUnit XML, which every CI shows as tests: one case per cell and metric."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from odebench.compare.verdicts import Comparison, Finding, Verdict
from odebench.report.findings import sentence
from odebench.report.text import plain


def to_junit(comparison: Comparison) -> str:
    """`<testsuites>`, a `<testsuite>` for each suite, and in it `<testcase classname="cell" name="metric">`.

    What fails the gate is a failure, what cannot be told is skipped, all else has passed; whoever reads only the names
    of what failed needs nothing else. Elements and attributes are those of Jenkins's schema; times are left out, since
    a case takes none.
    """
    by_suite: dict[str, list[Finding]] = {}
    for each in comparison.findings:
        by_suite.setdefault(each.suite, []).append(each)
    root = Element("testsuites", {"name": "odebench", **_counts(comparison.findings)})
    for name, findings in by_suite.items():
        skipped = sum(each.verdict is Verdict.UNCLEAR for each in findings)
        about = {"name": plain(name), **_counts(findings), "skipped": str(skipped)}
        suite = SubElement(root, "testsuite", about)
        properties = SubElement(suite, "properties")
        for key in ("base", "new", "policy"):
            SubElement(properties, "property", {"name": key, "value": plain(getattr(comparison, key))})
        for each in findings:
            _case(suite, each)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _counts(findings: list[Finding] | tuple[Finding, ...]) -> dict[str, str]:
    return {"tests": str(len(findings)), "failures": str(sum(each.fails for each in findings)), "errors": "0"}


def _case(suite: Element, finding: Finding) -> None:
    """`plain` leaves no character that XML forbids; ElementTree escapes what XML would act on."""
    case = SubElement(suite, "testcase", {"classname": plain(finding.cell), "name": plain(finding.metric)})
    told = sentence(finding)
    if finding.fails:
        message = f"{finding.verdict}: {told}"
        SubElement(case, "failure", {"message": message, "type": str(finding.verdict)}).text = message
    elif finding.verdict is Verdict.UNCLEAR:
        SubElement(case, "skipped", {"message": told})
    elif finding.verdict is not Verdict.SAME:
        gate = "" if finding.gated else ", not gated"
        SubElement(case, "system-out").text = f"{finding.verdict}{gate}: {told}"
