import type { Bundle, StateStore } from "@narses/core";
import { readReply, type Executor } from "../../src/executor.ts";
import type { KeptReply } from "../../src/reply-record.ts";
import { findSession } from "../../src/session-table.ts";

interface Replica {
  readonly state: StateStore;
  readonly executor: Executor;
}

/** What is kept for this bundle. */
export function replyTo({ state, executor }: Replica, bundle: Bundle): KeptReply {
  const access = findSession(state, bundle, executor.head.header.seq + 1, 4_096);
  const kept = access.type === "session" ? readReply(state, access.session, bundle) : undefined;
  if (kept === undefined) throw new TypeError(`nothing is kept for bundle ${bundle.digest}`);
  return kept;
}
