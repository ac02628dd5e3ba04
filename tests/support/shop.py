# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small site as a user writes it: one policy document and one inventory."""

from __future__ import annotations

POLICY = """
settings:
  labels: {app: {required: true}, role: {}, env: {values: [prod, dev]}}
  controllers: [10.0.0.5]
---
services: {postgresql: [tcp/5432]}
---
modes: [{match: {env: prod}, mode: full}]
---
scope: shop
match: {app: shop, env: prod}
owners: [team-shop]
rulesets:
  - name: core
    stage: active
    rules:
      - {id: web-to-db, from: {role: web}, to: {role: db}, services: [postgresql]}
---
guardrails: [{id: dev-never-to-prod, never: {from: {env: dev}, to: {env: prod}}}]
---
tests:
  - {allow: "web-1 -> db-1 tcp/5432"}
  - {deny: "batch-1 -> db-1 tcp/5432"}
"""
HOSTS = """
all:
  hosts:
    web-1: {ansible_host: 10.0.0.1, microseg_labels: {app: shop, role: web, env: prod}}
    db-1: {ansible_host: 10.0.0.2, microseg_labels: {app: shop, role: db, env: prod}}
    batch-1: {ansible_host: 10.0.0.3, microseg_labels: {app: batch, role: job, env: dev}}
"""
