# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From a directory to texts: which files count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError, Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import load


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_yml", ".yml").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def codes(root: Path) -> list[tuple[str, str]]:
    with pytest.raises((PolicyError, Rejected)) as caught:
        load(root)
    findings = caught.value.findings if isinstance(caught.value, Rejected) else ()
    return [(finding.code, finding.where.file) for finding in findings] or [(caught.value.code, "")]


def test_all_yaml_files_of_all_folders_add_up(tmp_path):
    write(
        tmp_path,
        a_yml="settings: {labels: {app: {}}}",
        deep__er__b_yaml="services: {x: [tcp/1]}",
        c_yml="services: {y: [x]}",
    )
    (tmp_path / "notes.txt").write_text("{")

    policy, _findings = load(tmp_path)

    assert sorted(policy.services) == ["x", "y"]


def test_hidden_files_and_folders_are_skipped(tmp_path):
    write(tmp_path, a_yml="services: {x: [tcp/1]}")
    write(tmp_path / ".github", workflow_yml="on: push")
    (tmp_path / ".gitlab-ci.yml").write_text("stages: []")

    assert list(load(tmp_path)[0].services) == ["x"]


def test_places_are_named_from_the_policy_directory_on(tmp_path):
    write(tmp_path, scopes__shop_yml="\nmodez: []")

    assert codes(tmp_path) == [("E-KEY", "scopes/shop.yml")]


def test_moving_text_between_files_does_not_change_the_digest(tmp_path):
    write(tmp_path / "one", a_yml="services: {x: [tcp/1]}\n---\nservices: {y: [x]}")
    write(tmp_path / "two", z__q_yml="services: {'y': ['x']} # same", z__r_yml="services:\n  x:\n  - tcp/1")

    assert load(tmp_path / "one")[0].digest == load(tmp_path / "two")[0].digest


def test_a_link_out_of_the_directory_is_refused(tmp_path):
    write(tmp_path, outside_yml="services: {x: [tcp/1]}", policy__a_yml="services: {x: [tcp/1]}")
    os.symlink(tmp_path / "outside.yml", tmp_path / "policy" / "b.yml")
    os.symlink(tmp_path, tmp_path / "policy" / "folder")

    assert codes(tmp_path / "policy") == [("E-SYMLINK", "b.yml"), ("E-SYMLINK", "folder")]


def test_links_inside_are_followed_once(tmp_path):
    write(tmp_path / "..data", a_yml="services: {x: [tcp/1]}")
    write(tmp_path, b_yml="services: {y: [tcp/1]}")
    os.symlink("..data/a.yml", tmp_path / "a.yml")
    os.symlink("b.yml", tmp_path / "again.yml")
    os.symlink(".", tmp_path / "loop")

    assert sorted(load(tmp_path)[0].services) == ["x", "y"]


def test_a_policy_directory_may_itself_be_a_link(tmp_path):
    write(tmp_path, real__a_yml="services: {x: [tcp/1]}")
    os.symlink("real", tmp_path / "link")

    assert list(load(tmp_path / "link")[0].services) == ["x"]


def test_an_empty_directory_is_no_policy(tmp_path):
    write(tmp_path, a_yml="# nothing yet\n", b_yml="---\n---\n")

    assert codes(tmp_path) == [("E-NO-POLICY", "")]


def test_a_missing_directory_is_named(tmp_path):
    assert codes(tmp_path / "nope") == [("E-FILE", "")]


def test_what_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "a.yml").write_bytes(b"services: {b\xfcro: [tcp/1]}")

    assert codes(tmp_path) == [("E-YAML", "a.yml")]


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfservices: {x: [tcp/1]}")

    assert list(load(tmp_path)[0].services) == ["x"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.yml")

    assert codes(tmp_path) == [("E-FILE", "a.yml")]


def test_a_broken_link_is_named(tmp_path):
    os.symlink("gone", tmp_path / "a.yml")

    assert codes(tmp_path) == [("E-FILE", "a.yml")]
