/**
 * The loop of a replica. One turn: read a bounded share of what waits, step the engine through it, make its records
 * durable with one fsync, then say what it wants said, then execute.
 *
 * Invariant: nothing leaves this process before every record of its turn is on disk. Any error stops the loop for good, and
 * nothing is said after it: a replica that cannot keep its word must be silent.
 */
import { assertNever, type Effect, type Input, type Logger, type OrderingEngine, type StableCheckpoint, type View } from "@narses/core";
import { count, type Counters } from "./counters.ts";
import type { Decisions } from "./decisions.ts";
import type { EvidenceKeeper } from "./evidence.ts";
import type { Execution } from "./execution.ts";
import type { Inbox, Item } from "./inbox.ts";
import type { Journal } from "./journal.ts";
import type { LogLimiter } from "./log.ts";
import type { Incidents } from "./operations/incidents.ts";
import type { Transfer } from "./transfer/transfer.ts";
import { isUtterance, type Outbox, type Utterance } from "./outbox.ts";
import type { Probe } from "./probe.ts";

export interface TurnOptions {
  readonly engine: OrderingEngine;
  readonly inbox: Inbox;
  /** Turns what came into facts for the engine: decodes, verifies, admits. Must not throw on any bytes. */
  readonly read: (item: Item) => readonly Input[];
  readonly journal: Journal;
  readonly outbox: Pick<Outbox, "say">;
  readonly execution: Execution;
  readonly decisions: Pick<Decisions, "send">;
  readonly transfer: Pick<Transfer, "start">;
  readonly counters: Counters;
  readonly incidents: Incidents;
  readonly evidence: Pick<EvidenceKeeper, "keep">;
  readonly logger: Logger;
  readonly limiter: LogLimiter;
  readonly onView: (view: View) => void;
  /** The low watermark has moved to this checkpoint. */
  readonly onCertified?: (stable: StableCheckpoint) => void;
  /** Called once, with what broke. */
  readonly onFatal: (error: unknown) => void;
  readonly schedule: (turn: () => void) => void;
  /** No turn begins while this holds: what waits, waits. Who ends it calls `wake`. */
  readonly frozen: () => boolean;
  readonly probe: Probe | undefined;
}

export interface Loop {
  /** Something waits: a turn will come. */
  wake(): void;
  /** A fact for the engine; a turn will come. */
  input(input: Input): void;
  /** Ends the loop: no step, no write and no word from now on. */
  stop(): void;
  readonly stopped: boolean;
  /** Stops because of an error, once. */
  fatal(error: unknown): void;
}

export function createLoop(options: TurnOptions): Loop {
  const { engine, inbox, journal, outbox, execution, counters, schedule, frozen, onFatal } = options;
  let stopped = false;
  let scheduled = false;

  const loop: Loop = {
    get stopped() {
      return stopped;
    },
    wake() {
      if (scheduled || stopped || frozen()) return;
      scheduled = true;
      schedule(() => {
        scheduled = false;
        turn();
      });
    },
    input(input) {
      if (stopped) return;
      inbox.input(input);
      loop.wake();
    },
    stop() {
      stopped = true;
    },
    fatal(error) {
      if (stopped) return;
      stopped = true;
      onFatal(error);
    },
  };

  function turn(): void {
    if (stopped || frozen()) return;
    counters.turns++;
    try {
      const effects: Effect[] = [];
      // Requests last and as one run: what came in this turn shares a proposal.
      const requests: Request[] = [];
      for (const item of inbox.take()) {
        for (const input of options.read(item)) {
          if (input.type === "request") requests.push(input);
          else for (const effect of stepOf(engine, input)) effects.push(effect);
        }
      }
      requests.forEach((request, i) => {
        for (const effect of stepOf(engine, i === requests.length - 1 ? request : { ...request, more: true })) effects.push(effect);
      });
      journal.persist(effects);
      options.probe?.effects(effects);
      for (const own of outbox.say(perform(options, effects))) inbox.input(own);
      execution.run();
    } catch (error) {
      loop.fatal(error);
      return;
    }
    if (!inbox.empty || execution.ready) loop.wake();
  }

  return loop;
}

