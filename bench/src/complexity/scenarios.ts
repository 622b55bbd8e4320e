/** What is counted in the simulator, each scenario beside its closed form. Every figure is exact or the run fails. */
import { batchBytes, checkpointCost, normalCase, shapeOf, viewChangeCase, type BatchShape, type Cost } from "../theory.ts";
import type { Checks } from "../result.ts";
import { RESULT } from "./executed.ts";
import { MemoryCluster } from "./memory-cluster.ts";
import { difference, newTally, NORMAL, total, type PhaseCount, type Tally } from "./tally.ts";

/** Bytes of an encoded operation in every scenario here. */
export const PAYLOAD_BYTES = 128;

export const shape = (operations: number, bundle: number): BatchShape =>
  shapeOf(operations, bundle, { payloadBytes: PAYLOAD_BYTES, resultBytes: RESULT.length });

function checkCost(checks: Checks, name: string, count: Pick<PhaseCount, "messages" | "bytes" | "made" | "checked">, cost: Cost, times: number): void {
  checks.equal(`${name}: messages`, count.messages, cost.messages * times);
  checks.equal(`${name}: bytes`, count.bytes, cost.bytes * times);
  checks.equal(`${name}: signatures made`, count.made, cost.made * times);
  checks.equal(`${name}: signatures checked`, count.checked, cost.checked * times);
}

export interface NormalRow {
  readonly n: number;
  readonly f: number;
  readonly messages: number;
  readonly prePrepare: number;
  readonly prepare: number;
  readonly commit: number;
  readonly bytes: number;
  readonly made: number;
  readonly checkedMin: number;
  readonly checked: number;
  readonly fsyncs: number;
  readonly delays: number;
  readonly checkpointMessages: number;
}

function checkNormal(checks: Checks, name: string, tally: Tally, n: number, batch: BatchShape, { times, depth = 1 }: { readonly times: number; readonly depth?: number }): void {
  const theory = normalCase(n, batch, depth);
  const { phases, requests, replies } = tally;
  checkCost(checks, `${name}, PRE-PREPARE`, phases["pre-prepare"], theory.prePrepare, times);
  checkCost(checks, `${name}, PREPARE`, phases.prepare, theory.prepare, times);
  checkCost(checks, `${name}, COMMIT`, phases.commit, theory.commit, times);
  checks.equal(`${name}, frames of mixed votes and anything else`, phases.mixed.messages + phases.other.messages, 0);
  checks.equal(`${name}, requests`, requests.messages, theory.requests.messages * times);
  checks.equal(`${name}, request bytes`, requests.bytes, theory.requests.bytes * times);
  checks.equal(`${name}, client signatures checked`, requests.checked, theory.requests.checked * times);
  checks.equal(`${name}, replies`, replies.messages, theory.replies.messages * times);
  checks.equal(`${name}, reply bytes`, replies.bytes, theory.replies.bytes * times);
  checks.equal(`${name}, outcome signatures`, replies.made, theory.replies.made * times);
  // Below n = 4 a replica may collect votes before it has cast its own, which then is not free.
  if (n >= 4 && depth === 1) checks.equal(`${name}, checks up to the quorums`, total(tally, "needed", NORMAL), theory.checkedMin * times);
}

