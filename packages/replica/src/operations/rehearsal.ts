/**
 * What a stopped replica would wait for if it were started: its engine, recovered from the vote log and stepped in memory
 * until it has nothing left to do alone. Nothing is signed, sent or written. State and blocks stay closed: they are taken
 * to reach as far as the log says they must.
 */
import {
  InvariantViolation, NULL_DIGEST, quorums, seqNum,
  type ClusterConfig, type Digest, type Effect, type EngineConfig, type EngineTools, type Input, type LogRecord, type OrderingEngine,
  type OwnMessage, type Recovered, type ReplicaId, type SeqNum, type Signed, type SignedBody, type StableCheckpoint,
} from "@narses/core";
import { REHEARSAL_STEPS_MAX } from "../limits.ts";

export interface RehearsalOptions {
  readonly self: ReplicaId;
  readonly cluster: ClusterConfig;
  readonly tools: EngineTools;
  readonly engine: (config: EngineConfig, tools: EngineTools, recovered: Recovered) => OrderingEngine;
  readonly records: readonly LogRecord[];
}

export interface Rehearsal {
  readonly engine: OrderingEngine;
  /** Last slot that is decided, and runs again at a start. */
  readonly executedSeq: SeqNum;
}

/** @throws InvariantViolation when the log contradicts itself: a start would fail alike. */
export function rehearse({ self, cluster, tools, engine: create, records }: RehearsalOptions): Rehearsal {
  const config: EngineConfig = {
    self, epoch: cluster.epoch, quorums: quorums(cluster.replicas.length, cluster.f), parameters: cluster.parameters,
    genesisRoot: genesisRootOf(records),
  };
  const stable = records.reduce((seq, record) => (record.type === "stable" && record.stable.seq > seq ? record.stable.seq : seq), seqNum(0));
  const engine = create(config, tools, { records, executedSeq: stable });
  const queue: Input[] = [{ type: "start", wallMs: 0 }];
  let executedSeq = stable;
  for (let steps = 0; queue.length > 0; steps++) {
    if (steps >= REHEARSAL_STEPS_MAX) throw new InvariantViolation(`a start on this log does not come to rest within ${REHEARSAL_STEPS_MAX} steps`);
    const input = queue.shift();
    if (input === undefined) break;
    for (const effect of engine.step(input)) {
      queue.push(...consequences(config, effect));
      if (effect.type === "execute") executedSeq = effect.seq;
    }
  }
  return { engine, executedSeq };
}

/** What the shell would tell the engine next: own messages come back, decided slots are executed. */
function consequences({ self: sender, epoch }: EngineConfig, effect: Effect): readonly Input[] {
  const own = (body: OwnMessage["body"]): Input => ({ type: "own", signed: unsigned(body) as OwnMessage });
  switch (effect.type) {
    case "vote":
      return [own({ type: "votes", epoch, sender, votes: [effect.vote] })];
    case "pre-prepare":
      return [own({ type: "pre-prepare", epoch, sender, view: effect.view, seq: effect.seq, digest: effect.digest })];
    case "view-change":
      return [own({ type: "view-change", epoch, sender, view: effect.view, stable: effect.stable, prepared: effect.prepared })];
    case "new-view": {
      const { view, viewChanges, proposals } = effect;
      const prePrepares = proposals.map(({ seq, digest }) => unsigned({ type: "pre-prepare" as const, epoch, sender, view, seq, digest }));
      return [own({ type: "new-view", epoch, sender, view, viewChanges, prePrepares })];
    }
    case "execute":
      return [{ type: "executed", seq: effect.seq, obsolete: [] }];
    default:
      return [];
  }
}

/** The engine reads bodies, never bytes. */
const unsigned = <B extends SignedBody>(body: B): Signed<B> => ({ body, bytes: new Uint8Array(0) });

/** The root of the genesis checkpoint, as far as some record names it: it is in the state, which stays closed. */
function genesisRootOf(records: readonly LogRecord[]): Digest {
  const named: StableCheckpoint[] = records.flatMap((record) => {
    if (record.type === "view-left") return [record.stable];
    return record.type === "new-view" ? record.viewChanges.map(({ body }) => body.stable) : [];
  });
  return named.find(({ seq }) => seq === 0)?.root ?? NULL_DIGEST;
}
