/**
 * From bytes to facts: decodes what came, has it verified or admitted, and hands the engine what is left. Whatever the
 * bytes are, the worst outcome is a rejection: counted, logged at a bounded rate, and held against the sender if proven.
 */
import {
  isStateMessage, rejection, verdict,
  type Bundle, type ClientConnection, type Input, type Logger, type PeerMessage, type Rejection, type ReplicaId, type StateMessage,
} from "@narses/core";
import type { Codec, Decoded } from "@narses/wire";
import type { AdmissionControl } from "./admission.ts";
import type { Assembly, Completed, Refused } from "./assembly.ts";
import type { ClientConnections } from "./client-connections.ts";
import type { Control } from "./control.ts";
import { count, type Counters } from "./counters.ts";
import type { EvidenceKeeper } from "./evidence.ts";
import type { Item } from "./inbox.ts";
import { describeError, type LogLimiter } from "./log.ts";
import type { Incidents } from "./operations/incidents.ts";
import type { Replies } from "./replies.ts";
import type { Verifier } from "./verify.ts";

export interface ReaderOptions {
  readonly codec: Pick<Codec, "decodePeer" | "decodeClient">;
  readonly verifier: Verifier;
  readonly admission: AdmissionControl;
  readonly assembly: Pick<Assembly, "proposal" | "bundle" | "awaits">;
  readonly replies: Pick<Replies, "resend" | "refuse">;
  readonly control: Control;
  /** State transfer, which no engine sees: both sides of it. */
  readonly state: { message(from: ReplicaId, message: StateMessage): void };
  readonly connections: ClientConnections;
  readonly counters: Counters;
  readonly incidents: Incidents;
  readonly evidence: Pick<EvidenceKeeper, "keep">;
  /** The peer sent what no correct one sends. */
  readonly penalise: (from: ReplicaId) => void;
  readonly logger: Logger;
  readonly limiter: LogLimiter;
}

export type Read = (item: Item) => readonly Input[];

export function createReader(options: ReaderOptions): Read {
  return (item) => {
    switch (item.type) {
      case "input":
        return [item.input];
      case "peer":
        return readPeer(options, item.from, item.frame);
      case "client":
        return readClient(options, item.connection, item.frame);
    }
  };
}

/** The decoder promises not to throw; if it does all the same, these bytes must not bring the replica down. */
function guarded<T>({ logger, limiter }: ReaderOptions, what: string, decode: () => Decoded<T>): Decoded<T> {
  try {
    return decode();
  } catch (error) {
    limiter.line(`decoder ${what}`, (leftOut) => logger.error({ leftOut, error: describeError(error) }, `the decoder failed on a frame of a ${what}`));
    return { ok: false, rejection: rejection("FRAME_MALFORMED", "the decoder failed on it") };
  }
}

// ── peers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function readPeer(options: ReaderOptions, from: ReplicaId, frame: Uint8Array): readonly Input[] {
  const { codec, counters, admission } = options;
  counters.bytesReceived += frame.length;
  const decoded = guarded(options, "replica", () => codec.decodePeer(frame));
  if (!decoded.ok) {
    const guilty = verdict(decoded.rejection) === "misbehaviour" ? [from] : [];
    return rejectPeer(options, { from, what: "frame", problem: decoded.rejection, guilty });
  }
  const message = decoded.value;
  count(counters.received, message.type);
  if (isStateMessage(message)) {
    options.state.message(from, message);
    return [];
  }
  if (message.type === "forward" && options.assembly.awaits(message.bundle.digest)) return settle(options, options.assembly.bundle(message.bundle, true));
  const unwanted = message.type === "forward" ? admission.relayed(from, message.bundle) : undefined;
  if (unwanted !== undefined) return rejectPeer(options, { from, what: message.type, problem: unwanted, guilty: [] });
  return judge(options, from, message);
}

