/** The executor of a replica; with fast reads, what execution writes is remembered for a while. */
import type { ClusterConfig, Hasher, Logger, StateMachine, StateStore } from "@narses/core";
import { DecodedSessions } from "./decoded-sessions.ts";
import { createExecutor, type Executor, type Head } from "./executor.ts";
import { RecentWrites } from "./reads/recent-writes.ts";

export interface ExecutorWithWrites {
  readonly executor: Executor;
  readonly writes: RecentWrites | undefined;
  /** For whoever looks at them between slots. */
  readonly sessions: DecodedSessions;
}

interface Parts {
  readonly cluster: ClusterConfig;
  readonly state: StateStore;
  readonly hasher: Hasher;
  readonly logger: Logger;
  readonly app: StateMachine;
}

export function executorOf({ cluster, state, hasher, logger, app }: Parts, head: Head): ExecutorWithWrites {
  const { parameters } = cluster;
  const sessions = new DecodedSessions();
  const make = (over: StateStore): Executor => createExecutor({ state: over, sessions, hasher, logger, app, parameters, head });
  if (!parameters.fastReads) return { executor: make(state), writes: undefined, sessions };
  const writes = new RecentWrites(head.header.seq);
  const executor: Executor = writes.follow(make(writes.watch(state, () => executor.head.header.seq + 1)));
  return { executor, writes, sessions };
}