/** One operation a batch, a checkpoint every 2 batches. */
export function normal(n: number, checks: Checks): NormalRow {
  const slots = 2;
  const cluster = new MemoryCluster({ n, mergeVotes: false, parameters: { checkpointInterval: slots, logWindow: 2 * slots, pipelineDepth: 1 } });
  for (let slot = 0; slot < slots; slot++) cluster.submit([1], PAYLOAD_BYTES);
  const rounds = { executed: 0, stable: 0 };
  while (!cluster.isSettled) {
    cluster.step();
    if (rounds.executed === 0 && cluster.everywhere(({ executedSeq }) => executedSeq === slots)) rounds.executed = cluster.round;
    if (rounds.stable === 0 && cluster.everywhere(({ stableSeq }) => stableSeq === slots)) rounds.stable = cluster.round;
  }
  const { tally } = cluster;
  const name = `n = ${n}`;
  checkNormal(checks, name, tally, n, shape(1, 1), { times: slots });
  const checkpoint = checkpointCost(n);
  checkCost(checks, `${name}, CHECKPOINT`, tally.phases.checkpoint, checkpoint, 1);
  checks.equal(`${name}, waits for the disk`, tally.fsyncs, normalCase(n, shape(1, 1)).fsyncs * slots + checkpoint.fsyncs);
  const first = cluster.answered.get(1 as never) ?? 0;
  checks.equal(`${name}, message delays`, first, normalCase(n, shape(1, 1)).delays);
  checks.equal(`${name}, CHECKPOINT: message delays`, rounds.stable - rounds.executed, checkpoint.delays);
  const per = (value: number): number => value / slots;
  return {
    n, f: cluster.quorums.f, messages: per(total(tally, "messages", NORMAL)), prePrepare: per(tally.phases["pre-prepare"].messages),
    prepare: per(tally.phases.prepare.messages), commit: per(tally.phases.commit.messages), bytes: per(total(tally, "bytes", NORMAL)),
    made: per(total(tally, "made", NORMAL)), checkedMin: per(total(tally, "needed", NORMAL)), checked: per(total(tally, "checked", NORMAL)),
    fsyncs: per(tally.fsyncs - checkpoint.fsyncs), delays: first, checkpointMessages: tally.phases.checkpoint.messages,
  };
}

export interface BatchRow {
  readonly n: number;
  readonly operations: number;
  readonly bundle: number;
  readonly messages: number;
  readonly batchBytes: number;
  readonly bytes: number;
  readonly messagesPerOperation: number;
  readonly bytesPerOperation: number;
  /** Replicas' and clients', made and checked, per operation. */
  readonly madePerOperation: number;
  readonly checkedPerOperation: number;
  readonly clientMessages: number;
}

/**
 * One batch of `operations` operations in bundles of `bundle`. It forms behind a first slot that fills the pipeline; what that slot
 * costs alone is counted in a cluster of its own and taken off.
 */
export function batch(n: number, operations: number, bundle: number, checks: Checks): BatchRow {
  const batchShape = shape(operations, bundle);
  const { bundles } = batchShape;
  const parameters = { pipelineDepth: 1 };
  const alone = new MemoryCluster({ n, mergeVotes: false, parameters });
  submitTogether(alone, [1]);
  const cluster = new MemoryCluster({ n, mergeVotes: false, parameters });
  cluster.submit([1], PAYLOAD_BYTES);
  cluster.step();
  submitTogether(cluster, bundles);
  const tally = difference(cluster.tally, alone.tally);
  checkNormal(checks, `n = ${n}, batch of ${operations} in bundles of ${bundle}`, tally, n, batchShape, { times: 1 });
  const messages = total(tally, "messages", NORMAL);
  const bytes = total(tally, "bytes", NORMAL);
  return {
    n, operations, bundle, messages, batchBytes: batchBytes(batchShape), bytes, messagesPerOperation: messages / operations, bytesPerOperation: bytes / operations,
    madePerOperation: (total(tally, "made", NORMAL) + tally.replies.made + bundles.length) / operations,
    checkedPerOperation: (total(tally, "checked", NORMAL) + tally.requests.checked) / operations,
    clientMessages: tally.requests.messages + tally.replies.messages,
  };
}

function submitTogether(cluster: MemoryCluster, bundles: readonly number[]): void {
  cluster.submit(bundles, PAYLOAD_BYTES);
  cluster.settle();
}

export interface PipelineRow {
  readonly n: number;
  readonly depth: number;
  readonly messages: number;
  readonly textbook: number;
  readonly bytes: number;
  readonly made: number;
  readonly checked: number;
  readonly fsyncs: number;
}

/** `depth` batches proposed in one turn, votes of a turn in one frame: what production does under load. */
export function pipeline(n: number, depth: number, checks: Checks): PipelineRow {
  const parameters = { bundleOperationsMax: 1, batchOperationsMax: 1, pipelineDepth: depth, checkpointInterval: 2 * depth, logWindow: 4 * depth };
  const cluster = new MemoryCluster({ n, mergeVotes: true, parameters });
  submitTogether(cluster, Array.from({ length: depth }, () => 1));
  const { tally } = cluster;
  const name = `n = ${n}, ${depth} slots at once, votes merged`;
  checkNormal(checks, name, tally, n, shape(1, 1), { times: depth, depth });
  checks.equal(`${name}, waits for the disk`, tally.fsyncs, normalCase(n, shape(1, 1), depth).fsyncs * depth);
  const per = (value: number): number => value / depth;
  return {
    n, depth, messages: per(total(tally, "messages", NORMAL)), textbook: normalCase(n, shape(1, 1)).replicas.messages, bytes: per(total(tally, "bytes", NORMAL)),
    made: per(total(tally, "made", NORMAL)), checked: per(total(tally, "checked", NORMAL)), fsyncs: per(tally.fsyncs),
  };
}

