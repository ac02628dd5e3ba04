# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""JUnit XML: one test case per thing that was looked at, so that a pipeline shows what is not in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

#: Characters XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile("[^\\t\\n\\r\\u0020-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def render(data: Mapping[str, Any]) -> str:
    """Errors fail a case; warnings and notes are its output. What could not be read is an `error`, not a failure."""
    cases: dict[str, list[Mapping[str, Any]]] = {name: [] for name in data["checked"]}
    for finding in data["findings"]:
        cases.setdefault(finding["about"], []).append(finding)
    failures = errors = 0
    suite = ElementTree.Element("testsuite", name=_clean(f"microseg {data['kind']}"), timestamp=_clean(data["at"]))
    for name, findings in cases.items():
        case = ElementTree.SubElement(suite, "testcase", classname=f"microseg.{data['kind']}", name=_clean(name))
        unread = [finding for finding in findings if finding["code"] == "W-DRIFT-UNREAD"]
        bad = [finding for finding in findings if finding["severity"] == "error"]
        if unread:
            errors += 1
            _add(case, "error", unread[0], unread)
        elif bad:
            failures += 1
            _add(case, "failure", bad[0], bad)
        rest = [finding for finding in findings if finding not in bad and finding not in unread]
        if rest:
            ElementTree.SubElement(case, "system-out").text = _clean("\n".join(_line(finding) for finding in rest))
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(failures))
    suite.set("errors", str(errors))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _add(case: ElementTree.Element, kind: str, first: Mapping[str, Any], all_of: list[Mapping[str, Any]]) -> None:
    element = ElementTree.SubElement(case, kind, type=_clean(first["code"]), message=_clean(first["message"]))
    element.text = _clean("\n".join(_line(finding) for finding in all_of))


def _line(finding: Mapping[str, Any]) -> str:
    facts = "".join(f"\n  {fact['name']}: {fact['text']}" for fact in finding["facts"])
    return f"{finding['code']} {finding['message']}{facts}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", str(text))
