/** What a run is made of. Everything not given is drawn from the seed. */
import { DEFAULT_PARAMETERS, faultsTolerated, type Parameters, quorums, type Quorums } from "@narses/core";
import { SESSION_WINDOW } from "./app.ts";
import type { Fault } from "./budget.ts";
import { type Habit, HABITS } from "./clients/habits.ts";
import { POLICY_NAMES, type PolicyName } from "./adversaries/index.ts";
import type { OracleName } from "./oracles/index.ts";
import { Random } from "./random.ts";

export const FAULT_KINDS = ["none", "crash", "network", "disk", "clock", "byzantine", "all"] as const;
/** `all` is all of them together. */
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface SimOptions {
  readonly seed: number | string;
  /** Replicas, 1 … 13. */
  readonly n?: number;
  readonly f?: number;
  readonly faults?: FaultKind;
  /** Byzantine replicas: f unless given. More than f is a negative control: safety may break. */
  readonly byzantine?: number;
  /** Policies the Byzantine replicas draw from, or "twins". */
  readonly policies?: readonly (PolicyName | "twins")[];
  /** Correct replicas that lose their disk once and rejoin. Each is a fault like a Byzantine one. */
  readonly wipes?: number;
  /** Virtual time under faults, before everything heals. */
  readonly chaosMs?: number;
  readonly clients?: number;
  /** One misbehaving client for each, besides the `clients`; drawn when replicas may lie, unless given. */
  readonly habits?: readonly Habit[];
  readonly mergeVotes?: boolean;
  /** Real Ed25519 signatures; by default in one run of a hundred, drawn. Whole replicas only. */
  readonly realCrypto?: boolean;
  readonly parameters?: Partial<Parameters>;
  /** Lines of trace to keep, the last ones. */
  readonly traceLines?: number;
  /** Judge progress after healing. */
  readonly liveness?: boolean;
  /** Oracles that judge: all unless given. For controls of a single one; invariants of the engine are checked in any case. */
  readonly oracles?: readonly OracleName[];
}

/** Options with every choice made. */
export interface RunPlan {
  readonly seed: string;
  readonly quorums: Quorums;
  readonly faults: FaultKind;
  readonly byzantine: number;
  readonly policies: readonly (PolicyName | "twins")[];
  readonly wipes: number;
  readonly chaosMs: number;
  readonly clients: number;
  /** One client for each, besides the `clients`. */
  readonly habits: readonly Habit[];
  readonly mergeVotes: boolean;
  readonly realCrypto: boolean;
  readonly parameters: Parameters;
  readonly traceLines: number;
  readonly liveness: boolean;
  readonly oracles?: readonly OracleName[];
  /** How a replica that counts against f can be faulty. */
  readonly faultyAs: readonly Exclude<Fault, "none">[];
  /** Frames travel as bytes through the real framing, connections break; otherwise each frame for itself. Whole replicas only. */
  readonly streams: boolean;
  /** Clocks for timers run this much fast or slow, at most. */
  readonly driftMax: number;
  /** Replicas come up within this time of each other. */
  readonly bootSpreadUs: number;
  /** Mean pause between two bundles of a client. */
  readonly thinkMeanMs: number;
  readonly operationsMax: number;
  /** Mean time of a sync, of executing a slot, and of making a checkpoint durable. */
  readonly syncMeanUs: number;
  readonly executionMeanUs: number;
  readonly checkpointMeanUs: number;
  readonly clockSkewMaxMs: number;
  /** Where chance comes from, by the path of the root; undefined: a generator. */
  readonly randomOf?: (path: string) => Random;
}

const N_MAX = 13;
/** Kinds of trouble in which a disk may be lost altogether. */
const WIPING: ReadonlySet<FaultKind> = new Set(["crash", "disk", "all"]);

const FAULTY_AS: Readonly<Record<FaultKind, readonly Exclude<Fault, "none">[]>> = {
  none: [], crash: [], network: [], disk: ["amnesiac", "rotten"], clock: ["skewed"], byzantine: ["liar"], all: ["liar", "liar", "liar", "amnesiac", "rotten", "skewed"],
};

