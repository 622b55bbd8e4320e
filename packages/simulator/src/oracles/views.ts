/**
 * Views and watermarks: liars move nobody to a view that no correct replica asked for, nobody speaks in a view whose NEW-VIEW it lacks, or
 * about a slot outside its window.
 */
import type { Effect, LogRecord } from "@narses/core";
import { fail, type Oracle, type Watched } from "./oracle.ts";

const enteredOf = (records: readonly LogRecord[]): number => records.reduce((view, record) => (record.type === "new-view" ? Math.max(view, record.view) : view), 0);
const lowOf = (records: readonly LogRecord[]): number => records.reduce((low, record) => (record.type === "stable" ? Math.max(low, record.stable.seq) : low), 0);

export function viewsOracle(logWindow: number): Oracle {
  /** Low watermark of each, as it made it durable. */
  const low = new Map<string, number>();
  /** The highest view that each has entered, as far as its log knows. */
  const entered = new Map<string, number>();
  /** The highest view that any correct replica asked for or entered. */
  let highest = 0;
  const inWindow = (replica: Watched, what: string, seq: number): void => {
    const h = low.get(replica.name) ?? 0;
    if (seq <= h || seq > h + logWindow) fail("views", `${replica.name} ${what} n${seq}, outside its window ${h + 1} … ${h + logWindow}`);
  };
  const inView = (replica: Watched, what: string, view: number): void => {
    const last = entered.get(replica.name) ?? 0;
    if (view > last) fail("views", `${replica.name} ${what} in view ${view}, and has no new-view beyond view ${last}`);
  };
  const onEffect = (replica: Watched, effect: Effect): void => {
    switch (effect.type) {
      case "truncate":
        low.set(replica.name, effect.seq);
        return;
      case "vote":
        inView(replica, `casts ${effect.vote.phase}`, effect.vote.view);
        return inWindow(replica, `casts ${effect.vote.phase} for`, effect.vote.seq);
      case "pre-prepare":
        inView(replica, "proposes", effect.view);
        return inWindow(replica, "proposes", effect.seq);
      case "view-left":
        if (effect.view > highest + 1) fail("views", `${replica.name} leaves for view ${effect.view}, while no correct replica was beyond view ${highest}`);
        highest = Math.max(highest, effect.view);
        return;
      case "view-entered":
        entered.set(replica.name, effect.view);
        highest = Math.max(highest, effect.view);
        return;
      default:
    }
  };
  const onStart: Oracle["onStart"] = (replica, { records }) => {
    low.set(replica.name, lowOf(records));
    entered.set(replica.name, enteredOf(records));
  };
  return { name: "views", onEffect, onStart };
}
