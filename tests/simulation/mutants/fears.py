"""Each way in which such an engine could be wrong, as far as we know, and the mutant that is so.

The ways were learned from the public bugs of others, from a model of the protocol, and from reading
each guard of our own statements. A line without a mutant says why there can be none.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation.mutants.owners import GUARDS, WITHOUT_ROW

# What belongs to a database on which writers meet: there the contract tests of stores look for it.
ONE_WRITER = "SQLite has one writer: transactions come one after the other, statements too"

OWNERSHIP: Mapping[str, tuple[str, ...] | str] = {
    "no fence": (WITHOUT_ROW, f"{WITHOUT_ROW}, and effects compare no owner"),
    "the fence changes nothing": "what is not changed is not certified on Galera; " + ONE_WRITER,
    "no owner and incarnation on one kind of write": (
        *GUARDS,
        *(f"{WITHOUT_ROW}, and {guard}" for guard in GUARDS),
        "acknowledgements compare no owner",
    ),
    "a token for each process, and none for each claim": ("a claim leaves the incarnation",),
    "a claim robs a living owner": ("a claimed flow stays due", "a claim robs a living owner"),
    "the list of the dead is used without another look": (
        "who lives is looked up by nobody before a claim",
        "the living are told among the dead",
        "a claim robs a living owner",
    ),
    "an error in a takeover is swallowed": (
        "the dead are forgotten before their flows are claimed",
        "the dead are told once",
        "the dead are told once, and forgotten before their flows are claimed",
        "an error ends the reaper",
        "an error ends the poller",
    ),
    "a heartbeat by the wall clock of each process": (
        "beats are told by the clock of each process",
    ),
    "a heartbeat brings the row back under its id": (
        "a beat brings its replica's row back",
        "a batch brings its replica's row back",
    ),
    "an id is used again": (
        "a replica comes back under its old id",
        "a registration of unknown outcome is tried again under its id",
    ),
    "a flow is released, and nobody may claim it": ("a released flow is not due",),
    "a release is not fenced": (f"{WITHOUT_ROW}, and releases compare no owner",),
    "the living are reaped": ("the reaper takes the living with the dead",),
    "a flow runs twice in one process": ("a flow that is here begins a second time",),
    "stop() does not wait": (
        "a stop waits for nobody",
        "a stop waits for nobody, and nothing is sealed",
    ),
    "the old journal is not sealed": (
        "incarnations of a dead replica run on",
        "incarnations of a dead replica run on, and effects compare no owner",
        "code is not told of the seal",
    ),
    "`finally` blocks write": (
        "code is not told of the seal",
        "code is not told of the seal, and effects compare no owner",
    ),
    "the queue is kept after the fence": (
        "the queue is kept after the fence",
        "the queue is kept after the fence, and effects compare no owner",
    ),
    "a body begins after the lease": ("bodies begin after the lease",),
    "poison is taken for sound, or a sound flow for poison": (
        "a flow that takes its process down again and again is never parked",
        "each loss of a replica counts, whatever was recorded in between",
    ),
}

OUTCOMES: Mapping[str, tuple[str, ...] | str] = {
    "unknown is taken for done": ("an unknown outcome is taken for done",),
    "unknown is taken for failed": (
        "an unknown outcome is taken for not done",
        "an unknown outcome is taken for not done, and batches have no number",
    ),
    "an outcome is settled by reading, and the fence has no generation": (
        "an unknown outcome is settled by reading",
        "an unknown outcome is settled by reading, and batches have no number",
    ),
    "no batch number": (
        "batches have no number",
        "batches have no generation",
        "batches have neither number nor generation",
    ),
    "a late settling kills a healthy replica": ("each settling counts the generation up by one",),
    "landed, and the answers are not read: claims": (
        "what a landed claim took is not looked for",
        "what a landed claim took is not looked for, also later",
    ),
    "landed, and the answers are not read: suspensions": ("a landed suspension is believed",),
    "landed, and the answers are not read: messages": (
        "a landed send is taken for accepted",
        "a landed batch is sent again whole",
    ),
    "a request from outside is lost with the replica": (
        "requests from outside go down with the replica",
    ),
    "a message without a key is sent again": ("a message that is sent again has another key",),
    "one part of a batch takes the others down": ("all fail that shared a refused batch",),
    "all is tried again, in another order": "one batch is in flight, and is sent again as it was",
    "only the statement is tried again after a deadlock": ONE_WRITER,
}

EFFECTS: Mapping[str, tuple[str, ...] | str] = {
    "at most once without a marker": ("an at-most-once effect has no marker",),
    "the marker in the transaction of the result": (
        "an at-most-once body begins while its marker is on its way",
        "marker and result of an at-most-once effect share a transaction",
    ),
    "an interrupted effect begins again": (
        "an at-most-once effect that was interrupted begins again",
    ),
    "a result is seen and then lost": (
        "a result is seen before its commit",
        "an error is not recorded",
        "what was kept is never written",
    ),
    "a result is rewritten": ("a result is written over another",),
    "tries are not counted, or come too early": (
        "failed attempts are not recorded",
        "a resumed attempt does not wait for its instant",
    ),
    "storage grows": ("what lies beneath an effect stays",),
    "a cut is forgotten": ("a cut is not recorded", "a replay goes on where it was cut"),
    "the swallowed cancel": (
        "a flow ends well although it was cancelled",
        "a cancel sets no flag",
        "a flow that swallowed its cancel returns well",
        "a flow that swallowed its cancel ends well",
    ),
    "a cancel that is raised elsewhere, or nowhere": (
        "where a cancel was raised is not recorded",
        "a cancel is raised before what is recorded",
        "a cancel wakes nobody",
        "a cancel does not reach children",
    ),
    "new code does again what it did under another name": (
        "a former name is not looked up",
        "nobody asks whether an effect ran under another name",
        "which way a flow goes is decided by each run",
        "parked flows are not mended",
    ),
}

MESSAGES: Mapping[str, tuple[str, ...] | str] = {
    "a suspension does not look at the inbox": (
        "a suspension does not look at the inbox",
        "a refused suspension is believed",
        "a flow whose suspension was refused is left alone",
        "what comes after the seal counts as seen",
    ),
    "an append under an owner leaves the counter": ("an append under an owner does not count",),
    "an append sets nothing due": (
        "an append makes nothing due",
        "a message of the engine makes nothing due",
        "a message makes due a flow that sleeps longer only when it wakes",
    ),
    "`seen` is the highest position": ("the highest position is taken for the counter",),
    "notifications, and no poll": (
        "there is no poll, only wake-ups",
        "the poll does not look for moved inboxes",
        "the poll does not look for moved inboxes, and no flow leaves memory",
        "an own append counts as seen on every replica",
    ),
    "what is handed over in memory is missed": (
        "a gap in the inbox is not seen",
        "a message that is delivered wakes nobody",
        "what came while a flow began again is not read",
        "what this process sends to its own flows is not handed to them",
        "who waits for an end is not told of it",
    ),
    "no key": ("keys of messages are not compared",),
    "the key is forgotten after the consumption": ("a key is forgotten with its message",),
    "another payload under a key": ("a second message takes the place of the first under its key",),
    "a message goes before its consumption is committed": (
        "a message is consumed before its effect is written",
        "a message is consumed after its effect is written",
        "a consumed message stays",
    ),
    "a message comes twice, or in another order": (
        "a message is taken in again",
        "the newest message is taken first",
        "an inbox is read backwards",
    ),
    "an ended flow takes messages": ("an ended flow takes messages",),
    "what the loser of a race took is lost": (
        "what a loser took is not given back",
        "what a loser took is given back in the store alone",
        "what a loser recorded stays",
        "who has won a race is not recorded",
        "what a stream pulled is not given back",
    ),
    "an answer is lost": (
        "a reply is not stored",
        "questions stay open when a flow goes on anew",
        "a correlation id is not registered",
    ),
    "a page limit is dropped": "the next poll claims the next page: late, and nothing is lost",
    "an empty id is accepted": "names are judged before anything is sent: tests/flows does that",
}

TIME: Mapping[str, tuple[str, ...] | str] = {
    "the local clock tells timers": (
        "time is told by the clock of each process",
        "the store's time is known ahead",
        "a duration begins before its wait",
    ),
    "a timer that fired is believed": (
        "whatever wakes a sleep ends it",
        "a flow is claimed before it is due",
    ),
    "a deadline changes, or is lost": (
        "the deadline of a sleep is not recorded",
        "the deadline of a wait is not recorded",
        "a suspended flow has no deadline",
        "a flow sleeps until its last deadline",
    ),
    "a pause is cut short": ("a message cuts the pause before the next try short",),
}

FAMILIES: Mapping[str, tuple[str, ...] | str] = {
    "the end of a child is not delivered": (
        "the end of a child is told to nobody",
        "a child that ended before is waited for",
    ),
    "the message of an end is not bound to the end": ("an end is told before it is accepted",),
    "a parent attaches without a change of the row": (
        "a second parent is not written down",
        "an end does not look who its parents are",
    ),
    "the end of a child without its key": (
        "the message of a child's end does not say which run started it",
    ),
    "a child is started apart from its record": ("a child is started after its record",),
    "a limit is not freed, or not kept": (
        "a place is granted beyond the limit",
        "a place is never left",
        "the place of an ended flow stays",
        "a flow that ends frees no places",
        "the last in a queue is the next",
    ),
    "a run that follows another finds its rubbish, or loses what is new": (
        "a cancelled flow runs again",
        "a cancelled flow goes on anew",
        "the journal stays when a flow goes on anew",
        "unread messages go when a flow goes on anew",
        "a flow that repeats itself shows old states",
    ),
    "an operator acts on what he saw long ago": (
        "an operator changes a flow that has moved",
        "a restarted flow keeps its cancel",
    ),
}

# These need two transactions that overlap.
OVERLAPPING: Mapping[str, tuple[str, ...] | str] = {
    "a claim without a guard of the version on one snapshot": ONE_WRITER,
    "two changes of a row in one statement": ONE_WRITER,
    "a claim and an append of one flow in one statement": ONE_WRITER,
    "a claim reads effects of an old snapshot; reap and claim in one statement": ONE_WRITER,
    "the fence is looked at and not changed": ONE_WRITER,
    "locks in any order": ONE_WRITER,
    "a message is inserted before the row is changed": ONE_WRITER,
}

FEARS: Mapping[str, tuple[str, ...] | str] = {
    **OWNERSHIP,
    **OUTCOMES,
    **EFFECTS,
    **MESSAGES,
    **TIME,
    **FAMILIES,
    **OVERLAPPING,
}
