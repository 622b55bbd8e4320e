/** Durable before said (protocol table "what before what"): each statement follows, in effect order, the record it needs. */
import { type Digest, type Effect, type LogRecord, NULL_DIGEST } from "@narses/core";
import { fail, type Oracle } from "./oracle.ts";

function recordKey(record: LogRecord): string {
  switch (record.type) {
    case "pre-prepared":
      return `pre-prepared v${record.view} n${record.seq} ${record.digest}`;
    case "prepared": {
      const { view, seq, digest } = record.certificate.prePrepare.body;
      return `prepared v${view} n${seq} ${digest}`;
    }
    case "committed":
      return `committed n${record.certificate.seq}`;
    case "view-left":
      return `view-left v${record.view}`;
    case "new-view":
      return `new-view v${record.view}`;
    case "stable":
      return `stable n${record.stable.seq}`;
    case "vouched":
      return `vouched n${record.seq} ${record.root}`;
    case "amnesia":
      return "amnesia";
  }
}

const payloadKey = (digest: Digest): string => `payload ${digest}`;

/** What a record makes durable: itself, and perhaps a payload. */
function keysOf(record: LogRecord): readonly string[] {
  const batch = record.type === "pre-prepared" || record.type === "committed" ? record.batch : undefined;
  return batch === undefined ? [recordKey(record)] : [recordKey(record), payloadKey(batch.digest)];
}

/** The payload an effect vouches for, if any: nobody proposes or PREPAREs what it does not hold. */
function payloadOf(effect: Effect): string | undefined {
  if (effect.type === "pre-prepare") return payloadKey(effect.digest);
  if (effect.type !== "vote" || effect.vote.phase !== "prepare" || effect.vote.digest === NULL_DIGEST) return undefined;
  return payloadKey(effect.vote.digest);
}

/** The record an effect needs, if any. */
function neededBy(effect: Effect): string | undefined {
  switch (effect.type) {
    case "pre-prepare":
      return `pre-prepared v${effect.view} n${effect.seq} ${effect.digest}`;
    case "vote": {
      const { phase, view, seq, digest } = effect.vote;
      return `${phase === "prepare" ? "pre-prepared" : "prepared"} v${view} n${seq} ${digest}`;
    }
    case "checkpoint":
      return `vouched n${effect.seq} ${effect.root}`;
    case "view-change":
      return `view-left v${effect.view}`;
    case "new-view":
      return `new-view v${effect.view}`;
    case "truncate":
      return `stable n${effect.seq}`;
    default:
      return undefined;
  }
}

export function durabilityOracle(): Oracle {
  const durable = new Map<string, Set<string>>();
  const of = (name: string): Set<string> => {
    let keys = durable.get(name);
    if (keys === undefined) durable.set(name, (keys = new Set()));
    return keys;
  };
  return {
    name: "durability",
    onStart: (replica, disk) => {
      durable.set(replica.name, new Set(disk.records.flatMap(keysOf)));
    },
    onEffect: (replica, effect) => {
      const held = of(replica.name);
      if (effect.type === "persist") for (const key of keysOf(effect.record)) held.add(key);
      for (const needed of [neededBy(effect), payloadOf(effect)]) {
        if (needed !== undefined && !held.has(needed)) fail("durability", `${replica.name} emits ${effect.type} before "${needed}" is durable`);
      }
    },
  };
}
