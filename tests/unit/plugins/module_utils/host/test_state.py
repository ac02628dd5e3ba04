# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state directory: whole writes, one lock, deadlines on the boot-time clock."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import state
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.clock import Clock
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError


@pytest.fixture
def kept(tmp_path: Path) -> state.State:
    directory = tmp_path / "state"
    directory.mkdir()
    return state.State(str(directory))


def test_a_host_without_a_record_has_a_blank_one(kept: state.State) -> None:
    assert kept.record() == state.blank_record()
    assert kept.confirmed() is None
    assert kept.waiting() is None


def test_what_is_written_is_read_and_private(kept: state.State) -> None:
    kept.write({state.RECORD: dict(state.blank_record(), epoch=7)})

    assert kept.record()["epoch"] == 7
    assert os.stat(kept.path(state.RECORD)).st_mode & 0o777 == 0o600


def test_a_failed_write_of_several_files_leaves_all_of_them(kept: state.State, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.write({state.RECORD: dict(state.blank_record(), epoch=1), state.WAITING: {"policy": None}})
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="E-HOST-DISK .*No space left on device. Nothing was changed"):  # noqa: RUF043
        kept.write({state.RECORD: dict(state.blank_record(), epoch=2), state.WAITING: {"policy": 1}})

    assert kept.record()["epoch"] == 1
    assert sorted(os.listdir(kept.directory)) == [state.WAITING, state.RECORD]


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "E-HOST-DISK"), ("[]", "E-HOST-DISK"), ("{}", "E-HOST-DISK"), ('{"format": 2}', "E-HOST-FORMAT")],
)
def test_a_record_is_refused(kept: state.State, text: str, code: str) -> None:
    Path(kept.path(state.RECORD)).write_text(text, encoding="utf-8")

    with pytest.raises(HostError) as refused:
        kept.record()

    assert refused.value.code == code


def test_the_lock_is_exclusive_and_names_itself(kept: state.State) -> None:
    with kept.locked(), pytest.raises(HostError, match="E-PENDING another call is at work"), kept.locked(0.1):
        pass

    with kept.locked(0.1):
        pass


def test_a_lock_whose_file_was_removed_is_taken_anew(kept: state.State) -> None:
    with kept.locked():
        os.unlink(kept.path(state.LOCK))
        with kept.locked(0.1):
            assert os.path.exists(kept.path(state.LOCK))


def test_reading_undisturbed_leaves_no_trace(tmp_path: Path) -> None:
    absent = state.State(str(tmp_path / "none"))

    with absent.undisturbed():
        pass

    assert not (tmp_path / "none").exists()


def test_membership_of_another_policy_is_not_used(kept: state.State) -> None:
    text = "table inet microseg {\n set m4_a { type ipv4_addr; }\n}\n"
    raw: dict[str, Any] = {
        "format": 1,
        "ruleset": text,
        "members": {"m4_a": ["10.0.0.1"]},
        "policy_digest": "ab" * 32,
        "artifact_digest": "cd" * 32,
    }
    policy = state.Policy.parse(raw)
    moved = {"m4_a": frozenset(["10.0.0.2"])}
    kept.write(
        {
            state.CONFIRMED: state.confirmed_file(policy, "token", "machine"),
            state.MEMBERS: state.members_file(policy, moved),
        }
    )
    current = kept.confirmed()
    kept.write({state.MEMBERS: dict(state.members_file(policy, moved), text_digest="other")})
    stale = kept.confirmed()

    assert current is not None
    assert stale is not None
    assert current.members == moved
    assert stale.members == {"m4_a": frozenset(["10.0.0.1"])}


def test_a_deadline_passes_by_boot_time_or_by_a_restart() -> None:
    class Fixed(Clock):
        def boottime(self) -> float:
            return 100.0

        def boot_id(self) -> str:
            return "this"

    assert not state.expired({"boot_id": "this", "deadline_boottime": 100.1}, Fixed())
    assert state.expired({"boot_id": "this", "deadline_boottime": 100.0}, Fixed())
    assert state.expired({"boot_id": "last", "deadline_boottime": 900.0}, Fixed())


def test_old_alarms_make_room() -> None:
    record = state.blank_record()
    for number in range(state.MOST_ALARMS + 5):
        state.add_alarm(record, Clock(), "code", str(number))

    assert len(record["alarms"]) == state.MOST_ALARMS
    assert record["alarms"][-1]["detail"] == str(state.MOST_ALARMS + 4)
    assert json.loads(json.dumps(record)) == record
