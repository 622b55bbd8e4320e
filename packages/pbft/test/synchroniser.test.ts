/** The contract of the view synchroniser, property by property (see its header for the numbers), without any engine around it. */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { primaryOf, view, type View } from "@narses/core";
import { ask, begin, considerEntry, freshSynchroniser, lengthen, newViewTicksLeft, scaled, shorten, viewToJoin, type Synchroniser } from "../src/synchroniser.ts";
import { configOf } from "./helpers.ts";

const arbView = fc.oneof(fc.nat(8), fc.maxSafeNat()).map(view);
const arbCluster = fc.integer({ min: 1, max: 13 }).map((n) => configOf(0, n));

describe("contract", () => {
  test("1 monotonicity: whatever is asked and whatever begins, the view never falls, and `active` ends only with a higher view", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(20).map(view))), (steps) => {
      const s = freshSynchroniser(view(0), true);
      for (const [begins, target] of steps) {
        const before = { ...s };
        if (!begins) expect(ask(s, target)).toBe(target > before.view);
        else if (target < s.view || (target === s.view && s.active)) expect(() => begin(s, target)).toThrow(RangeError);
        else begin(s, target);
        expect(s.view).toBeGreaterThanOrEqual(before.view);
        if (before.active && !s.active) expect(s.view).toBeGreaterThan(before.view);
      }
    }));
  });

  test("2 validity: f liars with arbitrary views drag nobody beyond where some correct replica is", () => {
    fc.assert(fc.property(arbCluster, fc.array(arbView, { maxLength: 13 }), fc.array(arbView, { maxLength: 13 }), fc.nat(9).map(view), (rules, lies, others, own) => {
      const { n, f } = rules.quorums;
      const correct = others.slice(0, Math.max(0, n - f - 1));
      const target = viewToJoin(freshSynchroniser(own, true), rules, [...lies.slice(0, f), ...correct]);
      if (target !== undefined) expect(Math.max(...correct)).toBeGreaterThanOrEqual(target);
      expect(viewToJoin(freshSynchroniser(own, true), rules, lies.slice(0, f))).toBeUndefined();
    }));
  });

  test("4 joint entry: W others in v or beyond take everyone at least to v", () => {
    fc.assert(fc.property(arbCluster, fc.integer({ min: 1, max: 1_000 }), fc.array(fc.nat(50), { minLength: 13, maxLength: 13 }), (rules, v, above) => {
      const others = above.slice(0, rules.quorums.weak).map((more) => view(v + more));
      expect(viewToJoin(freshSynchroniser(view(0), true), rules, others)).toBe(Math.min(...others));
    }));
  });

  test("the new-view timer runs from the moment Q have asked for this view or later, once, and never while the view is active", () => {
    const rules = configOf(0, 4);
    const s = freshSynchroniser(view(0), true);
    ask(s, view(2));
    considerEntry(s, rules, [view(2), view(1), view(7)], 10);
    expect(newViewTicksLeft(s, rules, 10)).toBeUndefined();
    considerEntry(s, rules, [view(2), view(2), view(7)], 12);
    considerEntry(s, rules, [view(2), view(2), view(7)], 15);
    expect(newViewTicksLeft(s, rules, 15)).toBe(5);
    begin(s, view(2));
    expect(newViewTicksLeft(s, rules, 15)).toBeUndefined();
  });

  test("6 growth: each wasted view doubles every timeout, up to the cap", () => {
    const rules = configOf(0, 4);
    const s = freshSynchroniser(view(0), true);
    const waits = Array.from({ length: 5 }, () => {
      const wait = scaled(s, 7);
      lengthen(s, rules);
      return wait;
    });
    expect(waits).toEqual([7, 14, 28, 56, 56]);
  });

  test("7 recovery: after an outage of any length, k is back at 0 within log2(cap) + 1 slots of a fast view", () => {
    const rules = configOf(0, 4, { backoffExponentMax: 20 });
    const s = { ...freshSynchroniser(view(0), true), backoff: 20 };
    let slots = 0;
    for (; s.backoff > 0 && slots < 100; slots++) shorten(s, rules, 1);
    expect(slots).toBe(5);
  });

  test("7 recovery stops where the network is: timeouts never shrink below twice what a slot takes", () => {
    fc.assert(fc.property(fc.nat(20), fc.nat(5_000), (backoff, took) => {
      const rules = configOf(0, 4, { backoffExponentMax: 20 });
      const s = { ...freshSynchroniser(view(0), true), backoff };
      for (let i = 0; i < 30; i++) shorten(s, rules, took);
      if (s.backoff < backoff) expect(scaled(s, 8)).toBeGreaterThanOrEqual(2 * took);
    }));
  });
});

/** Correct replicas are 0 … n−f−1, the rest lie; a view serves a request after `commit` ticks with every correct replica in it. */
interface World {
  readonly f: number;
  readonly delta: number;
  readonly commit: number;
  readonly gst: number;
  readonly random: () => number;
}

const STATUS_TICKS = 3;

class Model {
  readonly rules;
  readonly correct: { readonly s: Synchroniser; readonly asked: Map<number, View>; activeTick: number }[];
  private readonly mail = new Map<number, (() => void)[]>();
  private readonly world: World;
  readonly served: { readonly view: View; readonly tick: number }[] = [];

