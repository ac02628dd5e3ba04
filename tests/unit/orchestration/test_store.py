# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The store keeps what it was given, or says that it does not."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import StoreError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration import files, lease
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.journal import Journal
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import ANYTHING, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / ".microseg")


def code_of(call, *arguments, **more) -> str:
    with pytest.raises(StoreError) as caught:
        call(*arguments, **more)
    return caught.value.code


def all_files(store: Store) -> set[str]:
    return {str(path.relative_to(store.path)) for path in store.path.rglob("*") if path.is_file()}


def test_equal_content_has_one_digest_and_one_file(store):
    assert store.put(b"same") == store.put(b"same")
    assert store.get(store.put(b"same")) == b"same"
    assert len(list((store.path / "blobs").rglob("*"))) == 2


def test_content_that_was_changed_on_disk_is_never_handed_out(store):
    digest = store.put(b"true")
    (store.path / "blobs" / digest[:2] / digest).write_bytes(b"false")

    assert code_of(store.get, digest) == "E-STORE-DAMAGED"


def test_what_is_not_there_is_named_missing(store):
    assert code_of(store.get, "0" * 64) == "E-STORE-MISSING"
    assert code_of(store.get, "../../etc/passwd") == "E-STORE-MISSING"


def test_a_newer_store_is_refused(store):
    (store.path / "format").write_text("2\n")

    assert code_of(Store.open, store.path) == "E-STORE-FORMAT"


def test_a_directory_with_other_things_is_not_taken_for_a_store(tmp_path):
    (tmp_path / "thesis.txt").write_text("draft")

    assert code_of(Store.open, tmp_path) == "E-STORE-DAMAGED"


