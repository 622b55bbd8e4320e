/**
 * "Making Reads in BFT State Machine Replication Fast, Linearizable, and Live" (Berger et al., SRDS 2021): with fast reads a
 * client believes a write when Q replicas answer it. The attack: a faulty primary keeps f correct replicas in the dark while
 * the faulty are silent to the client, so that only Q−f answers ever come and nobody who executed complains.
 */
import { quorums, type Bundle, type ReplicaId } from "@narses/core";
import type { Envelope } from "@narses/simulator";
import { describe, expect, test } from "vitest";
import { Recorded } from "./paper-stage.ts";

interface Attack {
  readonly n: number;
  /** The primary of view 0 among them. */
  readonly faulty: readonly number[];
  readonly dark: readonly number[];
}

/** Peers take turns in forwarding, a tick each: with f = 2 the second turn always holds a correct replica that decided. */
const TICKS_PER_DELAY = 2;

/** Delays until Q correct replicas have answered the client; undefined: not within `most`. One round is one message delay. */
function delaysToQ({ n, faulty, dark }: Attack, fastReads: boolean, options: { readonly most: number; readonly statusLost?: boolean; readonly statusIntervalTicks?: number }): number | undefined {
  const stage = new Recorded(n, { parameters: { fastReads, requestTimeoutTicks: 1_000, statusIntervalTicks: options.statusIntervalTicks ?? 1_000 } });
  const { strong } = quorums(n);
  const lost = ({ from, to, message }: Envelope): boolean => (faulty.includes(from) && dark.includes(to)) || (options.statusLost === true && message.type === "status");
  const bundle: Bundle = stage.makeBundle();
  for (const id of stage.ids) if (!dark.includes(id)) stage.request(id, bundle); // the first delay
  for (let delays = 1; delays <= options.most; delays++) {
    const answers = new Set<ReplicaId>(stage.answered.filter(([id]) => !faulty.includes(id)).map(([id]) => id));
    if (answers.size >= strong) return delays + 1; // the reply itself takes one
    stage.drop(lost);
    const now = new Set(stage.inFlight);
    for (const id of stage.ids) stage.tick(id, TICKS_PER_DELAY);
    stage.drop(lost);
    stage.pass((envelope) => now.has(envelope));
  }
  return undefined;
}

const ATTACKS: readonly Attack[] = [
  { n: 4, faulty: [0], dark: [3] },
  { n: 4, faulty: [0], dark: [1] },
  { n: 7, faulty: [0, 1], dark: [2, 3] },
  { n: 7, faulty: [0, 3], dark: [1, 2] },
  { n: 7, faulty: [0, 6], dark: [5, 1] },
];

describe("SRDS 2021: f correct replicas in the dark, the faulty silent to the client", () => {
  test.each(ATTACKS)("decision forwarding lets the writer reach Q within 7 delays: %o", (attack) => {
    const delays = delaysToQ(attack, true, { most: 100 });
    expect(delays).toBeDefined();
    expect(delays).toBeLessThanOrEqual(7);
  });

  test.each(ATTACKS)("negative control: without forwarding the writer does not reach Q at network speed: %o", (attack) => {
    expect(delaysToQ(attack, false, { most: 100 })).toBeUndefined();
  });

  test("negative control: without it only STATUS, which is lost here, could ever help, and nobody's timer runs for the writer", () => {
    const attack = ATTACKS[0] as Attack;
    expect(delaysToQ(attack, false, { most: 500, statusLost: true, statusIntervalTicks: 10 })).toBeUndefined();
    expect(delaysToQ(attack, false, { most: 500, statusIntervalTicks: 10 })).toBeDefined();
  });
});

describe("decision forwarding costs nothing when nobody is in the dark", () => {
  const forwarded = (stage: Recorded): number =>
    stage.ids.flatMap((id) => stage.acts(id)).filter((e) => e.type === "send" && e.message.type === "decision").length;

  test("all COMMITs seen: no decision is forwarded", () => {
    const stage = new Recorded(4, { parameters: { fastReads: true } });
    for (let i = 0; i < 3; i++) stage.order();
    for (const id of stage.ids) stage.tick(id, 5);
    expect(forwarded(stage)).toBe(0);
  });

  test("one replica is down: each decision goes to it at most once from each other, and not at all when the connection is known to be lost", () => {
    const stage = new Recorded(4, { parameters: { fastReads: true, checkpointInterval: 100, logWindow: 200 } });
    stage.crash(3);
    for (let i = 0; i < 3; i++) stage.order();
    for (const id of [0, 1, 2]) stage.tick(id, 9);
    expect(forwarded(stage)).toBe(9);
    stage.forget();
    for (const id of [0, 1, 2]) stage.input(id, { type: "peer", replica: stage.ids[3] as ReplicaId, connected: false });
    stage.order();
    for (const id of [0, 1, 2]) stage.tick(id, 3);
    expect(forwarded(stage)).toBe(0);
  });

  test("without fast reads nothing is forwarded", () => {
    const stage = new Recorded(4);
    stage.crash(3);
    stage.order();
    for (const id of [0, 1, 2]) stage.tick(id, 9);
    expect(forwarded(stage)).toBe(0);
  });
});