  constructor(world: World) {
    this.world = world;
    this.rules = configOf(0, 3 * world.f + 1, { requestTimeoutTicks: 10, viewChangeTimeoutTicks: 8, backoffExponentMax: 7 });
    this.correct = Array.from({ length: 2 * world.f + 1 }, () => ({ s: freshSynchroniser(view(0), true), asked: new Map<number, View>(), activeTick: 0 }));
  }

  private post(tick: number, deliver: () => void): void {
    const { gst, delta, random } = this.world;
    if (tick < gst && random() < 0.4) return;
    const at = tick + 1 + Math.floor(random() * (tick < gst ? 5 * delta : delta));
    this.mail.set(at, [...(this.mail.get(at) ?? []), deliver]);
  }

  private leave(id: number, target: View, tick: number): void {
    const me = this.correct[id] as Model["correct"][number];
    if (!ask(me.s, target)) return;
    me.asked.set(id, target);
    this.announce(id, tick);
  }

  private announce(id: number, tick: number): void {
    const me = this.correct[id] as Model["correct"][number];
    const { view: asked, active } = me.s;
    this.correct.forEach((_, to) => {
      if (to !== id) this.post(tick, active ? () => this.onBegun(to, asked, tick) : () => this.onAsked(to, id, asked, tick));
    });
  }

  private onAsked(id: number, from: number, asked: View, tick: number): void {
    const me = this.correct[id] as Model["correct"][number];
    if (asked <= (me.asked.get(from) ?? -1)) return;
    me.asked.set(from, asked);
    const target = viewToJoin(me.s, this.rules, [...me.asked].filter(([sender]) => sender !== id).map(([, v]) => v));
    if (target !== undefined) this.leave(id, target, tick);
  }

  private onBegun(id: number, begun: View, tick: number): void {
    const me = this.correct[id] as Model["correct"][number];
    if (begun < me.s.view || (begun === me.s.view && me.s.active) || primaryOf(begun, this.rules.quorums.n) >= this.correct.length) return;
    begin(me.s, begun);
    me.activeTick = tick;
  }

  step(tick: number): void {
    const { f, random, commit } = this.world;
    for (const deliver of this.mail.get(tick) ?? []) deliver();
    this.mail.delete(tick);
    this.correct.forEach((me, id) => {
      for (let liar = 0; liar < f; liar++) if (random() < 0.1) this.onAsked(id, this.correct.length + liar, view(Math.floor(random() ** 4 * 1e9)), tick);
      considerEntry(me.s, this.rules, [...me.asked.values()], tick);
      const here = [...me.asked.values()].filter((v) => v === me.s.view).length;
      if (!me.s.active && primaryOf(me.s.view, this.rules.quorums.n) === id && here >= this.rules.quorums.strong) this.onBegun(id, me.s.view, tick);
      const waited = me.s.active && tick - me.activeTick >= scaled(me.s, this.rules.parameters.requestTimeoutTicks);
      if (waited || (newViewTicksLeft(me.s, this.rules, tick) ?? 1) <= 0) {
        lengthen(me.s, this.rules);
        this.leave(id, view(me.s.view + 1), tick);
      }
      if (tick % STATUS_TICKS === 0) this.announce(id, tick);
    });
    const [first] = this.correct;
    const together = first !== undefined && this.correct.every(({ s }) => s.active && s.view === first.s.view);
    if (!together || tick - Math.max(...this.correct.map((me) => me.activeTick)) < commit) return;
    this.served.push({ view: first.s.view, tick });
    for (const me of this.correct) {
      shorten(me.s, this.rules, tick - me.activeTick);
      me.activeTick = tick;
    }
  }
}

const lcg = (seed: number): (() => number) => () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;

describe("after GST", () => {
  test("all correct replicas overlap in a view of a correct primary for longer than its commit time, soon, and again and again, with f liars calling for any view", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 30 }), fc.nat(1_500), fc.nat(2 ** 31 - 1), (f, delta, commit, gst, seed) => {
      const model = new Model({ f, delta, commit, gst, random: lcg(seed) });
      // Outgrow C + 3Δ + 2s from any k, and pass f bad primaries, each at the longest timeout the outage may have left.
      const needed = Math.max(0, Math.ceil(Math.log2((commit + 3 * delta + 2 * STATUS_TICKS) / 8)));
      const bound = (needed + 2 * f + 2) * (10 + 8 + 2 * delta) * 2 ** 7;
      let tick = 1;
      for (; tick <= gst; tick++) model.step(tick);
      const before = model.served.length;
      const from = tick;
      for (; tick < from + bound && model.served.length < before + 20; tick++) model.step(tick);
      expect(model.served.length - before).toBeGreaterThanOrEqual(20);
    }), { numRuns: 60 });
  });

  test("once a view serves, nobody leaves it: liars alone end no view of a correct primary", () => {
    const model = new Model({ f: 2, delta: 2, commit: 4, gst: 0, random: lcg(7) });
    for (let tick = 1; tick <= 4_000; tick++) model.step(tick);
    const views = new Set(model.served.slice(-200).map((s) => s.view));
    expect(views.size).toBe(1);
  });
});

test("the view is changed in one room: no other file sets it, but for what a restart gives back", () => {
  const src = new URL("../src/", import.meta.url);
  const sets = readdirSync(src).filter((name) => /\b[rs]\.(view|active|quorumTick|backoff) = /.test(readFileSync(new URL(name, src), "utf8")));
  expect(sets.sort()).toEqual(["memory.ts", "recover.ts", "synchroniser.ts"]);
});
