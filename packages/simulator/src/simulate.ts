/** One run: draw a plan, break things for a while, heal, then wait for everything promised. */
import { replicaId, type StateMachine } from "@narses/core";
import { actByAct } from "./adversaries/act-by-act.ts";
import { castingOf, needsShell, POLICIES } from "./adversaries/index.ts";
import { Conspiracy } from "./adversaries/conspiracy.ts";
import type { Application, NextOperation } from "./application.ts";
import { diskId, policyId } from "./coverage/catalogue.ts";
import type { Counts } from "./coverage/coverage.ts";
import { watchPolicy } from "./coverage/watch-policy.ts";
import { isServed } from "./clients/habits.ts";
import type { DiskHealth } from "./disks/disk-health.ts";
import { EngineWorld } from "./engine-world.ts";
import { Nemesis, TROUBLES, type Trouble } from "./nemesis.ts";
import { type FaultKind, livenessBudgetMs, OUTSTANDING_MAX, planRun, viewsBudget, type RunPlan, type SimOptions } from "./options.ts";
import type { Random } from "./random.ts";
import { ReplicaWorld } from "./replica-world.ts";
import { type FailureKind, Violation } from "./violation.ts";
import type { Counters, World } from "./world.ts";

export interface SimResult {
  readonly outcome: "ok" | FailureKind;
  /** The oracle that fired, and what it said. */
  readonly oracle: string | undefined;
  readonly detail: string | undefined;
  readonly plan: RunPlan;
  /** Byzantine replicas and what they do. */
  readonly cast: readonly string[];
  readonly events: number;
  readonly virtualMs: number;
  /** Virtual time from healing to convergence. */
  readonly recoveryMs: number | undefined;
  readonly accepted: number;
  readonly counters: Readonly<Counters>;
  /** Rules used and faults that changed something, by id of the catalogue. */
  readonly coverage: Counts;
  readonly traceHash: string;
  readonly trace: readonly string[];
  /** The stack of an exception. */
  readonly stack: string | undefined;
}

/** A run that goes on and on is a failure, not a hang. */
const EVENTS_MAX = 5_000_000;
/** Bundles each client submits after healing: progress must be new. */
const PROBES = 2;

/**
 * Runs one seed with whole replicas, as they ship. Never rejects for what happens inside the cluster.
 * @throws RangeError for options out of range.
 */
export function simulate(options: SimOptions): Promise<SimResult>;
/**
 * The same with an application of one's own.
 * @throws TypeError when `app` has no `apply`, or there is no generator of operations.
 */
export function simulate(app: StateMachine, options: AppOptions): Promise<SimResult>;
export async function simulate(first: StateMachine | SimOptions, second?: AppOptions): Promise<SimResult> {
  return second === undefined ? simulateWith(undefined, first as SimOptions) : simulateWith(applicationOf(first as StateMachine, second), second);
}

/** What an application needs besides itself. */
export interface AppOptions extends SimOptions {
  /** The next operation of a client. */
  readonly operation: NextOperation;
  /** Given to `app.genesis`. */
  readonly genesis?: unknown;
  /** Replicas; the same as `n`. */
  readonly replicas?: number;
}

function applicationOf(app: StateMachine, { operation, genesis }: AppOptions): Application {
  if (typeof (app as Partial<StateMachine> | undefined)?.apply !== "function") throw new TypeError("simulate needs a state machine: an object with a function `apply`");
  if (typeof (operation as NextOperation | undefined) !== "function") throw new TypeError("simulate needs options.operation: a function that gives a client's next operation");
  return { app, operation, genesis: genesis ?? null };
}

async function simulateWith(application: Application | undefined, options: SimOptions & Pick<AppOptions, "replicas">): Promise<SimResult> {
  const n = options.n ?? options.replicas;
  return runReplicas(planRun({ ...options, ...(n !== undefined && { n }) }), application);
}

async function runReplicas(plan: RunPlan, application?: Application): Promise<SimResult> {
  const run = new Run(new ReplicaWorld(plan, application));
  for (const step of run.steps()) {
    void step;
    // Promises that this event settled go on before the next event: nothing in here waits for the real world.
    if (run.world.scheduler.takeStirred()) await settled();
  }
  return run.result();
}

/** Runs a plan that is made already: for records and scenarios. */
export async function runPlan(plan: RunPlan, depth: "replica" | "engine", application?: Application): Promise<SimResult> {
  return depth === "engine" ? runEngines(plan) : runReplicas(plan, application);
}

