/**
 * A replica whose data directory is put back to an earlier copy (a restored backup, a VM snapshot): it has forgotten what it said since. It
 * must find that out, say so, and say nothing that could contradict it; the others keep every statement it ever signed. Then it votes again.
 */
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseWhyReport, type WhyReport } from "@narses/replica";
import type { EngineSilence } from "@narses/core";
import { freePorts, makeHomes, type HomesOptions } from "./homes.ts";
import { Seats, until, type Message } from "./seats.ts";

const N = 4;
const K = 16;
const L = 2 * K;
const TIMEOUT_MS = 180_000;
const TIMEOUTS = { requestTimeoutTicks: 40, disconnectTimeoutTicks: 40, viewChangeTimeoutTicks: 40, backoffExponentMax: 3 };

interface Said {
  readonly what: string;
  readonly view: number;
  readonly seq: number;
}

/** What its signer says of slots. */
function saidOf(message: Message, signer: number): readonly Said[] {
  if (!("signed" in message) || message.signed.body.sender !== signer) return [];
  switch (message.type) {
    case "votes":
      return message.signed.body.votes.map(({ phase, view, seq }) => ({ what: phase, view, seq }));
    case "pre-prepare":
    case "checkpoint": {
      const { body } = message.signed;
      return [{ what: message.type, view: "view" in body ? body.view : Infinity, seq: body.seq }];
    }
    default:
      return [];
  }
}

class Scene {
  readonly seats: Seats;
  readonly victim: number;
  /** Since the old copy is back. */
  said: readonly Said[] = [];

  private constructor(seats: Seats, victim: number) {
    this.seats = seats;
    this.victim = victim;
  }

  static async of(victim: number, parameters: HomesOptions["parameters"]): Promise<Scene> {
    const base = await freePorts(N);
    const listen = Array.from({ length: N }, (_, i) => base + i);
    const seats = await Seats.of(await makeHomes({ listen, parameters: { checkpointInterval: K, logWindow: L, ...TIMEOUTS, ...parameters } }));
    const scene = new Scene(seats, victim);
    await scene.run();
    await Promise.all([0, 1, 2, 3].filter((id) => id !== victim).map((id) => seats.seat(id)));
    return scene;
  }

  get #home(): string {
    return this.seats.homes.homes[this.victim] ?? "";
  }

  run(): Promise<void> {
    return this.seats.spawn(this.victim).ready;
  }

  async kill(): Promise<void> {
    const { process, ended } = this.seats.child(this.victim);
    process.kill("SIGKILL");
    await ended;
  }

  async order(operations: number): Promise<void> {
    for (let i = 0; i < operations; i++) await this.seats.add();
  }

  /** It voted: otherwise nothing would be forgotten. */
  async caughtUp(): Promise<void> {
    await until("the victim to take part", async () => {
      const told = await this.seats.told(this.victim);
      return told?.engine.silence === undefined && told?.engine.active === true;
    });
    await this.order(4);
    await this.seats.oneHead();
  }

  /** Back it up, go on, kill it, put the copy in place, start it. */
  async restoreAfter(goOn: () => Promise<void>): Promise<void> {
    await this.kill();
    await cp(join(this.#home, "data"), join(this.#home, "backup"), { recursive: true });
    await this.run();
    await this.caughtUp();
    await goOn();
    await this.seats.oneHead();
    await this.kill();
    await rm(join(this.#home, "data"), { recursive: true });
    await cp(join(this.#home, "backup"), join(this.#home, "data"), { recursive: true });
    const heard: Said[] = [];
    this.said = heard;
    // Others may relay what it signed before.
    this.seats.heard = (message, from) => void (from === this.victim && heard.push(...saidOf(message, this.victim)));
    await this.run();
  }

  async silence(): Promise<EngineSilence | undefined> {
    return (await this.seats.told(this.victim))?.engine.silence;
  }

  async why(): Promise<WhyReport> {
    return parseWhyReport(await (await this.seats.connect()).call(this.victim, "why"));
  }

  async expectFoundOut(): Promise<{ readonly view: number; readonly seq: number }> {
    await until("it to know from when on it may vote", async () => (await this.silence())?.floor !== undefined);
    const floor = (await this.silence())?.floor;
    if (floor === undefined) throw new TypeError("no floor");
    const { headline } = await this.why();
    expect(headline).toMatch(/^Replica \d does not vote, because (replica \d holds .* signed by this replica, which its log lacks: an old copy of the data directory\?|its data directory is an old copy: it knows of view \d+, and .*replica\.voted of view \d+)/);
    expect(headline).toContain(`votes again when its stable checkpoint is at ${floor.seq} or above`);
    expect(this.said).toEqual([]);
    return floor;
  }

  async expectWhole(floor: { readonly view: number; readonly seq: number }): Promise<void> {
    const { seats, said } = this;
    expect(said.filter(({ seq, view }) => seq <= floor.seq || view < floor.view)).toEqual([]);
    expect(await seats.acknowledged()).toEqual(Array.from({ length: seats.submitted }, (_, i) => i + 1));
    const head = await seats.oneHead();
    expect((await seats.status(0)).head.stateRoot).toBe(head.stateRoot);
    expect(seats.contradictions).toEqual([]);
  }

  /** Without another of the others nothing is decided but with its votes. */
  async expectItsVotesCount(): Promise<void> {
    await this.seats.unseat(2);
    await this.order(2);
    expect(this.said.length).toBeGreaterThan(0);
    await this.seats.seat(2);
  }
}

async function played(victim: number, parameters: HomesOptions["parameters"], play: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await Scene.of(victim, parameters);
  try {
    await play(scene);
  } finally {
    await scene.seats.stop();
  }
}

test("the primary, set back by a few slots of the view it proposed in: it proposes and votes nothing, until f + 1 views later", () =>
  played(0, {}, async (scene) => {
    const { seats } = scene;
    await scene.order(5);
    await scene.restoreAfter(() => scene.order(6));
    const floor = await scene.expectFoundOut();
    await scene.order(L + K);
    await until("the view it waits for", async () => {
      // An operator restarts one primary after another: each time the others, this one silent, go on without waiting for it.
      const { engine } = await seats.status(1);
      if (engine.view >= floor.view) return true;
      if (engine.active && engine.primary !== 0) {
        await seats.unseat(engine.primary);
        void seats.add();
        await until("the others to leave its view", () => seats.seated.every((replica) => replica.status().engine.view > engine.view));
        await seats.seat(engine.primary);
      }
      await seats.add();
      return false;
    });
    await until("it to vote", async () => {
      await seats.add();
      return (await scene.silence()) === undefined;
    });
    await scene.expectItsVotesCount();
    await scene.expectWhole(floor);
  }), TIMEOUT_MS);

test("a backup, set back by checkpoints and views, where the primary rotates: it follows in silence, and votes again by itself", () =>
  played(3, { rotationCheckpoints: 1 }, async (scene) => {
    const { seats } = scene;
    await scene.order(K + 4);
    await scene.restoreAfter(() => scene.order(4 * K));
    const floor = await scene.expectFoundOut();
    await until("it to vote", async () => {
      await seats.add();
      return (await scene.silence()) === undefined;
    });
    await scene.expectItsVotesCount();
    await scene.expectWhole(floor);
  }), TIMEOUT_MS);