function judge(options: ReaderOptions, from: ReplicaId, message: PeerMessage): readonly Input[] {
  const { verifier, admission, assembly } = options;
  const judgement = verifier.message(from, message);
  if (!judgement.ok) {
    if (judgement.evidence !== undefined) options.evidence.keep(judgement.evidence, judgement.rejection.detail);
    return rejectPeer(options, { from, what: message.type, problem: judgement.rejection, guilty: judgement.guilty });
  }
  if (message.type === "compact-pre-prepare") {
    const settled = assembly.proposal(from, message);
    return [{ type: "message", from, message: judgement.message }, ...(settled === undefined ? [] : settle(options, [settled]))];
  }
  if (message.type === "forward") admission.admit(message.bundle, from);
  return [{ type: "message", from, message: judgement.message }];
}

/** What became of proposals that waited for large bundles: whole ones are judged like any other. */
function settle(options: ReaderOptions, settled: readonly (Completed | Refused)[]): readonly Input[] {
  return settled.flatMap((one) => {
    if ("message" in one) return judge(options, one.from, one.message);
    return rejectPeer(options, { from: one.from, what: "compact-pre-prepare", problem: one.rejection, guilty: one.guilty ? [one.from] : [] });
  });
}

interface PeerRejection {
  readonly from: ReplicaId;
  readonly what: PeerMessage["type"] | "frame";
  readonly problem: Rejection;
  readonly guilty: readonly ReplicaId[];
}

function rejectPeer({ counters, incidents, limiter, logger, penalise }: ReaderOptions, { from, what, problem, guilty }: PeerRejection): readonly Input[] {
  if (guilty.includes(from)) penalise(from);
  count(counters.rejected, problem.code);
  incidents.rejected(from, what, problem);
  for (const replica of guilty) {
    if (replica !== from) incidents.rejected(replica, what, rejection(problem.code, `${problem.detail} (brought by replica ${from})`));
  }
  limiter.line(`peer ${problem.code}`, (leftOut) => {
    const fields = { from, code: problem.code, leftOut };
    const text = `rejected ${what} from replica ${from}: ${problem.detail}`;
    if (guilty.length > 0) logger.warn(fields, text);
    else logger.debug(fields, text);
  });
  return guilty.map((replica) => ({ type: "misbehaviour", replica, rejection: problem }));
}

// ── clients ──────────────────────────────────────────────────────────────────────────────────────────────────────

function readClient(options: ReaderOptions, connection: ClientConnection, frame: Uint8Array): readonly Input[] {
  const { codec, connections, control, counters, incidents, limiter, logger } = options;
  counters.bytesReceived += frame.length;
  if (connections.isMuted(connection)) {
    count(counters.rejected, "RATE_LIMITED");
    return [];
  }
  const decoded = guarded(options, "client", () => codec.decodeClient(frame));
  if (!decoded.ok) {
    const { code, detail } = decoded.rejection;
    const { label } = connection;
    count(counters.rejected, code);
    incidents.rejected(undefined, "frame", decoded.rejection);
    connections.offence(connection);
    limiter.line(`client ${code}`, (leftOut) => logger.info({ connection: label, code, leftOut }, `rejected a frame of client connection ${label}: ${detail}`));
    return [];
  }
  if (decoded.value.type === "request") {
    const { bundle } = decoded.value;
    const asked = request(options, connection, bundle);
    // Even one that is refused here: whether it is executed is not this replica's to say.
    return options.assembly.awaits(bundle.digest) ? [...settle(options, options.assembly.bundle(bundle, false)), ...asked] : asked;
  }
  control.call(connection, decoded.value);
  return [];
}

function request({ admission, replies, limiter, logger }: ReaderOptions, connection: ClientConnection, bundle: Bundle): readonly Input[] {
  const admitted = admission.request(connection, bundle);
  switch (admitted.type) {
    case "order":
      return [{ type: "request", bundle: admitted.bundle }];
    case "waiting":
      return [];
    case "reply":
      replies.resend(connection, bundle, admitted.record);
      return [];
    case "refused": {
      const { code, detail } = admitted;
      const { client } = bundle;
      limiter.line(`refused ${code}`, (leftOut) => logger.debug({ client, code, leftOut }, `refused a bundle of client ${client}: ${detail}`));
      replies.refuse(connection, bundle.digest, code, detail);
      return [];
    }
  }
}