function runEngines(plan: RunPlan): SimResult {
  const run = new Run(new EngineWorld(plan));
  for (const step of run.steps()) void step;
  return run.result();
}

/** The same with engines in small shells: several times faster, synchronous, and not what ships. @throws RangeError for options out of range. */
export const simulateEngine = (options: SimOptions): SimResult => runEngines(planRun(options));

/** Resolves when no promise of this thread has anything left to do. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

class Run {
  readonly world: World;
  private readonly cast: readonly string[];
  private failure: Violation | undefined;
  private recoveryMs: number | undefined;

  constructor(world: World) {
    this.world = world;
    this.cast = assemble(world);
  }

  /** One element per event. */
  *steps(): Generator<undefined> {
    const { world } = this;
    try {
      this.recoveryMs = yield* run(world);
      world.atEnd();
    } catch (error) {
      const failure = error instanceof Violation ? error : new Violation("crash", "simulator", error instanceof Error ? error.message : String(error), { cause: error });
      this.failure = failure;
      world.note(undefined, `# ${failure.kind} (${failure.oracle}): ${failure.message}`);
    }
  }

  result(): SimResult {
    const { world, cast, failure, recoveryMs } = this;
    for (const { machine } of world.nodes) {
      for (const [fault, count] of Object.entries(machine?.disk.health.met ?? {})) if (count > 0) world.coverage.sometimes(diskId(fault as keyof DiskHealth["met"]));
    }
    const cause = failure?.cause;
    return {
      outcome: failure?.kind ?? "ok", oracle: failure?.oracle, detail: failure?.message, plan: world.plan, cast,
      events: world.scheduler.events, virtualMs: world.scheduler.now / 1000, recoveryMs,
      accepted: world.clients.reduce((sum, client) => sum + client.accepted, 0), counters: world.counters, coverage: world.coverage.all,
      traceHash: world.trace.hash, trace: world.trace.lines, stack: cause instanceof Error ? cause.stack : undefined,
    };
  }
}

/** Makes nodes, adversaries and clients. Returns who is Byzantine, and how. */
function assemble(world: World): readonly string[] {
  const { plan } = world;
  const { n } = plan.quorums;
  const random = world.random.split("cast");
  const ids = Array.from({ length: n }, (_, id) => replicaId(id));
  // The first primaries are the ones a lie from whom matters most.
  const order = random.chance(0.5) ? ids : random.shuffle(ids);
  const villains = new Set(order.slice(0, plan.byzantine));
  const conspiracy = new Conspiracy(random, ids.filter((id) => !villains.has(id)));
  const cast: string[] = [];
  for (const id of ids) {
    if (!villains.has(id)) {
      world.addNode(id, "", "none");
      continue;
    }
    const fault = plan.faultyAs.length === 0 ? "liar" : random.pick(plan.faultyAs);
    if (fault !== "liar") {
      cast.push(`r${id}: ${fault}`);
      world.addNode(id, "", fault);
      continue;
    }
    const roles = drawRoles(world, random);
    cast.push(`r${id}: ${roles.join(", ")}`);
    const twins = roles.includes("twins") ? ["a", "b"] : [""];
    for (const suffix of twins) {
      const node = world.addNode(id, suffix, "liar");
      for (const role of roles) {
        if (role === "twins") continue;
        const powers = world.powersOf(node, conspiracy, `${node.name} ${role}`);
        node.policies.push(actByAct(watchPolicy(POLICIES[role](powers), () => world.coverage.sometimes(policyId(role))), powers.random));
      }
    }
  }
  for (let i = 0; i < plan.clients; i++) world.addClient(undefined);
  for (const habit of plan.habits) world.addClient(habit);
  return cast;
}

function drawRoles({ plan, clientBytes }: World, random: Random): readonly RunPlan["policies"][number][] {
  const usable = castingOf(plan.policies.filter((name) => clientBytes !== undefined || !needsShell(name)));
  const first = random.pick(usable);
  const second = random.pick(usable);
  return first === second || random.chance(0.6) ? [first] : [first, second];
}

const TROUBLES_OF: Readonly<Record<FaultKind, readonly Trouble[]>> = {
  none: [], crash: ["lives", "moments"], network: ["links"], disk: ["disks", "lives", "moments"], clock: ["clocks", "links"], byzantine: [], all: TROUBLES,
};