/** @throws RangeError when n or f are out of range. */
export function planRun(options: SimOptions): RunPlan {
  const seed = String(options.seed);
  const random = new Random(`seed ${seed}`).split("options");
  const n = options.n ?? random.pick([1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 7]);
  if (!Number.isSafeInteger(n) || n < 1 || n > N_MAX) throw new RangeError(`n must be an integer from 1 to ${N_MAX}, got ${n}`);
  const f = options.f ?? faultsTolerated(n);
  const faults = options.faults ?? random.pick(FAULT_KINDS);
  const hostile = faults === "byzantine" || faults === "all";
  const spoilt = hostile || faults === "disk" || faults === "clock";
  const wipes = options.wipes ?? (f > 0 && options.byzantine === undefined && WIPING.has(faults) && random.split("wipes").chance(0.3) ? 1 : 0);
  const byzantine = options.byzantine ?? (spoilt ? Math.max(0, f - wipes) : 0);
  if (!Number.isSafeInteger(byzantine) || byzantine < 0 || byzantine > n) throw new RangeError(`byzantine must be an integer from 0 to n = ${n}, got ${byzantine}`);
  return {
    seed, quorums: quorums(n, f), faults, byzantine,
    policies: options.policies ?? [...POLICY_NAMES, "twins"],
    wipes,
    chaosMs: options.chaosMs ?? random.int(1_000, 3_000),
    clients: options.clients ?? random.int(1, 3),
    habits: options.habits ?? (hostile ? drawHabits(random.split("habits")) : []),
    mergeVotes: options.mergeVotes ?? random.chance(0.7),
    realCrypto: options.realCrypto ?? random.split("cryptography").chance(0.01),
    parameters: { ...drawParameters(random.split("parameters"), hostile), ...options.parameters },
    traceLines: options.traceLines ?? 0,
    liveness: options.liveness ?? byzantine + wipes <= f,
    ...(options.oracles !== undefined && { oracles: options.oracles }),
    faultyAs: FAULTY_AS[faults],
    streams: random.split("streams").chance(0.5),
    driftMax: random.split("drift").pick(faults === "none" ? [0] : [0, 0.001, 0.1]),
    bootSpreadUs: random.split("boot").pick(faults === "none" ? [20_000] : [20_000, 20_000, 500_000]),
    thinkMeanMs: random.int(20, 120),
    operationsMax: random.int(1, 4),
    // Without faults everything keeps up with the load, so that a view left is a finding.
    syncMeanUs: random.pick(faults === "none" ? [20, 100] : [20, 100, 1_000, 10_000]),
    executionMeanUs: random.pick(faults === "none" ? [0, 50] : [0, 50, 1_000, 20_000]),
    checkpointMeanUs: random.pick(faults === "none" ? [200, 5_000] : [200, 5_000, 50_000, 300_000, 2_000_000]),
    clockSkewMaxMs: random.pick([0, 10, 1_000, CLOCK_SKEW_MS_MAX]),
  };
}

/** None in half of the runs, mostly one. */
const drawHabits = (random: Random): readonly Habit[] => Array.from({ length: random.pick([0, 0, 0, 1, 1, 2]) }, () => random.pick(HABITS));

/** Clocks of two replicas differ by this much, at most. */
const CLOCK_SKEW_MS_MAX = 50_000;

/** Bundles of one operation are smaller, of several larger. */
const LARGE_BYTES = 160;

function drawParameters(random: Random, hostile: boolean): Parameters {
  const { rotationCheckpoints, timestampDelayMs } = DEFAULT_PARAMETERS;
  const checkpointInterval = random.int(1, 10);
  const logWindow = checkpointInterval * random.int(2, 4);
  const requestTimeoutTicks = random.int(20, 50);
  const bundleBytesMax = 1 << 12;
  return {
    checkpointInterval, logWindow,
    pipelineDepth: random.int(1, Math.max(1, Math.floor(logWindow / 2))),
    batchBytesMax: 1 << 16, batchOperationsMax: random.pick([4, 16, 2_000]), batchDelayTicks: random.pick([0, 0, 1, 3]),
    bundleBytesMax, bundleOperationsMax: 4, pendingBundlesMax: random.pick([6, 256, 256]),
    largeBundleBytes: random.split("large bundles").pick([0, LARGE_BYTES, bundleBytesMax, bundleBytesMax]),
    sessionWindow: random.split("sessions").pick([SESSION_WINDOW, 4_096]), sessionsMax: 8_192,
    requestTimeoutTicks,
    disconnectTimeoutTicks: random.int(5, Math.min(15, requestTimeoutTicks)),
    viewChangeTimeoutTicks: random.int(15, 40),
    backoffExponentMax: random.int(2, 4),
    statusIntervalTicks: random.int(3, 10),
    ...drawWatch(random.split("watch"), hostile), rotationCheckpoints, timestampDelayMs,
    // As wide as the clocks drawn below may differ: within it no correct proposal is refused.
    timestampPrecisionMs: CLOCK_SKEW_MS_MAX,
    fastReads: random.chance(0.25),
  };
}

