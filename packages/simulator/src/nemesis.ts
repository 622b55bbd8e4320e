/**
 * Who breaks things, and mends them. What it may do, and how often, is drawn per seed (a swarm: most runs lack most faults, so that
 * each kind also meets calm surroundings); then it acts at random times until everything is repaired.
 */
import { clockActs } from "./clocks/acts.ts";
import { diskActs } from "./disks/acts.ts";
import { linkActs } from "./links/acts.ts";
import { CALM } from "./links/network.ts";
import { lifeActs, restart } from "./lives.ts";
import { momentActs } from "./moments.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

/** Kinds of trouble, each with acts of its own. */
export const TROUBLES = ["lives", "links", "disks", "clocks", "moments"] as const;
export type Trouble = (typeof TROUBLES)[number];

/** Does one thing to the world, with an end of its own or left to the repair. */
export interface Act {
  readonly name: string;
  run(): void;
}

/** What acts may use. */
export interface ActContext {
  readonly world: World;
  readonly random: Random;
  /** The repair has begun: what was planned for later must not break anything any more. */
  readonly over: () => boolean;
  /** Runs later, unless the repair comes first. */
  later(meanUs: number, run: () => void): void;
}

export interface NemesisOptions {
  readonly troubles: readonly Trouble[];
  /** Correct replicas whose disk is lost once, and that rejoin: each counts as a fault until its memory is sound. */
  readonly wipes?: number;
  /** Messages overtake each other from the start. */
  readonly reordering: boolean;
  readonly untilUs: number;
}

const ACTS: Readonly<Record<Trouble, (context: ActContext) => readonly Act[]>> = { lives: lifeActs, links: linkActs, disks: diskActs, clocks: clockActs, moments: momentActs };
/** Share of the acts that a run has. */
const SWARM_SHARE = 0.6;

export class Nemesis {
  private readonly world: World;
  private readonly random: Random;
  private readonly options: NemesisOptions;
  private readonly acts: readonly Act[];
  private faults = 0;
  /** The act under way, and how often it has put something off. */
  private acting = "";
  private laters = 0;
  private over = false;

  constructor(world: World, options: NemesisOptions) {
    this.world = world;
    this.random = world.random.split("nemesis");
    this.options = options;
    const swarm = this.random.split("swarm");
    this.acts = options.troubles.flatMap((trouble) => {
      const random = this.random.split(trouble);
      const context: ActContext = {
        world, random, over: () => this.over,
        later: (meanUs, run) => {
          // What an act does later is still its own.
          const name = `${this.acting}.${this.laters++}`;
          world.scheduler.after(random.exponential(meanUs), () => {
            if (!this.over) this.perform(random, name, run);
          });
        },
      };
      const acts = ACTS[trouble](context).map(({ name, run }): Act => ({ name, run: () => this.perform(random, `fault ${this.faults - 1}`, run) }));
      const chosen = acts.filter(() => swarm.chance(SWARM_SHARE));
      // Some more often than others.
      return (chosen.length === 0 ? acts : chosen).flatMap((act) => Array.from({ length: swarm.int(1, 4) }, () => act));
    });
  }

  start(): void {
    if (this.options.reordering) this.world.network.conditions = { ...CALM, reordering: true, delayMeanUs: this.random.pick([300, 2_000, 5_000]) };
    if (this.acts.length > 0) this.next(this.options.untilUs / this.random.pick([5, 10, 30]));
    this.twinSight();
    this.wipeSome();
  }

  /** The disk of some correct replicas is lost in the middle of it all. */
  private wipeSome(): void {
    const victims = this.random.shuffle([...this.world.correct]).slice(0, this.options.wipes ?? 0);
    for (const node of victims) {
      this.world.scheduler.after(this.random.int(Math.floor(this.options.untilUs / 5), this.options.untilUs), () => {
        this.world.budget.spend(node.id, "wiped");
        this.world.note(node, "# loses its disk");
        node.crash("kill");
        node.wipe();
        this.world.refreshConnections();
        this.world.scheduler.after(this.random.exponential(this.random.pick([1_000, 50_000, 500_000])), () => restart(this.world, node));
      });
    }
  }

  /** Everything works again: no cuts, no loss, disks and clocks as they should be, every correct node up. */
  heal(): void {
    this.over = true;
    const { world } = this;
    world.healed = true;
    world.note(undefined, "# heals: links, disks, clocks, pauses and crashes end");
    world.network.heal();
    for (const node of world.nodes) {
      node.machine?.disk.health.heal();
      node.machine?.clock.heal();
      node.armed = undefined;
      node.resume();
      if (node.options.fault !== "liar") restart(world, node);
    }
    world.refreshConnections();
  }

  private perform(random: Random, name: string, run: () => void): void {
    this.acting = name;
    this.laters = 0;
    random.within(name, run);
  }

  private next(meanUs: number): void {
    this.world.scheduler.after(this.random.exponential(meanUs), () => {
      if (this.over) return;
      const act = this.random.pick(this.acts);
      // Certain when drawn; a scenario from which this fault was taken says no.
      if (this.random.split(`fault ${this.faults++}`).chance(1)) {
        this.world.acted(act.name);
        act.run();
      }
      this.next(meanUs);
    });
  }

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
