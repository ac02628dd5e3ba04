# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets do not come through, and what is none stays readable."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.redact import redact

CANARY = "s3cr3tCanary"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.s3cr3tCanary"


@pytest.mark.parametrize(
    "value",
    [
        {"password": CANARY},
        {"ansible_become_password": CANARY},
        {"ansible_ssh_pass": CANARY},
        f"ansible_ssh_pass={CANARY}",
        {"db_passwd": CANARY, "nested": [{"api_key": CANARY}, {"x": {"privateKey": CANARY}}]},
        {"client_secret": {"value": CANARY}},
        {"Authorization": f"Bearer {CANARY}"},
        f"login failed: password={CANARY} for root",
        f"token: '{CANARY} with spaces'",
        f"https://user:{CANARY}@example.org/path",
        f"Authorization: Basic {CANARY}",
        f"curl -H 'authorization: bearer {CANARY}.x' host",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}",
        "$ANSIBLE_VAULT;1.1;AES256\n6162636465\n6666" + "",
        f"prog --password {CANARY} --host x",
        f"jwt {JWT}",
    ],
)
def test_a_canary_does_not_come_through(value):
    text = json.dumps(redact(value))

    assert CANARY not in text
    assert "6162636465" not in text
    assert "(redacted)" in text


@pytest.mark.parametrize(
    "value",
    [
        {"app": "shop", "pass": 3, "passed": "yes", "token_count": 7, "secrets_found": 0},
        "allow web-to-db@shop-prod/core tcp/5432 10.0.0.1 -> 10.0.0.2",
        {"rule": "pass by admins@shop/core", "file": "shop.yml", "compass": "north"},
        ["2001:db8::1", "a1b2c3d4" * 8, 17, None, True],
        "https://example.org/a?b=c",
    ],
)
def test_what_is_no_secret_stays_as_it_is(value):
    assert redact(value) == value