/** @returns virtual milliseconds from healing to convergence; undefined when progress is not judged. */
function* run(world: World): Generator<undefined, number | undefined> {
  const { plan, scheduler } = world;
  const chaosUs = plan.chaosMs * 1000;
  const nemesis = new Nemesis(world, { troubles: TROUBLES_OF[plan.faults], reordering: plan.faults === "byzantine", untilUs: chaosUs, wipes: plan.wipes });
  for (const node of world.nodes) scheduler.after(world.random.split(`boot ${node.name}`).int(0, plan.bootSpreadUs), () => node.start());
  nemesis.start();
  const load = { over: false };
  for (const client of world.clients) keepSubmitting(world, client.options.index, load);
  while (scheduler.now < chaosUs && scheduler.next(chaosUs)) {
    yield;
    checkEvents(world);
  }
  scheduler.now = Math.max(scheduler.now, chaosUs);
  nemesis.heal();
  if (!plan.liveness) return undefined;
  for (const client of world.clients) for (let i = 0; i < PROBES; i++) scheduler.after(i * 50_000, () => client.submit());
  scheduler.after(PROBES * 50_000, () => {
    load.over = true;
  });
  return yield* settle(world, chaosUs, load);
}

function keepSubmitting(world: World, index: number, load: { over: boolean }): void {
  const client = world.clients[index];
  if (client === undefined) return;
  const random = world.random.split(`load ${index}`);
  const meanUs = world.plan.thinkMeanMs * 1000;
  const retryUs = random.int(100_000, 400_000);
  let ordinal = 0;
  const submit = (): void => {
    world.scheduler.after(random.exponential(meanUs), () => {
      if (world.scheduler.now >= world.plan.chaosMs * 1000) return;
      // Certain when drawn; a scenario from which this bundle was taken says no.
      const wanted = random.split(`bundle ${ordinal++}`).chance(1);
      if (wanted && client.waitingCount < OUTSTANDING_MAX) client.submit();
      submit();
    });
  };
  const retry = (): void => {
    world.scheduler.after(retryUs, () => {
      client.retransmit();
      if (!load.over || client.waitingCount > 0) retry();
    });
  };
  submit();
  retry();
}

/** Runs on until every bundle of a correct client is answered and all correct replicas hold the same state. */
function* settle(world: World, healedUs: number, load: { readonly over: boolean }): Generator<undefined, number> {
  const { scheduler, plan } = world;
  const deadline = healedUs + livenessBudgetMs(plan) * 1000;
  const viewAtHealing = highestView(world);
  const viewsMax = viewsBudget(plan);
  for (;;) {
    if (load.over && unsettled(world).length === 0) return (scheduler.now - healedUs) / 1000;
    const views = highestView(world) - viewAtHealing;
    if (views > viewsMax) {
      const ms = Math.round((scheduler.now - healedUs) / 1000);
      throw new Violation("liveness", "views", `${views} views in the ${ms} ms since healing, at most ${viewsMax} are due`);
    }
    // A batch of events between two looks: looking costs more than an event.
    for (let i = 0; i < 50; i++) {
      if (!scheduler.next(deadline)) {
        throw new Violation("liveness", "liveness", `${livenessBudgetMs(plan)} ms after healing: ${unsettled(world).join("; ")}`);
      }
      yield;
      checkEvents(world);
    }
  }
}

const highestView = (world: World): number => Math.max(0, ...world.correct.map((node) => node.status()?.view ?? 0));

/** What is still owed, in words. */
function unsettled(world: World): readonly string[] {
  const owed: string[] = [];
  for (const client of world.clients) {
    if (isServed(client.options.habit) && client.waitingCount > 0) owed.push(`client ${client.options.index} waits for ${client.waitingFor.join(", ")}`);
  }
  const heads = new Set(world.correct.map((node) => node.head?.head));
  if (heads.size > 1) owed.push(`correct replicas stand at ${world.correct.map((node) => `${node.name} n${node.head?.seq}`).join(", ")}`);
  if (owed.length === 0) return owed;
  for (const node of world.correct) {
    const status = node.status();
    if (status === undefined) continue;
    const at = `v${status.view}${status.active ? "" : " inactive"} h${status.stableSeq} n${status.executedSeq}`;
    owed.push(`${node.name}: ${at} waits for ${status.waitingFor.join(", ") || "nothing"}`);
  }
  return owed;
}

function checkEvents(world: World): void {
  if (world.failure !== undefined) throw world.failure;
  if (world.scheduler.events > EVENTS_MAX) throw new Violation("liveness", "liveness", `${EVENTS_MAX} events and no end`);
}