/** Strict with primaries that may be liars: slowness, unfairness and idleness must show within a short run. */
function drawWatch(random: Random, hostile: boolean): Pick<Parameters, "proposalDelayTicksMax" | "overtakenBundlesMax" | "heartbeatTicks"> {
  const { proposalDelayTicksMax, overtakenBundlesMax, heartbeatTicks } = DEFAULT_PARAMETERS;
  if (!hostile) return { proposalDelayTicksMax, overtakenBundlesMax, heartbeatTicks };
  return {
    proposalDelayTicksMax: random.pick([3, 10, proposalDelayTicksMax]),
    overtakenBundlesMax: random.pick([2, 16, overtakenBundlesMax]),
    heartbeatTicks: random.pick([0, 30, 30]),
  };
}

/** Under load a backup waits this many request timeouts before it suspects a primary that makes progress (`pbft`, timer). */
const PATIENCE_FACTOR = 8;

/** Bundles a client has outstanding, at most. */
export const OUTSTANDING_MAX = 8;

/** Checkpoints that what is outstanding, a bundle to a slot, has to go through. */
const checkpointsDue = ({ clients, habits, parameters }: RunPlan): number => Math.ceil(((clients + habits.length) * OUTSTANDING_MAX) / parameters.checkpointInterval);

/** The disks of Q replicas take this many times as long for a checkpoint as one does on average, at most. */
const SLOWEST_DISK = 3;

/**
 * How long the cluster may take, once all is healed, to answer every bundle and to converge: twice f+2 views at the
 * longest timeouts (a request timer at its most patient, then a new-view timer), the time to fetch what was missed, and that of
 * the disks: while the window is full, nothing goes on before a checkpoint is durable.
 */
export function livenessBudgetMs(plan: RunPlan): number {
  const { parameters: p, quorums: { f } } = plan;
  const viewMs = (PATIENCE_FACTOR * p.requestTimeoutTicks + p.viewChangeTimeoutTicks) * 10 * 2 ** p.backoffExponentMax;
  const catchUpMs = 100 * p.statusIntervalTicks * 10;
  return 2 * (f + 2) * viewMs + catchUpMs + Math.floor((checkpointsDue(plan) * SLOWEST_DISK * plan.checkpointMeanUs) / 1_000);
}

/**
 * Views after healing, at most: primaries that are no good, and timeouts that begin too short and double, several times over; and where the disk
 * takes longer for a checkpoint than a request may wait, no primary is good while the window is full: so many more for each checkpoint
 * that is due. More is a cluster that runs away from its primaries.
 */
export function viewsBudget(plan: RunPlan): number {
  const { quorums: { f }, checkpointMeanUs, parameters: p } = plan;
  return 16 * (f + 2) + checkpointsDue(plan) * Math.floor(checkpointMeanUs / (p.requestTimeoutTicks * 10_000));
}

/** One line per choice. */
export function describePlan(plan: RunPlan): readonly string[] {
  const { quorums: { n, f }, parameters: p } = plan;
  return [
    `seed ${plan.seed}: n = ${n}, f = ${f}, faults ${plan.faults}, ${plan.byzantine} Byzantine${plan.wipes === 0 ? "" : `, ${plan.wipes} lose their disk`}`,
    `${plan.clients} clients${plan.habits.length === 0 ? "" : ` (and ${plan.habits.join(", ")})`}, a bundle every ${plan.thinkMeanMs} ms each, chaos for ${plan.chaosMs} ms`,
    `K = ${p.checkpointInterval}, L = ${p.logWindow}, depth ${p.pipelineDepth}, votes ${plan.mergeVotes ? "merged" : "one per frame"}, status every ${p.statusIntervalTicks} ticks`,
    `request timeout ${p.requestTimeoutTicks} ticks, new-view timeout ${p.viewChangeTimeoutTicks} ticks, backoff up to 2^${p.backoffExponentMax}`,
    `means: sync ${plan.syncMeanUs} µs, execution ${plan.executionMeanUs} µs, checkpoint ${plan.checkpointMeanUs} µs; clock skew up to ${plan.clockSkewMaxMs} ms`,
    ...(p.fastReads ? ["fast reads: clients want Q answers, decisions are forwarded"] : []),
    ...(plan.oracles === undefined ? [] : [`judged by ${plan.oracles.join(", ")} alone`]),
    `progress is due within ${livenessBudgetMs(plan)} ms of healing`,
  ];
}
