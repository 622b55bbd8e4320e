/**
 * Fast reads: every replica is asked, and a value is believed when Q of them had it after one and the same slot.
 *
 * Why it is linearizable: in a cluster with fast reads every write that was believed, and every read, had Q replicas behind it, and two
 * sets of Q share a correct one, which does not go back. Replicas say since which slot the value has been what it is; that
 * they agree on the value alone would not do: it may have been something else in between.
 */
import { toHex, type Quorums, type ReplicaId } from "@narses/core";
import { hasher } from "@narses/crypto";

export interface FastVote {
  readonly from: ReplicaId;
  /** The value holds after each slot from `since` to `seq`. */
  readonly since: number;
  readonly seq: number;
  /** SHA-256 of the encoded result, in hex. */
  readonly digest: string;
  readonly result: Uint8Array | undefined;
}

export interface Agreed {
  readonly result: Uint8Array;
  /** The highest slot after which Q replicas vouch for it. */
  readonly seq: number;
  /** Ascending. */
  readonly replicas: readonly ReplicaId[];
}

const isSlot = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** A replica's answer, or what is wrong with it. */
export function parseVote(from: ReplicaId, answer: unknown): FastVote | string {
  if (typeof answer !== "object" || answer === null) return "no object";
  const { seq, since, digest, result } = answer as Record<string, unknown>;
  if (!isSlot(seq) || !isSlot(since) || since > seq) return "seq and since are no range of slots";
  if (!(digest instanceof Uint8Array) || digest.length !== 32) return "digest is not 32 bytes";
  if (result !== undefined && !(result instanceof Uint8Array)) return "result is not bytes";
  const hex = toHex(digest);
  if (result !== undefined && toHex(hasher.sha256(result)) !== hex) return "its result does not hash to its digest";
  return { from, seq, since, digest: hex, result };
}

/** What Q of the votes agree on, once its body is here. Pure. */
export function findAgreed(votes: readonly FastVote[], { strong }: Quorums): Agreed | undefined {
  for (const { seq, digest } of [...votes].sort((a, b) => b.seq - a.seq)) {
    const behind = votes.filter((vote) => vote.digest === digest && vote.since <= seq && seq <= vote.seq);
    if (behind.length < strong) continue;
    const result = votes.find((vote) => vote.digest === digest && vote.result !== undefined)?.result;
    return result === undefined ? undefined : { result, seq, replicas: behind.map(({ from }) => from).sort((a, b) => a - b) };
  }
  return undefined;
}

export interface FastReadOptions {
  readonly quorums: Quorums;
  readonly connected: readonly ReplicaId[];
  /** Differs from read to read, so that replicas take turns in sending the body. */
  readonly turn: number;
  /** Asks one replica; `full`: with the body. Rejects when it does not answer in time. */
  readonly ask: (replica: ReplicaId, full: boolean) => Promise<unknown>;
  readonly onInvalid: (replica: ReplicaId, problem: string) => void;
}

/** The agreed value, or why there is none: the question must be ordered then. Never rejects. */
export function fastRead({ quorums, connected, turn, ask, onInvalid }: FastReadOptions): Promise<Agreed | string> {
  const { strong, weak } = quorums;
  if (connected.length < strong) return Promise.resolve(`${connected.length} replicas are connected, Q = ${strong} are needed`);
  const votes: FastVote[] = [];
  const failures: string[] = [];
  let waiting = connected.length;
  return new Promise((resolve) => {
    const settle = (): void => {
      waiting--;
      const agreed = findAgreed(votes, quorums);
      if (agreed !== undefined) resolve(agreed);
      else if (waiting === 0) resolve(`${votes.length} replicas answered and no ${strong} agree${failures.length === 0 ? "" : `; ${failures.join("; ")}`}`);
    };
    connected.forEach((replica, i) => {
      // W bodies: one of them comes from a correct replica.
      const full = (i + turn) % connected.length < weak;
      ask(replica, full).then(
        (answer) => {
          const vote = parseVote(replica, answer);
          if (typeof vote === "string") onInvalid(replica, vote);
          else votes.push(vote);
          settle();
        },
        (error: unknown) => {
          failures.push(error instanceof Error ? error.message : String(error));
          settle();
        },
      );
    });
  });
}
