/**
 * Deterministic execution: a pure function of state and batch. Every slot, a null batch too, becomes a block whose header
 * chains to its parent and covers the state after it.
 */
import {
  assert, fromHex, NULL_DIGEST,
  type Batch, type Block, type BlockHeader, type Bundle, type ClientId, type CommitCertificate, type Digest, type Hasher, type Logger,
  type Operation, type Parameters, type SeqNum, type StateMachine, type StateStore,
} from "@narses/core";
import { merkleRoot, merkleTree, type MerkleTree } from "@narses/crypto";
import { blockHash, resultLeaf } from "@narses/wire";
import { DecodedSessions } from "./decoded-sessions.ts";
import { BUNDLE_RESULT_BYTES_MAX, KEPT_RESULT_BYTES_MAX, RESULT_BYTES_MAX, SLOT_RESULT_BYTES_MAX } from "./limits.ts";
import { NOT_EXECUTED, ownPayloads, runOperation, type BundleContext } from "./operation.ts";
import { Overlay } from "./overlay.ts";
import { randomNumbers, slotSeed } from "./random.ts";
import { findReply, replyBytes, type KeptReply } from "./reply-record.ts";
import { acknowledge, growRecord, keepReply, keptRecord, markExecuted, ridState, type Session } from "./session.ts";
import { findSession, putSession, readTable, SessionTable } from "./session-table.ts";
import { SlotReplies, type Keeping } from "./slot-replies.ts";
import { replyKey, type SessionName } from "./state-keys.ts";

export interface ExecutedBundle {
  readonly bundle: Bundle;
  readonly results: readonly Uint8Array[];
  /** True when an earlier block holds these same results: that block is the answer, not this one. */
  readonly repeated: boolean;
  /** Whose session was evicted for its own. */
  readonly evicted?: ClientId | undefined;
}

/** What evictions of a slot closed for ever: sessions of these clients, and every number that is not open at or below the floor of the table. */
export interface Evictions {
  readonly clients: readonly ClientId[];
  readonly floor: number;
}

export interface ExecutedSlot {
  readonly block: Block;
  readonly hash: Digest;
  readonly bundles: readonly ExecutedBundle[];
  /** Over the result leaves, in order of the batch: where the audit paths of replies come from. */
  readonly resultTree: MerkleTree;
  readonly operations: number;
  /** Undefined when nobody's session was evicted. */
  readonly evictions: Evictions | undefined;
}

export interface Head {
  readonly header: BlockHeader;
  readonly hash: Digest;
}

export interface Executor {
  /** The last block executed. */
  readonly head: Head;
  /** Executes the slot after `head`. @throws a failure of the state store, InvariantViolation for a gap: the replica must stop. */
  execute(seq: SeqNum, batch: Batch | undefined, certificate: CommitCertificate): ExecutedSlot;
  /** Another state is in place: execution goes on after this block. */
  reset(head: Head): void;
}

export interface ExecutorOptions {
  readonly state: StateStore;
  /** Shared with whoever looks at them between slots. */
  readonly sessions?: DecodedSessions;
  readonly app: StateMachine;
  readonly hasher: Hasher;
  readonly parameters: Parameters;
  readonly logger: Logger;
  readonly head: Head;
}

/** Results kept for exactly this bundle, if any. */
export function readReply(state: Pick<StateStore, "get">, session: Session, bundle: Bundle): KeptReply | undefined {
  const record = keptRecord(session, bundle.ridFirst);
  const bytes = record === undefined ? undefined : state.get(replyKey(bundle, record.ridFirst));
  return bytes === undefined ? undefined : findReply(bytes, bundle.digest);
}

