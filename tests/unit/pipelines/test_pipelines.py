# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pipelines that ship: their commands run on an example repository, and what they must never do is not in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.shop import HOSTS, POLICY

ROOT = Path(__file__).resolve().parents[3]
GITHUB = ROOT / "extensions" / "pipelines" / "github" / "microseg-review.yml"
GITLAB = ROOT / "extensions" / "pipelines" / "gitlab" / "microseg-review.yml"
BREAK_OUT = """[defaults]
inventory_plugins = ./evil
callback_plugins = ./evil
callbacks_enabled = evil
vars_plugins = ./evil
filter_plugins = ./evil
"""
EVIL = "open('{place}', 'w').write('ran')\n"
ROLES = """
roles:
  - {name: team-shop, members: [ann], write: {scopes: [shop]}}
  - {name: security, members: [eve], write: {scopes: ["*"], documents: [roles, scopes, settings, modes, services, guardrails, tests]}}
"""  # noqa: E501


def git(place: Path, *words: str) -> str:
    command = ["git", "-C", str(place), "-c", "user.name=Ann", "-c", "user.email=ann@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def loaded(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """The repository on the forge, with a change that opens a port in branch `change`."""
    place = tmp_path / "upstream"
    (place / "policy").mkdir(parents=True)
    (place / "policy" / "all.yml").write_text(POLICY)
    (place / "policy" / "roles.yml").write_text(ROLES)
    (place / "hosts.yml").write_text(HOSTS)
    git(tmp_path, "init", "-q", "-b", "main", str(place))
    run("microseg owners --write CODEOWNERS", place, {})
    git(place, "add", ".")
    git(place, "commit", "-qm", "before")
    git(place, "checkout", "-qb", "change")
    (place / "policy" / "all.yml").write_text(POLICY.replace("[postgresql]", "[postgresql, tcp/22]"))
    return place


def finish(upstream: Path) -> None:
    """What a forge does with a pull request: the branch, and what merging it would give."""
    git(upstream, "add", "-A")
    git(upstream, "commit", "-qm", "change")
    git(upstream, "checkout", "-q", "main")
    git(upstream, "merge", "-q", "--no-ff", "-m", "merge", "change")
    git(upstream, "update-ref", "refs/pull/7/merge", "HEAD")
    git(upstream, "reset", "-q", "--hard", "HEAD^1")


def run(script: str, place: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_HOME": str(place / ".ansible"), **variables}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def on_github(upstream: Path, author: str) -> tuple[int, Path]:
    """The steps of the review that are commands, but for the installation."""
    flow = loaded(GITHUB)
    place, temp = upstream.parent / "clone", upstream.parent / "temp"
    git(upstream.parent, "clone", "-q", str(upstream), str(place))
    variables = {**flow["env"], "AUTHOR": author, "CHANGE_REF": "refs/pull/7/merge", "FULL": "https://forge/run"}
    variables |= {"CHANGE_TREE": str(temp / "change"), "OUT": str(temp / "review")}
    result = None
    for step in flow["jobs"]["review"]["steps"]:
        if "run" in step and step["name"] != "Install":
            result = run(step["run"], place, variables)
    assert result is not None
    return result.returncode, temp / "review"


def on_gitlab(upstream: Path, author: str) -> tuple[int, Path]:
    flow = loaded(GITLAB)
    place = upstream.parent / "clone"
    git(upstream.parent, "clone", "-q", "-b", "change", str(upstream), str(place))
    job = flow["microseg-review"]
    variables = {
        **flow["variables"],
        "GITLAB_USER_LOGIN": author,
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(upstream, "merge-base", "main", "change"),
        "CI_COMMIT_SHA": git(upstream, "rev-parse", "change"),
        "CI_JOB_URL": "https://forge/job",
    }
    return run("\n".join(job["script"]), place, variables).returncode, place / "review"


FORGES = pytest.mark.parametrize("forge", [on_github, on_gitlab], ids=["github", "gitlab"])


@FORGES
def test_a_change_in_order_passes_with_a_comment_and_nothing_of_it_is_run(
    forge: Any, upstream: Path, tmp_path: Path
) -> None:
    """The change brings an ansible.cfg with plugins, an inventory that is a program, and a program of our name."""
    place = tmp_path / "ran"
    (upstream / "ansible.cfg").write_text(BREAK_OUT)
    (upstream / "evil").mkdir()
    (upstream / "evil" / "evil.py").write_text(EVIL.format(place=place))
    for name in ("hosts.yml", "microseg"):
        (upstream / name).write_text(f"#!/bin/sh\necho ran > {place}\necho '{{}}'\n")
        (upstream / name).chmod(0o755)
    finish(upstream)

    code, review = forge(upstream, "ann")

    assert code == 0
    assert not place.exists()
    assert "Policy review: in order" in (review / "review.md").read_text()
    data = json.loads((review / "review.json").read_text())
    assert [box["services"] for box in data["newly_allowed"]] == [["tcp/22"]]
    assert data["basis"] == "inventory"


@FORGES
def test_an_author_who_may_not_fails(forge: Any, upstream: Path) -> None:
    (upstream / "policy" / "roles.yml").write_text(ROLES.replace("[ann]", "[ann, mallory]"))
    finish(upstream)

    code, review = forge(upstream, "mallory")

    assert code == 1
    codes = [one["code"] for one in json.loads((review / "review.json").read_text())["findings"]]
    assert {"E-MAY-RULE", "E-MAY-DOCUMENT"} <= set(codes)


@FORGES
def test_owners_that_are_out_of_date_fail(forge: Any, upstream: Path) -> None:
    (upstream / "policy" / "all.yml").rename(upstream / "policy" / "moved.yml")
    finish(upstream)

    code, review = forge(upstream, "ann")

    assert code == 1
    assert "in order" in (review / "review.md").read_text()


@FORGES
def test_documents_that_cannot_be_read_fail_with_a_comment(forge: Any, upstream: Path) -> None:
    (upstream / "policy" / "all.yml").write_text("scope: [")
    finish(upstream)

    code, review = forge(upstream, "ann")

    assert code == 2
    assert "cannot be read" in (review / "review.md").read_text()


def test_the_traps_of_that_test_do_run_where_the_change_is_trusted(upstream: Path, tmp_path: Path) -> None:
    place = tmp_path / "ran"
    (upstream / "hosts.yml").write_text(f"#!/bin/sh\necho ran > {place}\necho '{{}}'\n")
    (upstream / "hosts.yml").chmod(0o755)

    run("microseg check -i hosts.yml", upstream, {})

    assert place.exists()


class TestGithub:
    def test_tokens_have_the_least_rights(self) -> None:
        flow = loaded(GITHUB)

        assert flow["permissions"] == {}
        assert flow["jobs"]["review"]["permissions"] == {"contents": "read"}
        assert flow["jobs"]["comment"]["permissions"] == {"pull-requests": "write"}
        assert "secrets" not in re.sub(r"#.*", "", GITHUB.read_text())
        assert list(flow["on"]) == ["pull_request_target"]
        wanted = {"opened", "synchronize", "reopened", "edited"}
        assert wanted <= set(flow["on"]["pull_request_target"]["types"]), "edited: the base may have become another"

    def test_only_the_base_is_checked_out_and_leaves_no_token(self) -> None:
        jobs = loaded(GITHUB)["jobs"]
        checkouts = [step for job in jobs.values() for step in job["steps"] if "checkout" in step.get("uses", "")]

        assert [step["with"] for step in checkouts] == [
            {
                "ref": "${{ github.event.pull_request.base.sha }}",
                "fetch-depth": "0",
                "persist-credentials": "false",
            }
        ]
        assert not any("checkout" in step.get("uses", "") for step in jobs["comment"]["steps"])

    def test_nothing_from_outside_is_pasted_into_a_command(self) -> None:
        jobs = loaded(GITHUB)["jobs"]
        commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]

        assert len(commands) == 4
        for command in commands:
            assert "${{" not in command
            assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0

    def test_is_built_as_a_workflow_is(self) -> None:
        flow = loaded(GITHUB)

        assert flow.keys() == {"name", "on", "permissions", "concurrency", "env", "jobs"}
        for job in flow["jobs"].values():
            known = {"needs", "if", "runs-on", "timeout-minutes", "permissions", "steps"}
            assert {"runs-on", "steps", "timeout-minutes", "permissions"} <= job.keys() <= known
            for step in job["steps"]:
                assert step.keys() <= {"name", "if", "uses", "with", "env", "run"}
                assert ("uses" in step) != ("run" in step)
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))
        assert "==$MICROSEG_VERSION" in flow["jobs"]["review"]["steps"][2]["run"]


class TestGitlab:
    def test_is_built_as_a_pipeline_is(self) -> None:
        flow = loaded(GITLAB)

        assert flow.keys() == {"variables", "microseg-review", "microseg-comment"}
        known = {
            "stage", "image", "timeout", "rules", "variables", "before_script", "script", "after_script", "artifacts",
            "needs",
        }  # fmt: skip
        for name in ("microseg-review", "microseg-comment"):
            assert {"stage", "image", "script", "rules"} <= flow[name].keys() <= known
            assert subprocess.run(["bash", "-n", "-c", "\n".join(flow[name]["script"])], check=False).returncode == 0

    def test_the_review_has_no_token_and_the_comment_no_files_of_a_fork(self) -> None:
        flow = loaded(GITLAB)
        review, comment = flow["microseg-review"], flow["microseg-comment"]

        assert "TOKEN" not in json.dumps(review)
        assert flow["variables"]["MICROSEG_COMMENT"] == "false"
        (rule,) = comment["rules"]
        assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule["if"]
        assert comment["variables"] == {"GIT_STRATEGY": "none"}
        assert not any("$MICROSEG_TOKEN" in line and "curl --" in line for line in comment["script"]), (
            "on no command line"
        )


@pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=["github", "gitlab"])
def test_the_version_is_that_of_the_collection(path: Path) -> None:
    flow = loaded(path)
    variables = flow.get("env") or flow["variables"]

    assert f"version: {variables['MICROSEG_VERSION']}\n" in (ROOT / "galaxy.yml").read_text()
