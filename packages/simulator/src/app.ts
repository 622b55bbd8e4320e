/**
 * The replicated state of the simulator: a chain of blocks over a counter, with sessions for exactly-once. Deterministic,
 * small, and sensitive: any difference in order, content or repetition changes every later block hash.
 */
import type { Batch, BlockHeader, Bundle, ClientId, CommitCertificate, Digest, SeqNum } from "@narses/core";
import { NULL_DIGEST, seqNum } from "@narses/core";
import { headerHash } from "./content.ts";
import { hashText } from "./hash.ts";

export interface SimBlock {
  readonly header: BlockHeader;
  readonly hash: Digest;
  readonly batch: Batch | undefined;
  /** One line per bundle of the batch. */
  readonly results: readonly string[];
  /** Undefined for genesis only. */
  readonly certificate: CommitCertificate | undefined;
}

export interface Answer {
  readonly bundle: Digest;
  readonly ridLast: number;
  readonly seq: SeqNum;
  readonly block: Digest;
  readonly result: string;
}

interface Session {
  /** Every request id up to this one is executed. */
  low: number;
  /** Executed ids above `low`. */
  readonly above: Set<number>;
  /** Answers the client has not acknowledged; at most ANSWERS_PER_SESSION_MAX, the latest. */
  readonly answers: Map<Digest, Answer>;
}

export interface State {
  readonly seq: SeqNum;
  readonly head: Digest;
  readonly timestampMs: number;
  readonly stateRoot: Digest;
  readonly executedOperations: number;
  readonly sessions: ReadonlyMap<ClientId, Session>;
}

/** Answers a session keeps for retries: more than a client of `SESSION_WINDOW` may have outstanding. */
const ANSWERS_PER_SESSION_MAX = 128;
/** Request ids a client uses above its lowest outstanding one, at most. */
export const SESSION_WINDOW = 64;

const GENESIS_HEADER: BlockHeader = {
  seq: seqNum(0), parent: NULL_DIGEST, timestampMs: 0, batchDigest: NULL_DIGEST, bundleRoot: NULL_DIGEST, resultRoot: NULL_DIGEST, stateRoot: NULL_DIGEST,
};
export const GENESIS: SimBlock = { header: GENESIS_HEADER, hash: headerHash(GENESIS_HEADER), batch: undefined, results: [], certificate: undefined };
export const GENESIS_STATE: State = {
  seq: seqNum(0), head: GENESIS.hash, timestampMs: 0, stateRoot: NULL_DIGEST, executedOperations: 0, sessions: new Map(),
};

const isExecuted = (session: Session | undefined, rid: number): boolean => session !== undefined && (rid <= session.low || session.above.has(rid));

const rids = (bundle: Bundle): readonly number[] => Array.from({ length: bundle.operationCount }, (_, i) => bundle.ridFirst + i);

/** Whether nothing of the bundle would be executed any more. */
export const isObsolete = (state: State, bundle: Bundle): boolean => {
  const session = state.sessions.get(bundle.client);
  return rids(bundle).every((rid) => isExecuted(session, rid));
};

export const answerTo = (state: State, bundle: Bundle): Answer | undefined => state.sessions.get(bundle.client)?.answers.get(bundle.digest);

/** Executes one decided slot: a pure function of state, slot and batch. */
export function execute(state: State, seq: SeqNum, batch: Batch | undefined, certificate: CommitCertificate): { readonly state: State; readonly block: SimBlock } {
  const sessions = new Map(state.sessions);
  let executedOperations = state.executedOperations;
  const results: string[] = [];
  for (const bundle of batch?.bundles ?? []) {
    const held = sessions.get(bundle.client);
    const session: Session = { low: held?.low ?? 0, above: new Set(held?.above), answers: new Map(held?.answers) };
    const line = rids(bundle).map((rid) => {
      if (isExecuted(session, rid)) return `${rid}:duplicate`;
      session.above.add(rid);
      executedOperations++;
      return `${rid}:${executedOperations}`;
    });
    while (session.above.delete(session.low + 1)) session.low++;
    sessions.set(bundle.client, session);
    results.push(line.join(" "));
  }
  const timestampMs = Math.max(state.timestampMs, batch?.timestampMs ?? 0);
  const header: BlockHeader = {
    seq, parent: state.head, timestampMs, batchDigest: batch?.digest ?? NULL_DIGEST,
    bundleRoot: hashText((batch?.bundles ?? []).map((b) => b.digest).join(",")),
    resultRoot: hashText(results.join("\n")),
    stateRoot: hashText(`${state.stateRoot}|${executedOperations}|${results.join("\n")}`),
  };
  const block: SimBlock = { header, hash: headerHash(header), batch, results, certificate };
  (batch?.bundles ?? []).forEach((bundle, i) => {
    const answers = sessions.get(bundle.client)?.answers;
    if (answers === undefined || answers.has(bundle.digest)) return;
    for (const [digest, held] of answers) if (held.ridLast <= bundle.ackLow) answers.delete(digest);
    answers.set(bundle.digest, { bundle: bundle.digest, ridLast: bundle.ridFirst + bundle.operationCount - 1, seq, block: block.hash, result: results[i] as string });
    const oldest = answers.keys().next();
    if (answers.size > ANSWERS_PER_SESSION_MAX && oldest.done !== true) answers.delete(oldest.value);
  });
  return { block, state: { seq, head: block.hash, timestampMs, stateRoot: header.stateRoot, executedOperations, sessions } };
}
