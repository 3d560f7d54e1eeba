"""Query plans: a hot statement finds what it needs by an index, whatever the history."""

import re

import pytest

from tests.stores.sqlite.conftest import Opening
from unbroken.stores.sqlite.connection import SQL

# Each hot statement, with all that its plan may use to reach a table. What is not named is refused.
HOT = {
    "fence": ["replicas: primary key"],
    "beat": ["replicas: primary key"],
    "settle": ["replicas: primary key"],
    "last_batch": ["replicas: primary key"],
    "deregister": ["replicas: primary key"],
    "register": [],
    "create_flow": [],
    "find": ["flows: type, id"],
    "number_of": ["flows: type, id"],
    "attachable": ["flows: type, id"],
    "view": ["flows: type, id"],
    "removable": ["flows: type, id"],
    "append": ["flows: type, id"],
    "append_by_number": ["flows: rowid"],
    "join_parents": ["flows: rowid"],
    "suspend": ["flows: rowid"],
    "release": ["flows: rowid"],
    "acknowledge": ["flows: rowid"],
    "end_flow": ["flows: rowid"],
    "retry_flow": ["flows: rowid"],
    "continue_flow": ["flows: rowid"],
    "owns": ["flows: rowid"],
    "amendable": ["flows: rowid"],
    "amend": ["flows: rowid"],
    "restart": ["flows: rowid"],
    "mend": ["flows: type (mendable)"],
    "what_moved": ["flows: rowid"],
    "ref_of": ["flows: rowid"],
    "inbox": ["flows: rowid", "messages: flow (pending)"],
    "park": ["flows: rowid"],
    "claim": ["flows: rowid", "effects: flow"],
    "claimed": ["flows: rowid"],
    "delete_flows": ["flows: rowid"],
    "record": ["flows: rowid"],
    "clear": ["effects: flow, key, key"],
    "effects_of": ["effects: flow"],
    "effects_in_order": ["effects: flow"],
    "drop_effects": ["effects: flow, key, key"],
    "drop_effects_from": ["effects: flow, key"],
    "forget": ["effects: flow, key"],
    "forget_cancel": ["effects: flow"],
    "forget_journal": ["effects: flow"],
    "has_effect": ["effects: flow, key"],
    "insert_effect": [],
    "delete_effects": ["effects: flow"],
    "insert_message": [],
    "consume": ["messages: flow, position"],
    "restore": ["messages: flow, position"],
    "reply": ["messages: flow, position"],
    "reply_to": ["messages: flow, key"],
    "forget_messages": ["messages: flow"],
    "age_messages": ["messages: flow"],
    "drop_cancel": ["messages: flow, key"],
    "drop_told": ["messages: flow, key"],
    "pending_of": ["messages: flow (pending)"],
    "delete_messages": ["messages: flow"],
    "due": ["flows: type, due_at (due)"],
    "suspect_due": ["flows: type, due_at (suspect)"],
    "orphans": ["flows: owner, type (owner)", "replicas: primary key", "effects: flow"],
    "suspect_orphans": [
        "flows: owner, type, crashes (owner)",
        "replicas: primary key",
        "effects: flow",
    ],
    "owned": ["flows: owner (owner)"],
    "poll": [
        "flows: type, due_at (due)",
        "flows: owner (moved)",
        "flows: rowid",
        "messages: flow, key",
    ],
    "publish": ["flows: rowid"],
    "state_of": ["flows: type, id", "states: rowid"],
    "delete_states": ["states: rowid"],
    "correlate": [],
    "correlate_no_more": ["correlations: type, correlation, flow"],
    "correlated": ["correlations: type, correlation", "flows: rowid"],
    "delete_correlations": ["correlations: flow (flow)"],
    "queue_up": [],
    "next_in_queue": ["places: queue, held (queue)", "flows: rowid"],
    "grant": ["places: rowid", "places: queue, held (queue)"],
    "leave_queue": ["places: flow, queue"],
    "leave_with_effect": ["places: flow"],
    "queues_of": ["places: flow"],
    "delete_places": ["places: flow"],
    "places": ["places: queue (queue)", "flows: rowid"],
    "dead_owners": ["flows: owner (owner)", "replicas: primary key"],
    "ended_before": ["flows: ended_at (done)"],
}
# Walk a small table, or are an operator's.
COLD = {
    "reap",
    "earliest_expiry",
    "other_replicas",
    "list_flows",
    "has_schema",
    "schema_version",
    "migrated",
    "tables_of_others",
    "try_writing",
}

ALIASES = {
    "f": "flows",
    "e": "effects",
    "m": "messages",
    "r": "replicas",
    "s": "states",
    "c": "correlations",
    "p": "places",
    "h": "places",
}
TABLES = set(ALIASES.values())


def paths(plan: list[str]) -> set[str]:
    """Say how a plan reaches each table; a walk over a table is said as it stands."""
    found: set[str] = set()
    for line in plan:
        match = re.match(r"(SEARCH|SCAN) (\w+)(.*)", line)
        if match is None:
            continue
        verb, name, how = match.groups()
        table = ALIASES.get(name, name)
        if table not in TABLES:
            continue
        columns = re.findall(r"(\w+)[=<>]", how)
        index = re.search(r"INDEX (\w+)", how)
        if verb == "SCAN" or not (columns or "INDEX flows_owner" in how):
            found.add(line)
        elif "INTEGER PRIMARY KEY" in how:
            found.add(f"{table}: rowid")
        elif table == "replicas":
            found.add(f"{table}: primary key")
        elif index and not index.group(1).startswith("sqlite_autoindex"):
            note = index.group(1).partition("_")[2]
            found.add(f"{table}: {', '.join(columns) or 'owner'} ({note})")
        else:
            found.add(f"{table}: {', '.join(columns)}")
    return found


@pytest.mark.parametrize("name", sorted(HOT))
async def test_a_hot_statement_goes_by_its_index(open_file: Opening, name: str) -> None:
    store = await open_file()
    named = dict.fromkeys(re.findall(r":(\w+)", SQL[name]))
    values = named or [None] * len(set(re.findall(r"\?\d+", SQL[name])))
    raw = store._writer.open()
    plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values)]
    assert paths(plan) == set(HOT[name]), "\n".join(plan)


def test_every_statement_is_hot_or_cold() -> None:
    assert set(SQL) == set(HOT) | COLD


def test_a_walk_over_a_table_is_noticed() -> None:
    assert paths(["SCAN flows", "SCAN f USING INDEX flows_due", "SCAN t VIRTUAL TABLE"]) == {
        "SCAN flows",
        "SCAN f USING INDEX flows_due",
    }
