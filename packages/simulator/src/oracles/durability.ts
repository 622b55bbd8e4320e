/** Durable before said (protocol table "what before what"): each statement follows, in effect order, the record it needs. */
import type { Effect, LogRecord } from "@narses/core";
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
  }
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
  const keysOf = (name: string): Set<string> => {
    let keys = durable.get(name);
    if (keys === undefined) durable.set(name, (keys = new Set()));
    return keys;
  };
  return {
    name: "durability",
    onStart: (replica, disk) => {
      durable.set(replica.name, new Set(disk.records.map(recordKey)));
    },
    onEffect: (replica, effect) => {
      if (effect.type === "persist") keysOf(replica.name).add(recordKey(effect.record));
      const needed = neededBy(effect);
      if (needed !== undefined && !keysOf(replica.name).has(needed)) fail("durability", `${replica.name} emits ${effect.type} before "${needed}" is durable`);
    },
  };
}