/** @throws RangeError unless 32 bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  if (bytes.length !== DIGEST_BYTES) throw new RangeError(`a digest has ${DIGEST_BYTES} bytes, got ${bytes.length}`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex") as Digest;
}

const DIGEST_BYTES = 32;

export function createExecutor(options: ExecutorOptions): Executor {
  const { state, hasher, logger } = options;
  const tools: Tools = { ...options, table: new SessionTable(state, options.parameters), sessions: options.sessions ?? new DecodedSessions() };
  let head = options.head;
  return {
    get head() {
      return head;
    },
    reset(to) {
      head = to;
      tools.table.reset();
    },
    execute(seq, batch, certificate) {
      const parent = head;
      assert(seq === parent.header.seq + 1, `slot ${seq} would be executed after slot ${parent.header.seq}`);
      // Agreed and monotonic: a primary whose clock runs behind cannot turn time back.
      const time = Math.max(batch?.timestampMs ?? 0, parent.header.timestampMs);
      const budget: SlotBudget = { share: Math.floor(SLOT_RESULT_BYTES_MAX / Math.max(1, batch?.bundles.length ?? 0)), used: 0 };
      const seed = slotSeed(hasher, { batch: batch?.digest ?? NULL_DIGEST, seq, parent: parent.hash });
      const replies = new SlotReplies(state);
      const bundles = (batch?.bundles ?? []).map((bundle, leafIndex) => executeBundle(tools, { seq, time, bundle, leafIndex, budget, seed, replies }));
      replies.write(state);
      const resultTree = merkleTree(bundles.map(({ bundle, results }) => resultLeaf(hasher, bundle.digest, results)));
      const header: BlockHeader = {
        seq,
        parent: parent.hash,
        timestampMs: time,
        batchDigest: batch?.digest ?? NULL_DIGEST,
        bundleRoot: digestOf(merkleRoot(bundles.map(({ bundle }) => fromHex(bundle.digest)))),
        resultRoot: digestOf(resultTree.root),
        stateRoot: state.root(),
      };
      head = { header, hash: blockHash(hasher, header) };
      const operations = bundles.reduce((sum, { results }) => sum + results.length, 0);
      logger.debug({ seq, operations, block: head.hash }, "slot executed");
      return {
        block: { header, batch, results: bundles.map(({ results }) => results), certificate }, hash: head.hash, bundles, resultTree, operations,
        evictions: evictionsOf(bundles, state),
      };
    },
  };
}

function evictionsOf(bundles: readonly ExecutedBundle[], state: StateStore): Evictions | undefined {
  const clients = bundles.flatMap(({ evicted }) => evicted ?? []);
  return clients.length === 0 ? undefined : { clients, floor: readTable(state).floor };
}

/**
 * Bytes of results that a slot may give, shared out evenly: a bundle may use its share and what the bundles before it left,
 * so that none can take from those after it.
 */
interface SlotBudget {
  readonly share: number;
  used: number;
}

interface Place {
  readonly seq: SeqNum;
  readonly time: number;
  readonly bundle: Bundle;
  readonly leafIndex: number;
  readonly budget: SlotBudget;
  /** Of the slot. */
  readonly seed: () => Uint8Array;
  readonly replies: SlotReplies;
}

interface Tools extends ExecutorOptions {
  readonly table: SessionTable;
  readonly sessions: DecodedSessions;
}

/** State writes of its own (session and its place, replies that fall out or are evicted) whatever the number of operations; its results go with the slot's. */
function executeBundle(tools: Tools, place: Place): ExecutedBundle {
  const { state, parameters, sessions, table } = tools;
  const { bundle, replies } = place;
  const none = (code: keyof typeof NOT_EXECUTED): ExecutedBundle => {
    return { bundle, results: Array.from({ length: bundle.operationCount }, () => NOT_EXECUTED[code]), repeated: false };
  };
  const { sessionWindow } = parameters;
  const access = findSession(state, bundle, place.seq, sessionWindow, sessions.take(state, bundle, sessionWindow));
  if (access.type !== "session") return none(access.type);
  const { session, isNew } = access;
  const writes = new Overlay(state);
  const kept = replies.find(session, bundle);
  const { low, ackLow } = session;
  const dropped = acknowledge(session, Math.min(bundle.ackLow, bundle.ridFirst - 1)).map(({ ridFirst }) => replyKey(bundle, ridFirst));
  const acknowledged = session.low !== low || session.ackLow !== ackLow;
  const { results, ran } = comesTooEarly(session, bundle)
    ? { results: Array.from({ length: bundle.operationCount }, () => NOT_EXECUTED.order), ran: false }
    : executeOperations(tools, { writes, place, session, kept });
  // A bundle that changes nothing leaves no trace, and does not count as use: repeating it keeps no session alive.
  if (!ran && !acknowledged) return { bundle, results, repeated: kept !== undefined };
  const keeping = ran ? keep(place, session, results, dropped) : undefined;
  for (const key of dropped) writes.delete(key);
  const evicted = isNew ? table.enter(writes, bundle, session) : undefined;
  putSession(writes, bundle, session, { seq: place.seq, place: place.leafIndex });
  if (writes.flush(state)) return finish(tools, { place, session, evicted, dropped, keeping, results, repeated: !ran && kept !== undefined });
  // An acknowledgement for which there is no room is as if it had not come.
  if (keeping === undefined) return { bundle, results, repeated: kept !== undefined };
  const refused = refuseNew(results, kept, NOT_EXECUTED.full);
  const instead = keepInstead(session, bundle, keeping, refused);
  if (!undoFull(tools, writes, place, session)) return { bundle, results: refuseNew(results, kept, NOT_EXECUTED.session), repeated: false };
  return finish(tools, { place, session, evicted, dropped, keeping: instead, results: refused, repeated: false });
}

