"""A gate's run as JUnit XML, as GitHub's annotations and step summary. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from scheduler.experiments.markdown import escape_markdown
from scheduler.experiments.tables import show_ratio
from webinfer.bench.laboratory.documents import interval_plain
from webinfer.bench.laboratory.gate import BAD, OPEN, CellResult, Status

# What XML 1.0 cannot hold, escaped or not.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(name: str, results: Sequence[CellResult]) -> str:
    """JUnit's XML: a failure a bad cell, a skip for one that could not be judged."""
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(f"webinfer gate {name}"),
        tests=str(len(results)),
        failures=str(sum(result.status in (Status.SLOWER, Status.WRONG) for result in results)),
        errors=str(sum(result.status is Status.FAILED for result in results)),
        skipped=str(sum(result.status in OPEN for result in results)),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_xml(f"webinfer.gate.{name}"),
            name=_xml(result.cell.name),
            time=f"{result.seconds:.3f}",
        )
        tag = _junit_tag(result.status)
        if tag:
            ElementTree.SubElement(case, tag, message=_xml(result.text), type=str(result.status))
        else:
            ElementTree.SubElement(case, "system-out").text = _xml(result.text)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
    )


def _junit_tag(status: Status) -> str:
    if status is Status.FAILED:
        return "error"
    return "failure" if status in BAD else "skipped" if status in OPEN else ""


def _xml(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)


def annotate(results: Sequence[CellResult]) -> Iterator[str]:
    """GitHub's workflow commands, a line a cell that is not as it should be."""
    for result in results:
        if result.status in (*BAD, *OPEN):
            level = "error" if result.status in BAD else "warning"
            title = _property(f"webinfer gate: {result.cell.name} {result.status}")
            yield f"::{level} title={title}::{_data(result.text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def markdown(name: str, results: Sequence[CellResult]) -> str:
    """A table for the step summary."""
    lines = [f"### webinfer gate: {escape_markdown(name)}", "", "| cell | verdict | ratio | 95 % | |"]
    lines.append("|---|---|---|---|---|")
    for result in results:
        ratio = show_ratio(interval_plain(result.interval) if result.interval else None)
        sign = "❌" if result.status in BAD else "⚠️" if result.status in OPEN else "✅"
        cells = (result.cell.name, f"{result.status}", *ratio, result.text)
        lines.append(f"| {sign} " + " | ".join(map(escape_markdown, cells)) + " |")
    return "\n".join([*lines, ""])
