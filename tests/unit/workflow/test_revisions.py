# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Policies of git revisions: the same documents the loader reads from a checkout, and nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError, Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import load
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.revisions import policy_at, revisions

POLICY = """
settings: {labels: {app: {}, role: {}}}
---
scope: shop
match: {app: shop}
owners: [t]
rulesets:
  - {name: core, stage: active, rules: [{id: web-to-db, from: {role: web}, to: {role: db}, services: [tcp/%s]}]}
"""
IDENTITY = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "Ada"}
IDENTITY |= {"GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    for key, value in IDENTITY.items():
        monkeypatch.setenv(key, value)
    top = tmp_path / "repository"
    top.mkdir()

    def run(*words: str) -> str:
        return subprocess.run(["git", "-C", str(top), *words], check=True, capture_output=True, text=True).stdout

    run("init", "--quiet", "--initial-branch", "main")
    return run


@pytest.fixture
def policy(git: Git, tmp_path: Path) -> Path:
    """Two commits: tcp/5432, then tcp/5433; the directory below the top of the repository."""
    directory = tmp_path / "repository" / "site" / "policy"
    directory.mkdir(parents=True)
    for port in ("5432", "5433"):
        (directory / "shop.yml").write_text(POLICY % port)
        git("add", ".")
        git("commit", "--quiet", "-m", f"Port {port}")
    git("tag", "v1", "HEAD~1")
    return directory


def commit(git: Git, what: str = "Change") -> None:
    git("add", "-A")
    git("commit", "--quiet", "-m", what)


@pytest.mark.parametrize("name", ["HEAD", "main", "@", "HEAD~0", "hash"])
def test_a_revision_is_what_a_checkout_of_it_would_be(git: Git, policy: Path, name: str) -> None:
    revision = git("rev-parse", "HEAD").strip()[:10] if name == "hash" else name
    wanted = load(policy)[0].digest
    (policy / "shop.yml").write_text("not: [a policy")  # what lies in the working tree plays no part
    assert policy_at(revision, policy)[0].digest == wanted


def test_an_older_revision_is_the_older_policy(policy: Path) -> None:
    old = policy_at("v1", policy)[0]
    (policy / "shop.yml").write_text(POLICY % "5432")
    assert old.digest == policy_at("HEAD~1", policy)[0].digest == load(policy)[0].digest


def test_places_name_revision_path_and_line(policy: Path) -> None:
    rule = policy_at("HEAD~1", policy)[0].scopes[0].rulesets[0].rules[0]
    assert str(rule.place) == "HEAD~1:site/policy/shop.yml:8"


def test_the_directory_may_be_gone_today_or_be_the_top(git: Git, policy: Path) -> None:
    wanted = load(policy)[0].digest
    git("rm", "-r", "--quiet", "site")
    assert not policy.exists()
    assert policy_at("HEAD", policy)[0].digest == wanted
    assert policy_at("HEAD", policy.parents[1])[0].digest == wanted


def test_hidden_and_other_files_are_skipped_and_folders_read(git: Git, policy: Path) -> None:
    for name in (".hidden.yml", ".git-crypt/a.yml", "README.md", "more/.x.yml"):
        (policy / name).parent.mkdir(exist_ok=True)
        (policy / name).write_text("nonsense: [")
    (policy / "more" / "b.yaml").write_text("services: {pg: [tcp/5432]}\n")
    commit(git)
    assert policy_at("HEAD", policy)[0].digest == load(policy)[0].digest
    assert "pg" in policy_at("HEAD", policy)[0].services


def _links(policy: Path) -> dict[str, Callable[[], object]]:
    outside = policy.parent / "outside"
    outside.mkdir()
    (outside / "o.yml").write_text("services: {o: [tcp/1]}\n")
    (policy / "more").mkdir()
    (policy / "more" / "m.yml").write_text("services: {m: [tcp/2]}\n")
    (policy / ".kept.yml").write_text("services: {k: [tcp/3]}\n")

    def link(name: str, target: str) -> Callable[[], None]:
        return lambda: (policy / name).symlink_to(target)

    return {
        "a second name": link("a.yml", "more/m.yml"),
        "a second folder": link("again", "more"),
        "a loop": link("loop", "."),
        "hidden target": link("k.yml", ".kept.yml"),
        "a chain": lambda: [one() for one in (link("c1.yml", "c2.yml"), link("c2.yml", "more/../more/m.yml"))],
        "into a folder": link("through.yml", "again/../more/m.yml"),
        "a text": link("README", "../outside/o.yml"),
        "out": link("out.yml", "../outside/o.yml"),
        "out by folder": link("folder", "../outside"),
        "out absolute": link("abs.yml", str(outside / "o.yml")),
        "nowhere": link("nowhere.yml", "gone.yml"),
        "nowhere, no document": link("nowhere", "gone"),
        "itself": link("self.yml", "self.yml"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "a second name", "a second folder", "a loop", "hidden target", "a chain", "into a folder", "a text", "out",
        "out by folder", "out absolute", "nowhere", "nowhere, no document",
    ],
)  # fmt: skip
def test_symbolic_links_are_treated_as_the_loader_does(git: Git, policy: Path, kind: str) -> None:
    _links(policy)[kind]()
    commit(git)

    def outcome(read: Callable[[], tuple]) -> object:
        try:
            return read()[0].digest
        except Rejected as rejected:
            return sorted({(finding.code, finding.where.file.rpartition("/")[2]) for finding in rejected.findings})

    assert outcome(lambda: policy_at("HEAD", policy)) == outcome(lambda: load(policy))


def test_a_directory_that_was_a_link_then(git: Git, policy: Path) -> None:
    wanted = load(policy)[0].digest
    current = policy.parent / "current"
    current.symlink_to("policy")
    commit(git)
    assert policy_at("HEAD", current)[0].digest == wanted
    with pytest.raises(PolicyError, match="no directory at HEAD~1"):
        policy_at("HEAD~1", current)


def test_a_link_to_itself_is_refused(git: Git, policy: Path) -> None:
    _links(policy)["itself"]()
    commit(git)
    with pytest.raises(Rejected):
        policy_at("HEAD", policy)


@pytest.mark.parametrize(
    "name",
    [
        "--output=/tmp/x",
        "-h",
        "HEAD:site",
        "HEAD..HEAD~1",
        "HEAD~1...HEAD",
        "",
        "a b",
        "HEAD\n",
        "ma*n",
        ":/Port",
        "x\0",
    ],
)
def test_hostile_names_are_refused_before_git_sees_them(policy: Path, name: str) -> None:
    with pytest.raises(PolicyError) as refused:
        policy_at(name, policy)
    assert refused.value.code == "E-REVISION"
    assert "not the name of one revision" in refused.value.message


def test_a_name_that_is_a_branch_and_a_tag_is_refused(git: Git, policy: Path) -> None:
    git("config", "core.warnAmbiguousRefs", "false")
    git("tag", "main", "HEAD~1")
    for name in ("main", "main~0"):
        with pytest.raises(PolicyError, match=f"'{name}' names several things") as caught:
            policy_at(name, policy)
        assert caught.value.code == "E-REVISION"

    assert policy_at("refs/heads/main", policy)[0].digest == load(policy)[0].digest
    assert policy_at("refs/tags/main", policy)[0].digest == policy_at("v1", policy)[0].digest


def test_a_commit_is_what_its_hash_says_and_not_what_replaces_it(git: Git, policy: Path) -> None:
    before = policy_at("HEAD~1", policy)[0].digest
    git("replace", "HEAD~1", "HEAD")

    assert policy_at("v1", policy)[0].digest == before


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mian", "main"), ("v2", "v1"), ("HEAD~9", "history"), ("HAED", "HEAD"), ("0123abcdef", "branch")],
)
def test_an_unknown_revision_is_refused_with_the_nearest_names(policy: Path, name: str, hint: str) -> None:
    with pytest.raises(PolicyError) as refused:
        policy_at(name, policy)
    assert refused.value.code == "E-REVISION"
    assert name in refused.value.message
    assert hint in refused.value.hint