interface Done {
  readonly place: Place;
  readonly session: Session;
  readonly evicted: SessionName | undefined;
  /** Keys of records that fell out. */
  readonly dropped: readonly string[];
  readonly keeping: Keeping | undefined;
  readonly results: readonly Uint8Array[];
  readonly repeated: boolean;
}

/** The state has the bundle's writes: what follows from them. */
function finish({ state, sessions, table }: Tools, { place: { bundle, replies }, session, evicted, dropped, keeping, results, repeated }: Done): ExecutedBundle {
  for (const key of dropped) replies.drop(key);
  if (evicted !== undefined) replies.dropAll(evicted);
  if (keeping !== undefined) replies.keep(keeping);
  sessions.keep(state, bundle, session);
  table.used(bundle, evicted);
  return { bundle, results, repeated, evicted: evicted?.client };
}

/** Of operations that were executed, and have to be undone. */
const refuseNew = (results: readonly Uint8Array[], kept: KeptReply | undefined, refusal: Uint8Array): readonly Uint8Array[] =>
  results.map((result, i) => (result === NOT_EXECUTED.window || result === NOT_EXECUTED.already || result === kept?.results[i] ? result : refusal));

/**
 * The state has no room for what the application wrote. Its ids are used up all the same: else whoever has the bundle could have it executed
 * later, after its client was told that it was not, and "fifo" bundles behind it would wait for ever. False: there is no room for that either.
 */
function undoFull({ state }: Tools, writes: Overlay, place: Place, session: Session): boolean {
  writes.forgetApplication();
  putSession(writes, place.bundle, session, { seq: place.seq, place: place.leafIndex });
  return writes.flush(state);
}

/** All or nothing, so that nothing of it is kept: ordered again, it is executed. */
const comesTooEarly = (session: Session, { fifo, ridFirst }: Bundle): boolean =>
  fifo && ridFirst > 1 && ridState(session, ridFirst - 1) !== "executed" && ridState(session, ridFirst) === "new";

/** Notes in the session where the results are kept; adds the keys of the records that fall out. */
function keep({ bundle, seq, leafIndex }: Place, session: Session, executed: readonly Uint8Array[], dropped: string[]): Keeping {
  const results = keepable(executed);
  const kept = keepReply(session, { ridFirst: bundle.ridFirst, count: executed.length, bytes: replyBytes(results) });
  for (const { ridFirst } of kept.dropped) dropped.push(replyKey(bundle, ridFirst));
  return { key: replyKey(bundle, kept.ridFirst), follows: kept.ridFirst !== bundle.ridFirst, reply: { bundleDigest: bundle.digest, seq, leafIndex, results } };
}

/** The same place, for other results. */
function keepInstead(session: Session, { ridFirst }: Bundle, { reply, ...place }: Keeping, executed: readonly Uint8Array[]): Keeping {
  const results = keepable(executed);
  growRecord(session, ridFirst, replyBytes(results) - replyBytes(reply.results));
  return { ...place, reply: { ...reply, results } };
}

function keepable(results: readonly Uint8Array[]): readonly Uint8Array[] {
  let bytes = 0;
  for (const { length } of results) bytes += length;
  return bytes <= KEPT_RESULT_BYTES_MAX ? results : [];
}

interface BundleRun {
  readonly writes: Overlay;
  readonly place: Place;
  readonly session: Session;
  readonly kept: KeptReply | undefined;
}

interface BundleResults {
  readonly results: readonly Uint8Array[];
  /** Something was executed, not only refused or repeated. */
  readonly ran: boolean;
}

function executeOperations({ app, logger, hasher }: ExecutorOptions, { writes, place, session, kept }: BundleRun): BundleResults {
  const { bundle, time, seq, seed } = place;
  const { budget, leafIndex } = place;
  let left = Math.min(BUNDLE_RESULT_BYTES_MAX, budget.share * (leafIndex + 1) - budget.used);
  let ran = false;
  const { operations } = bundle;
  const payloads = ownPayloads(operations);
  const common: BundleContext = { state: writes, app, logger, time, seq, bundle, random: (operation) => randomNumbers(hasher, seed, leafIndex, operation) };
  const results: Uint8Array[] = [];
  let to = 0;
  for (let index = 0; index < operations.length; index++) {
    const { kind, payload } = operations[index] as Operation; // within its bounds
    const from = to;
    to += payload.length;
    const rid = bundle.ridFirst + index;
    const status = ridState(session, rid);
    if (status !== "new") {
      results.push(status === "out-of-window" ? NOT_EXECUTED.window : (kept?.results[index] ?? NOT_EXECUTED.already));
      continue;
    }
    const result = runOperation(common, { kind, payloads, from, to, index, bytesMax: Math.min(RESULT_BYTES_MAX, left) });
    left -= result.length;
    budget.used += result.length;
    markExecuted(session, rid);
    ran = true;
    results.push(result);
  }
  return { results, ran };
}
