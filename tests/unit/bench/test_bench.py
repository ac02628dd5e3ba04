# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The quick form of what needs nothing but Python, the shape of its results, and how they are shown."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import compile_policy
from tests.bench import __main__ as bench
from tests.bench import engine, estates, naive, simulation, table
from tests.bench.measuring import MEASUREMENTS, Figure, LeftOut, Measurement

PURE = [name for name, one in MEASUREMENTS.items() if one.pure]
MACHINE = {"kind": "machine", **dict.fromkeys(table.HEAD, "-")}


def figure(**more):
    return {
        "kind": "figure",
        "measurement": "plan",
        "says": "words",
        **Figure(**{"name": "f", "value": 1.0, "unit": "s", **more}).to_dict(),
    }


@pytest.mark.parametrize("name", PURE)
def test_the_quick_form_yields_figures_of_the_published_shape(name: str) -> None:
    figures = list(MEASUREMENTS[name].run(True))
    assert figures
    for one in figures:
        assert json.loads(json.dumps(one.to_dict())).keys() == {
            "name",
            "value",
            "unit",
            "target",
            "detail",
            "peer",
            "ok",
        }
        assert one.value >= 0
        assert one.target is None  # small inputs prove nothing about targets
        assert one.detail


def test_a_run_writes_json_lines_and_prints_the_table(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["compile-S", "--quick", "--json", str(tmp_path / "out.jsonl")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["machine", "figure", "figure"]
    assert set(table.HEAD) < set(lines[0])
    shown = capsys.readouterr().out
    assert "compile-S-memory" in shown
    assert all(lines[0][key] in shown for key in table.HEAD)


def test_what_could_not_run_says_why_and_fails_the_run(monkeypatch, tmp_path, capsys) -> None:
    unable = {"kind": "could-not-run", "measurement": "plan", "name": "plan", "reason": "no kernel for it"}
    monkeypatch.setattr(bench, "measured", lambda *_asked: [unable])
    assert bench.main(["plan", "--json", str(tmp_path / "out.jsonl")]) == 1
    assert "could not run: no kernel for it" in capsys.readouterr().out


def test_a_peer_that_is_not_there_is_left_out_without_failing(monkeypatch, tmp_path, capsys) -> None:
    def run(quick):
        raise LeftOut("not installed")
        yield

    monkeypatch.setitem(MEASUREMENTS, "plan", Measurement("plan", run, True, "tests.bench.engine", ""))
    assert bench.main(["--alone", "tests.bench.engine:plan"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "left-out"


def test_a_slow_machine_is_over_the_target_and_in_order(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(bench, "measured", lambda *_asked: [figure(value=9.0, target=3.0)])
    assert bench.main(["plan", "--json", str(tmp_path / "out.jsonl")]) == 0
    assert "<= 3  OVER" in capsys.readouterr().out


def test_the_page_names_what_is_over_and_what_was_not_measured() -> None:
    left = {"kind": "left-out", "measurement": "aerleon", "name": "aerleon", "reason": "no index"}
    text = table.page([MACHINE, figure(name="slow", value=4.0, target=3.0), figure(name="fast", target=3.0), left])
    assert "| `slow` | 4 s | ≤ 3 | OVER |" in text
    assert "Over their target in this run: `slow`." in text
    assert "- `aerleon`, left out: no index" in text


def test_the_naive_loop_and_the_compiler_give_every_workload_the_same_lists() -> None:
    policy, estate = engine.sized(150, 60)
    bundle = engine.compiled_bundle(policy, estate)
    loop = naive.lists_of_everybody(policy, estate)
    assert any(loop.values())
    assert {name: naive.lists_in(bundle.artifact(name)) for name in bundle.points} == loop


def test_inputs_are_the_same_in_every_run() -> None:
    first, second = (compile_policy(*estates.parsed("S")) for _ in range(2))
    assert first.copies == second.copies


def test_the_published_page_is_the_one_the_kept_results_make() -> None:
    results = [json.loads(line) for line in bench.KEPT.read_text(encoding="utf-8").splitlines()]
    assert not results[0]["quick"]
    assert bench.PAGE.read_text(encoding="utf-8") == table.page(results), "run python -m tests.bench --write-docs"


def test_the_draft_lacks_the_same_rules_in_every_run() -> None:
    policy, _estate = engine.sized(100, 40)
    drafts = [simulation.without_rules(policy, 3) for _ in range(2)]
    assert drafts[0] == drafts[1]
    before, after = ([rule.id for rule in one.scopes[0].rulesets[2].rules] for one in (policy, drafts[0]))
    assert len(before) - len(after) == 3
    assert set(after) < set(before)