def test_a_directory_that_was_not_there_then_is_named(git: Git, policy: Path) -> None:
    git("mv", "site/policy", "site/rules")
    commit(git)
    with pytest.raises(PolicyError) as refused:
        policy_at("HEAD~1", policy.parent / "rules")
    assert refused.value.code == "E-REVISION"
    assert "site/rules is no directory at HEAD~1" in refused.value.message


def test_a_directory_without_documents_is_no_policy(git: Git, policy: Path) -> None:
    (policy.parent / "empty").mkdir()
    (policy.parent / "empty" / "README").write_text("nothing")
    commit(git)
    with pytest.raises(PolicyError) as refused:
        policy_at("HEAD", policy.parent / "empty")
    assert refused.value.code == "E-NO-POLICY"


def test_no_repository_and_no_git_are_said(tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(PolicyError, match="lies in no git repository") as refused:
        policy_at("HEAD", tmp_path / "elsewhere")
    assert refused.value.code == "E-GIT"
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    with pytest.raises(PolicyError, match="no git on this machine") as refused:
        policy_at("HEAD", policy)
    assert refused.value.code == "E-GIT"


def test_documents_that_cannot_be_read_are_named_with_their_revision(git: Git, policy: Path) -> None:
    (policy / "bad.yml").write_bytes(b"\xff\xfe\x00nonsense")
    (policy / "worse.yml").write_text("settings: {labels: [\n")
    commit(git)
    with pytest.raises(Rejected) as rejected:
        policy_at("HEAD", policy)
    assert {str(item.where).partition(".yml")[0] for item in rejected.value.findings} == {
        "HEAD:site/policy/bad",
        "HEAD:site/policy/worse",
    }


def test_nothing_of_the_repository_runs_and_nothing_is_written(
    git: Git, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    hook.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "filter.x.smudge", "diff.x.textconv", "gpg.program", "core.sshCommand"):
        git("config", key, str(hook))
    git("config", "log.showSignature", "true")
    (policy.parent / ".gitattributes").write_text("*.yml filter=x diff=x\n")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))  # as in a hook of another repository
    assert policy_at("HEAD", policy)[0].scopes
    assert [item.digest for item in revisions(policy, 2)]
    assert not ran.exists()
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_history_lists_commits_of_the_directory_newest_first(git: Git, policy: Path) -> None:
    (policy.parents[1] / "other").write_text("x")
    commit(git, "Elsewhere")
    found = revisions(policy, 5)
    assert [(item.commit.subject, item.commit.author) for item in found] == [("Port 5433", "Ada"), ("Port 5432", "Ada")]
    assert found[0].commit.date.startswith("20")
    assert found[0].digest == load(policy)[0].digest != found[1].digest
    assert len(revisions(policy, 1)) == 1


def test_a_repository_without_a_commit_has_no_revision(git: Git, tmp_path: Path) -> None:
    for ask in (lambda: revisions(tmp_path / "repository", 3), lambda: policy_at("HEAD", tmp_path / "repository")):
        with pytest.raises(PolicyError) as refused:
            ask()
        assert refused.value.code == "E-REVISION"
