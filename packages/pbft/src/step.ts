/** The engine: one input in, effects out, to completion. Dispatch only; each handler lives in the file of its phase. */
import type { Effect, EngineConfig, EngineStatus, EngineTools, Input, OrderingEngine, OwnMessage, PeerMessage, Recovered, Rejection, ReplicaId } from "@narses/core";
import { assert, assertNever, view } from "@narses/core";
import { onCheckpoint, onCheckpointed, onStableProof } from "./checkpoint.ts";
import { executeReady, onExecuted } from "./execute.ts";
import { onFetchBatch, onFetchBundles } from "./fetch.ts";
import { checkInvariants } from "./invariants.ts";
import { onBatch, onDecision } from "./learn.ts";
import { considerSpeaking, onRecall, onRecalled } from "./memory.ts";
import { onNewView } from "./new-view.ts";
import { onAnnounced, onOwnPrePrepare, onPrePrepare } from "./pre-prepare.ts";
import { freshReplica, onStart } from "./recover.ts";
import { onRequest } from "./request.ts";
import { screen } from "./screen.ts";
import { primary, reject, type Replica } from "./state.ts";
import { onPeer, onStatus } from "./status.ts";
import { describe } from "./describe.ts";
import { onTick } from "./timer.ts";
import { onTransferred } from "./transfer.ts";
import { leaveView, onOwnViewChange, onViewChange } from "./view-change.ts";
import { onVotes } from "./vote.ts";

/**
 * Makes a PBFT engine. Its first input is `start`.
 * @throws InvariantViolation when the recovered log contradicts itself or the state.
 */
export function createEngine(config: EngineConfig, tools: EngineTools, recovered?: Recovered): OrderingEngine {
  const r = freshReplica(config, tools, recovered);
  return {
    name: "pbft",
    step: (input: Input): readonly Effect[] => step(r, input),
    screen: (message: PeerMessage): Rejection | undefined => screen(r, message),
    status: (): EngineStatus => describe(r),
  };
}

export function step(r: Replica, input: Input): readonly Effect[] {
  assert(r.started !== (input.type === "start"), r.started ? "start comes first and once" : `first input is ${input.type}, not start`);
  const out: Effect[] = [];
  r.out = out;
  dispatch(r, input);
  considerSpeaking(r);
  checkInvariants(r);
  return out;
}

function dispatch(r: Replica, input: Input): void {
  switch (input.type) {
    case "start":
      onStart(r, input.wallMs);
      return executeReady(r);
    case "tick":
      return onTick(r, input.wallMs);
    case "request":
      return onRequest(r, input.bundle, input.more);
    case "message":
      return onMessage(r, input.from, input.message);
    case "own":
      return onOwn(r, input.signed);
    case "executed":
      return onExecuted(r, input.seq, input.obsolete);
    case "checkpointed":
      return onCheckpointed(r, input.seq, input.root);
    case "transferred":
      return onTransferred(r, input.stable, input.obsolete);
    case "peer":
      return onPeer(r, input.replica, input.connected);
    case "misbehaviour":
      reject(r, input.replica, "frame", input.rejection.code, input.rejection.detail);
      if (r.active && input.replica === primary(r)) leaveView(r, view(r.view + 1), `primary ${input.replica}: ${input.rejection.detail}`);
      return;
    default:
      return assertNever(input);
  }
}

function onMessage(r: Replica, from: ReplicaId, message: PeerMessage): void {
  switch (message.type) {
    case "pre-prepare":
      return onPrePrepare(r, from, message.signed, message.batch);
    case "compact-pre-prepare":
      return onAnnounced(r, from, message.signed);
    case "votes":
      return onVotes(r, from, message.signed);
    case "checkpoint":
      return onCheckpoint(r, from, message.signed);
    case "view-change":
      return onViewChange(r, from, message.signed);
    case "new-view":
      return onNewView(r, from, message.signed);
    case "status":
      return onStatus(r, from, message.status);
    case "forward":
      return onRequest(r, message.bundle);
    case "fetch-batch":
      return onFetchBatch(r, from, message.digest);
    case "fetch-bundles":
      return onFetchBundles(r, from, message);
    case "batch":
      return onBatch(r, from, message.batch);
    case "decision":
      return onDecision(r, from, message.certificate, message.batch);
    case "stable":
      return onStableProof(r, from, message.stable);
    case "recall":
      return onRecall(r, from, message.nonce, message.view);
    case "recalled":
      return onRecalled(r, from, message.recalled);
    default:
      return assertNever(message);
  }
}

function onOwn(r: Replica, signed: OwnMessage): void {
  const { body } = signed;
  assert(body.sender === r.self, `own ${body.type} names replica ${body.sender} as sender`);
  switch (body.type) {
    case "pre-prepare":
      return onOwnPrePrepare(r, { body, bytes: signed.bytes });
    case "votes":
      return onVotes(r, r.self, { body, bytes: signed.bytes });
    case "checkpoint":
      return onCheckpoint(r, r.self, { body, bytes: signed.bytes });
    case "view-change":
      return onOwnViewChange(r, { body, bytes: signed.bytes });
    case "new-view":
      return onNewView(r, r.self, { body, bytes: signed.bytes });
    default:
      return assertNever(body);
  }
}
