/** Who breaks things, and mends them: crashes, pauses, partitions and bad links at random times, then a full repair. */
import type { CrashKind } from "./disk.ts";
import { CALM, type Conditions } from "./network.ts";
import type { SimNode } from "./node.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

export interface NemesisOptions {
  readonly crashes: boolean;
  readonly network: boolean;
  /** Correct replicas whose disk is lost once, and that rejoin: each counts as a fault until its memory is sound. */
  readonly wipes?: number;
  /** Messages overtake each other from the start. */
  readonly reordering: boolean;
  readonly untilUs: number;
}

export class Nemesis {
  private readonly world: World;
  private readonly random: Random;
  private readonly options: NemesisOptions;
  private over = false;

  constructor(world: World, options: NemesisOptions) {
    this.world = world;
    this.random = world.random.split("nemesis");
    this.options = options;
  }

  start(): void {
    if (this.options.reordering) this.world.network.conditions = { ...CALM, reordering: true, delayMeanUs: this.random.pick([300, 2_000, 5_000]) };
    if (this.options.network) this.weather();
    if (this.options.crashes || this.options.network) this.next();
    this.twinSight();
    this.wipeSome();
  }

  /** The disk of some correct replicas is lost in the middle of it all. */
  private wipeSome(): void {
    const victims = this.random.shuffle([...this.world.correct]).slice(0, this.options.wipes ?? 0);
    for (const node of victims) {
      this.world.scheduler.after(this.random.int(Math.floor(this.options.untilUs / 5), this.options.untilUs), () => {
        this.world.note(node, "# loses its disk");
        node.crash("kill");
        node.wipe();
        this.world.refreshConnections();
        this.restartLater(node);
      });
    }
  }

  /** Everything works again: no cuts, no loss, every correct node up. */
  heal(): void {
    this.over = true;
    const { world } = this;
    world.note(undefined, "# heals: links, pauses and crashes end");
    world.network.heal();
    for (const node of world.correct) {
      node.armed = undefined;
      node.resume();
      node.start();
    }
    world.refreshConnections();
  }

  private next(): void {
    const meanUs = this.options.untilUs / this.random.pick([5, 10, 30]);
    this.world.scheduler.after(this.random.exponential(meanUs), () => {
      if (this.over) return;
      this.act();
      this.next();
    });
  }

  private act(): void {
    const acts: (() => void)[] = [];
    if (this.options.crashes) acts.push(() => this.crashOne(), () => this.armOne(), () => this.armOne(), () => this.pauseOne(), () => this.crashAll());
    if (this.options.network) acts.push(() => this.weather(), () => this.partition(), () => this.partition(), () => this.slowLink());
    this.random.pick(acts)();
  }

  // ── processes ──

  private kind(): CrashKind {
    return this.random.pick(["kill", "power"] as const);
  }

  private victim(): SimNode | undefined {
    const up = this.world.correct.filter((node) => node.up);
    return up.length === 0 ? undefined : this.random.pick(up);
  }

  private crash(node: SimNode, kind: CrashKind): void {
    this.world.note(node, `# crashes (${kind})`);
    this.world.counters.crashes++;
    node.crash(kind);
    this.world.refreshConnections();
    this.restartLater(node);
  }

  private restartLater(node: SimNode): void {
    this.world.scheduler.after(this.random.exponential(this.random.pick([1_000, 50_000, 500_000])), () => node.start());
  }

  private crashOne(): void {
    const node = this.victim();
    if (node !== undefined) this.crash(node, this.kind());
  }

  /** Dies in the middle of its next turn; somebody restarts it in any case. */
  private armOne(): void {
    const node = this.victim();
    if (node === undefined) return;
    node.armed = this.kind();
    this.world.counters.crashes++;
    const deadline = this.random.exponential(300_000);
    this.world.scheduler.after(deadline, () => {
      this.world.refreshConnections();
      node.start();
    });
  }

  private crashAll(): void {
    const kind = this.kind();
    for (const node of this.world.correct) if (node.up) this.crash(node, kind);
  }

  private pauseOne(): void {
    const node = this.victim();
    if (node === undefined) return;
    this.world.note(node, "# pauses");
    node.pause();
    this.world.scheduler.after(this.random.exponential(this.random.pick([20_000, 500_000])), () => node.resume());
  }

  // ── links ──

  private weather(): void {
    const { random } = this;
    const conditions: Conditions = {
      delayMinUs: random.pick([100, 1_000, 10_000]),
      delayMeanUs: random.pick([200, 2_000, 30_000, 100_000]),
      loss: random.pick([0, 0, 0.02, 0.1, 0.3]),
      duplication: random.pick([0, 0, 0.05, 0.5]),
      reordering: random.chance(0.7),
    };
    this.world.network.conditions = conditions;
    const { delayMinUs, delayMeanUs, loss, duplication, reordering } = conditions;
    this.world.note(undefined, `# weather: delay ${delayMinUs}+${delayMeanUs} µs, loss ${loss}, duplication ${duplication}${reordering ? ", reordering" : ""}`);
  }

  private slowLink(): void {
    const nodes = this.world.nodes.length;
    const [from, to] = [this.random.int(0, nodes - 1), this.random.int(0, nodes - 1)];
    this.world.network.setSlowness(from, to, this.random.pick([1, 5, 50]));
  }

  /** Cuts some links for a while. */
  private partition(): void {
    const { random, world } = this;
    const indices = random.shuffle(world.nodes.map((node) => node.options.index));
    const pairs: (readonly [number, number])[] = [];
    const both = (a: number, b: number): void => void pairs.push([a, b], [b, a]);
    const shape = random.pick(["halves", "single", "one-way", "ring", "star"] as const);
    const size = random.int(1, Math.max(1, indices.length - 1));
    for (const [i, a] of indices.entries()) {
      for (const [j, b] of indices.entries()) {
        if (i >= j) continue;
        if (shape === "halves" && i < size && j >= size) both(a, b);
        if (shape === "single" && i === 0) both(a, b);
        if (shape === "one-way" && i < size && j >= size) pairs.push([a, b]);
        if (shape === "ring" && j - i > 1 && j - i < indices.length - 1) both(a, b);
        if (shape === "star" && i > 0) both(a, b);
      }
    }
    world.note(undefined, `# cuts links (${shape}): ${pairs.map(([a, b]) => `${world.nodes[a]?.name}>${world.nodes[b]?.name}`).join(" ")}`);
    for (const [a, b] of pairs) world.network.setCut(a, b, true);
    world.refreshConnections();
    world.scheduler.after(random.exponential(random.pick([20_000, 200_000, 1_000_000])), () => {
      for (const [a, b] of pairs) world.network.setCut(a, b, false);
      world.note(undefined, "# mends links");
      world.refreshConnections();
    });
  }

  // ── twins ──

  /** Twins choose, again and again, which of the two each other node gets to see. Faults heal, malice does not. */
  private twinSight(): void {
    const { world, random } = this;
    const twins = world.nodes.filter((node) => world.nodes.some((other) => other !== node && other.id === node.id));
    if (twins.length === 0) return;
    for (const other of world.nodes) {
      const seen = random.int(0, 2);
      for (const [i, twin] of twins.entries()) if (twin.id !== other.id) world.setSight(other, twin, seen === 2 || i % 2 === seen);
    }
    world.refreshConnections();
    world.scheduler.after(random.exponential(300_000), () => this.twinSight());
  }
}