export interface ViewChangeRow {
  readonly n: number;
  readonly open: number;
  readonly merged: boolean;
  readonly viewChange: number;
  readonly newView: number;
  readonly votes: number;
  readonly messages: number;
  readonly viewChangeBytes: number;
  readonly newViewBytes: number;
  readonly bytes: number;
  readonly made: number;
  readonly checked: number;
  readonly fsyncs: number;
  /** Until the carried slots are decided. */
  readonly delays: number;
}

/**
 * All n replicas suspect the primary at once. `open`: 0; 1, prepared everywhere and its COMMITs lost; or the whole window
 * `window`, executed everywhere and its CHECKPOINTs lost.
 */
export function viewChange(n: number, { open, window, merged }: { readonly open: number; readonly window: number; readonly merged: boolean }, checks: Checks): ViewChangeRow {
  const cluster = new MemoryCluster({
    n, mergeVotes: merged, parameters: { checkpointInterval: window / 2, logWindow: window, pipelineDepth: 1, pendingBundlesMax: 4_096 },
  });
  const stalled = open === window ? "checkpoint" : "commit";
  cluster.lose = (message) => (message.type === "votes" && stalled === "commit" ? message.signed.body.votes.some((vote) => vote.phase === "commit") : message.type === stalled);
  for (let slot = 0; slot < open; slot++) submitTogether(cluster, [1]);
  cluster.tally = newTally();
  // A replica whose request is carried over relays it once more; that traffic belongs to the request, not to the view change.
  cluster.lose = (message) => message.type === "forward" || message.type === "checkpoint";
  const begun = cluster.round;
  let entered = cluster.round;
  cluster.suspectPrimary();
  for (; !cluster.isSettled; cluster.step()) if (!cluster.everywhere(({ view, active }) => view === 1 && active)) entered = cluster.round + 1;
  const { phases, fsyncs } = cluster.tally;
  const theory = viewChangeCase(n, open, merged);
  const name = `n = ${n}, view change with ${open} open slots${merged ? ", votes merged" : ""}`;
  checks.equal(`${name}: every replica is in the new view`, cluster.everywhere(({ view, active }) => view === 1 && active) ? 1 : 0, 1);
  checks.equal(`${name}: message delays until every replica is in the new view`, entered - begun, theory.delays);
  checks.equal(`${name}: message delays until the carried slots are decided`, cluster.round - begun, theory.delaysDecided);
  checks.equal(`${name}: waits for the disk`, fsyncs, theory.fsyncs);
  checkCost(checks, `${name}, VIEW-CHANGE`, phases["view-change"], theory.viewChange, 1);
  checkCost(checks, `${name}, NEW-VIEW`, phases["new-view"], theory.newView, 1);
  const votes = (field: keyof PhaseCount): number => phases.prepare[field] + phases.commit[field] + phases.mixed[field];
  checkCost(checks, `${name}, votes`, { messages: votes("messages"), bytes: votes("bytes"), made: votes("made"), checked: votes("checked") }, theory.votes, 1);
  const all = ["view-change", "new-view", "prepare", "commit", "mixed"] as const;
  return {
    n, open, merged, viewChange: phases["view-change"].messages, newView: phases["new-view"].messages, votes: votes("messages"),
    messages: total(cluster.tally, "messages", all), viewChangeBytes: phases["view-change"].bytes / (n * (n - 1)), newViewBytes: phases["new-view"].bytes / (n - 1),
    bytes: total(cluster.tally, "bytes", all), made: total(cluster.tally, "made", all), checked: total(cluster.tally, "checked", all),
    fsyncs, delays: cluster.round - begun,
  };
}
