/** Views and watermarks: liars move nobody to a view that no correct replica asked for, and nobody speaks about a slot outside its window. */
import type { Effect, LogRecord } from "@narses/core";
import { fail, type Oracle, type Watched } from "./oracle.ts";

const lowOf = (records: readonly LogRecord[]): number => records.reduce((low, record) => (record.type === "stable" ? Math.max(low, record.stable.seq) : low), 0);

export function viewsOracle(logWindow: number): Oracle {
  /** Low watermark of each, as it made it durable. */
  const low = new Map<string, number>();
  /** The highest view that any correct replica asked for or entered. */
  let highest = 0;
  const inWindow = (replica: Watched, what: string, seq: number): void => {
    const h = low.get(replica.name) ?? 0;
    if (seq <= h || seq > h + logWindow) fail("views", `${replica.name} ${what} n${seq}, outside its window ${h + 1} … ${h + logWindow}`);
  };
  const onEffect = (replica: Watched, effect: Effect): void => {
    switch (effect.type) {
      case "truncate":
        low.set(replica.name, effect.seq);
        return;
      case "vote":
        return inWindow(replica, `casts ${effect.vote.phase} for`, effect.vote.seq);
      case "pre-prepare":
        return inWindow(replica, "proposes", effect.seq);
      case "view-left":
        if (effect.view > highest + 1) fail("views", `${replica.name} leaves for view ${effect.view}, while no correct replica was beyond view ${highest}`);
        highest = Math.max(highest, effect.view);
        return;
      case "view-entered":
        highest = Math.max(highest, effect.view);
        return;
      default:
    }
  };
  return { name: "views", onEffect, onStart: (replica, disk) => void low.set(replica.name, lowOf(disk.records)) };
}