def test_only_the_owner_can_read(store):
    store.put(b"x")
    store.set_ref("provisioned", "y", None)
    Journal(store).record("p", "web-1", "phase 1", "done")

    old = os.umask(0)
    try:
        open_store = Store.open(store.path.parent / "second")
        open_store.put(b"x")
    finally:
        os.umask(old)
    for root in (store.path, open_store.path):
        for path in (root, *root.rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_ref_changes_only_for_the_one_who_read_it_last(store):
    first = store.set_ref("provisioned", "a", None)
    store.set_ref("provisioned", "b", first.version)

    assert code_of(store.set_ref, "provisioned", "c", first.version) == "E-STORE-CONFLICT"
    assert code_of(store.set_ref, "provisioned", "c", None) == "E-STORE-CONFLICT"
    assert store.ref("provisioned").value == "b"


def test_names_of_refs_may_be_anything_and_never_leave_the_store(store):
    for name in ("status/../../../etc", "status/web 1/α", "status/.", "..", "status/a.b"):
        store.set_ref(name, name, None)
        assert store.ref(name).value == name
    assert "status/web 1/α" in list(store.refs("status"))
    assert not (store.path.parent / "etc").exists()


def test_a_ref_that_is_no_json_is_damaged(store):
    store.set_ref("provisioned", "a", None)
    (store.path / "refs" / "provisioned").write_text("{")

    assert code_of(store.ref, "provisioned") == "E-STORE-DAMAGED"


def _count_up(path: Path, times: int) -> None:
    store = Store.open(path)
    done = 0
    while done < times:
        ref = store.ref("counter")
        with contextlib.suppress(StoreError):
            store.set_ref("counter", (ref.value if ref else 0) + 1, ref.version if ref else None)
            done += 1


def test_two_processes_that_swap_a_ref_lose_no_step(store):
    workers = [multiprocessing.get_context("fork").Process(target=_count_up, args=(store.path, 25)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert store.ref("counter").value == 50


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_value_and_nothing_half_written(store, monkeypatch, call):
    store.set_ref("provisioned", "old", None)
    before = all_files(store) | {"lock"}
    real = getattr(os, call)

    def full(*arguments):
        if call == "write" and len(arguments[1]) > 1:
            real(arguments[0], arguments[1][: len(arguments[1]) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    codes = {code_of(store.set_ref, "provisioned", "new", ANYTHING), code_of(store.put, b"blob")}
    codes.add(code_of(Journal(store).record, "p", "web-1", "phase 1", "done") if call != "replace" else "E-STORE-WRITE")
    monkeypatch.undo()

    assert codes == {"E-STORE-WRITE"}
    assert store.ref("provisioned").value == "old"
    assert all_files(store) - {"journal.jsonl"} == before
    assert list(Journal(store).entries()) == []


def test_a_really_full_disk_is_reported_and_loses_nothing(tmp_path, kernel):
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import StoreError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
store = Store.open(Path({str(tmp_path / "small")!r}) / "store")
kept = store.put(b"kept")
store.set_ref("provisioned", "kept", None)
codes = set()
for number in range(100):
    try:
        store.put(bytes([number]) * 65536)
    except StoreError as error:
        codes.add(error.code)
assert codes == {{"E-STORE-WRITE"}}, codes
assert store.get(kept) == b"kept" and store.ref("provisioned").value == "kept"
assert not [path for path in store.path.rglob("*") if path.name.endswith(".new")]
"""
    (tmp_path / "small").mkdir()
    mount = f'mount -t tmpfs -o size=512k none "{tmp_path}/small" && exec "{sys.executable}" -c "$1"'
    unshare = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")
    done = subprocess.run([*unshare, "sh", "-c", mount, "sh", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def test_one_controller_at_a_time_and_a_dead_one_blocks_only_until_its_lease_ends(tmp_path):
    clock = Clock()
    store = Store.open(tmp_path / "s", clock)
    first = lease.acquire(store, "provision", "awx-job-1", 60)

    with pytest.raises(StoreError, match="awx-job-1 holds provision") as caught:
        lease.acquire(store, "provision", "awx-job-2", 60)
    assert caught.value.code == "E-STORE-LEASED"
    clock.time += timedelta(seconds=61)
    second = lease.acquire(store, "provision", "awx-job-2", 60)

    assert code_of(lease.renew, store, first, 60) == "E-STORE-LEASED"
    lease.release(store, first)  # the late one must not free what is not its own any more
    assert code_of(lease.acquire, store, "provision", "awx-job-3", 60) == "E-STORE-LEASED"
    lease.release(store, lease.renew(store, second, 60))
    with lease.held(store, "provision", "awx-job-3", 60):
        assert code_of(lease.acquire, store, "provision", "awx-job-4", 60) == "E-STORE-LEASED"
    lease.acquire(store, "provision", "awx-job-4", 60)


def test_the_journal_reads_back_what_was_written_and_holds_no_secret(store):
    Journal(store).record("7f3a", "web-1", "phase 1", "failed", error="login with password=hunter2 failed", base="90ab")

    (entry,) = Journal(store).entries()

    assert (entry.plan, entry.point, entry.step, entry.outcome, entry.detail["base"]) == (
        "7f3a",
        "web-1",
        "phase 1",
        "failed",
        "90ab",
    )
    assert "hunter2" not in (store.path / "journal.jsonl").read_text()


def test_a_line_torn_by_a_crash_costs_only_itself(store):
    journal = Journal(store)
    journal.record("p", "web-1", "phase 1", "done")
    with (store.path / "journal.jsonl").open("ab") as file:
        file.write(b'{"time": "2026-')
    journal.record("p", "web-2", "phase 1", "done")

    assert [entry.point for entry in journal.entries()] == ["web-1", "web-2"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_at_a_journal_line_leaves_a_journal_that_goes_on(store, when):
    def dies(moment, entry):
        if moment == when and entry.point == "web-2":
            os._exit(9)

    def work():
        for name in ("web-1", "web-2", "web-3"):
            Journal(store, dies).record("p", name, "phase 1", "done")

    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join(60)
    Journal(store).record("p", "web-4", "phase 1", "done")

    assert worker.exitcode == 9
    expected = ["web-1", "web-4"] if when == "before" else ["web-1", "web-2", "web-4"]
    assert [entry.point for entry in Journal(store).entries()] == expected
    for line in (store.path / "journal.jsonl").read_text().splitlines():
        json.loads(line)
