/** What a question can be answered with: each answer says which consistency it has, and at which slot. */
import { NarsesError, seqNum, type ReplicaId, type SeqNum } from "@narses/core";
import { decodeResult } from "@narses/wire";
import type { Agreed } from "./fast-read.ts";
import type { Submitted } from "./unit.ts";
import type { SubmitOptions } from "./session.ts";

export interface QueryOptions extends SubmitOptions {
  /**
   * "ordered", the default: linearizable, with a receipt. "fast": linearizable too, in two message delays and without a receipt,
   * where the cluster has fast reads, nothing fails and nobody writes what is read; ordered otherwise.
   */
  readonly consistency?: "ordered" | "fast";
}

export interface OrderedAnswer extends Submitted {
  readonly consistency: "ordered";
  /** Why it is ordered although a fast answer was asked for. */
  readonly fallback?: string;
}

export interface FastAnswer {
  /** As the state machine returned it. */
  readonly result: unknown;
  readonly consistency: "fast";
  /** The highest slot after which Q replicas vouch for it. */
  readonly seq: SeqNum;
  /** Q or more, ascending. */
  readonly replicas: readonly ReplicaId[];
}

export type Answered = OrderedAnswer | FastAnswer;

/** @throws NarsesError APP_REJECTED when Q replicas agree that the state machine refuses the question. */
export function fastAnswer({ result: bytes, seq, replicas }: Agreed): FastAnswer {
  const decoded = decodeResult(bytes);
  if (!decoded.ok) throw new NarsesError("FRAME_INVALID", `Q replicas gave a result that is malformed: ${decoded.rejection.detail}`, { replicas });
  const result = decoded.value;
  if (result.status === "ok") return { result: result.value, consistency: "fast", seq: seqNum(seq), replicas };
  const { code, message } = result;
  const data = result.status === "rejected" ? result.data : {};
  throw new NarsesError("APP_REJECTED", `the state machine refused the question after slot ${seq}: ${code}: ${message}`, { code, message, data, seq, consistency: "fast" });
}