type Request = Extract<Input, { type: "request" }>;

/** What the reader reported, the engine reports again when it acts on it: counted and remembered once. */
function stepOf(engine: OrderingEngine, input: Input): readonly Effect[] {
  const effects = engine.step(input);
  return input.type === "misbehaviour" ? effects.filter(({ type }) => type !== "rejected") : effects;
}

/** Runs the effects that say nothing; returns those that do, in order. Every record is durable. */
function perform(options: TurnOptions, effects: readonly Effect[]): readonly Utterance[] {
  const { journal, execution, decisions, logger } = options;
  const utterances: Utterance[] = [];
  for (const effect of effects) {
    if (isUtterance(effect)) {
      utterances.push(effect);
      continue;
    }
    switch (effect.type) {
      case "persist":
        if (effect.record.type === "stable") options.onCertified?.(effect.record.stable);
        break;
      case "execute":
        execution.push(effect);
        break;
      case "truncate":
        journal.truncate(effect.seq);
        break;
      case "send-decisions":
        decisions.send(effect.to, effect.first, effect.last);
        break;
      case "transfer":
        options.transfer.start(effect.target, effect.reason);
        break;
      case "memory":
        onMemory(options, effect);
        break;
      case "diverged":
        onDiverged(options, effect);
        break;
      case "rejected":
        onRejected(options, effect);
        break;
      case "view-entered":
        options.onView(effect.view);
        logger.info({ view: effect.view, primary: effect.primary }, `entered view ${effect.view}, primary is replica ${effect.primary}`);
        break;
      case "view-left":
        options.counters.viewChanges++;
        logger.warn({ view: effect.view, reason: effect.reason }, `left for view ${effect.view}: ${effect.reason}`);
        break;
      case "clock-off":
        onClockOff(options, effect);
        break;
      default:
        assertNever(effect);
    }
  }
  return utterances;
}

function onDiverged({ execution, logger }: TurnOptions, { seq, own, stable }: Extract<Effect, { type: "diverged" }>): void {
  const reason = `the state after slot ${seq} is ${own}, a quorum vouches for ${stable}`;
  execution.halt({ code: "DIVERGED", reason });
  logger.error(
    { seq, own, stable },
    `DIVERGED: ${reason}. This replica executes nothing and answers no requests until its state is repaired from the others; ` +
      "its application is not deterministic or was changed, or its disk or memory is damaged: find out which before it happens to another one",
  );
}

function onClockOff({ logger }: TurnOptions, { seq, behindMs }: Extract<Effect, { type: "clock-off" }>): void {
  const distance = `${(Math.abs(behindMs) / 1_000).toFixed(1)} s ${behindMs < 0 ? "ahead of" : "behind"} the others`;
  const why = `the time of slot ${seq} is refused here, and others accept it, or primary after primary is refused`;
  logger.warn({ seq, behindMs }, `this replica's clock is ${distance}: ${why}; check this machine's time service first`);
}

function onMemory({ logger }: TurnOptions, { state, detail }: Extract<Effect, { type: "memory" }>): void {
  switch (state) {
    case "lost":
      logger.error({}, `VOTES LOST: ${detail}. This replica follows, executes and serves, but does not vote: it might contradict what it said before, as a faulty replica does`);
      break;
    case "bounded":
      logger.warn({}, `this replica does not remember all of its votes: ${detail}`);
      break;
    case "sound":
      logger.info({}, `this replica votes again: ${detail}; nothing it says can contradict what it said before its votes were lost`);
  }
}

function onRejected({ counters, incidents, evidence: keeper, limiter, logger }: TurnOptions, { from, message, rejection, evidence }: Extract<Effect, { type: "rejected" }>): void {
  count(counters.rejected, rejection.code);
  incidents.rejected(from, message, rejection);
  if (evidence !== undefined) keeper.keep(evidence, rejection.detail);
  const { code, detail } = rejection;
  limiter.line(code, (leftOut) => logger.debug({ from, code, leftOut }, `rejected ${message} from replica ${from}: ${detail}`));
}
