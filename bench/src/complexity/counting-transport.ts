/** A transport that counts what it is given to send, by phase, from the bytes: independent of the replica's own counters. */
import type { ReplicaId, Transport } from "@narses/core";
import { hasher } from "@narses/crypto";
import { TAG } from "@narses/wire";
import { VOTE_BYTES } from "../theory.ts";

export interface SocketCount {
  /** Frames with the phase they belong to; repeated ones are apart. */
  prePrepare: number;
  prePrepareBytes: number;
  voteFrames: number;
  voteBytes: number;
  prepares: number;
  commits: number;
  checkpoints: number;
  checkpointBytes: number;
  status: number;
  /** Frames sent to a receiver that had been sent the same bytes before: STATUS asked for them. */
  repeated: number;
  other: number;
}

export const newSocketCount = (): SocketCount => ({
  prePrepare: 0, prePrepareBytes: 0, voteFrames: 0, voteBytes: 0, prepares: 0, commits: 0, checkpoints: 0, checkpointBytes: 0, status: 0, repeated: 0, other: 0,
});

/** Header 8, count u8, then votes that begin with their phase: 1 prepare, 2 commit. */
const FIRST_VOTE = 9;

function record(count: SocketCount, frame: Uint8Array): void {
  switch (frame[1]) {
    case TAG.PROPOSAL:
      count.prePrepare++;
      count.prePrepareBytes += frame.length;
      return;
    case TAG.VOTES: {
      count.voteFrames++;
      count.voteBytes += frame.length;
      const votes = frame[FIRST_VOTE - 1] ?? 0;
      for (let i = 0; i < votes; i++) {
        if (frame[FIRST_VOTE + i * VOTE_BYTES] === 1) count.prepares++;
        else count.commits++;
      }
      return;
    }
    case TAG.CHECKPOINT:
      count.checkpoints++;
      count.checkpointBytes += frame.length;
      return;
    default:
      count.other++;
  }
}

export function countingTransport<T extends Transport>(transport: T, count: SocketCount): T {
  const sent = new Set<string>();
  const send = (to: ReplicaId, frame: Uint8Array): boolean => {
    if (!transport.send(to, frame)) return false;
    if (frame[1] === TAG.STATUS) {
      count.status++;
      return true;
    }
    const name = `${to} ${Buffer.from(hasher.sha256(frame)).toString("latin1")}`;
    if (sent.has(name)) count.repeated++;
    else record(count, frame);
    sent.add(name);
    return true;
  };
  return new Proxy(transport, {
    get: (target, key) => {
      if (key === "send") return send;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
