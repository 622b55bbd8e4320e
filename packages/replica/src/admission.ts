/**
 * Who may ask for an order: cheap checks first, the signature last. Local and lenient: whatever is decided here, execution
 * decides again by the agreed state. Keeps out what is executed already, so that nobody can have it ordered twice.
 */
import type { Bundle, ClientConnection, Parameters, Rejection, ReplicaId, StateStore, Verified } from "@narses/core";
import { rejection, sessionAnchor } from "@narses/core";
import type { ClientConnections } from "./client-connections.ts";
import { count, type Counters } from "./counters.ts";
import { DecodedSessions } from "./decoded-sessions.ts";
import type { Halt } from "./execution.ts";
import { readReply } from "./executor.ts";
import type { BundleSource, PendingBundles } from "./pending.ts";
import type { KeptReply } from "./reply-record.ts";
import { allExecuted } from "./session.ts";
import { findSession, type SessionAccess } from "./session-table.ts";
import type { SessionName } from "./state-keys.ts";
import type { Verifier } from "./verify.ts";

export type Admission =
  /** For the engine. */
  | { readonly type: "order"; readonly bundle: Verified<Bundle> }
  /** Waits already: its connection will get the reply too, if there is a place for it. */
  | { readonly type: "waiting" }
  /** Executed: the reply is in the block store. */
  | { readonly type: "reply"; readonly record: KeptReply }
  | { readonly type: "refused"; readonly code: string; readonly detail: string };

export interface AdmissionOptions {
  readonly state: Pick<StateStore, "get">;
  /** Shared with the executor, which changes them. */
  readonly sessions?: DecodedSessions;
  readonly parameters: Parameters;
  readonly verifier: Pick<Verifier, "bundle">;
  readonly pending: PendingBundles;
  readonly connections: ClientConnections;
  readonly counters: Counters;
  /** The last slot executed here. */
  readonly executedSeq: () => number;
  /** Why nothing is executed here any more, if so. */
  readonly halted: () => Halt | undefined;
}

export interface AdmissionControl {
  /** A bundle from a client's connection. */
  request(connection: ClientConnection, bundle: Bundle): Admission;
  /** Whether a bundle relayed by a peer is worth its verification; undefined when it is. */
  relayed(from: ReplicaId, bundle: Bundle): Rejection | undefined;
  /** A relayed bundle was verified and goes to the engine. */
  admit(bundle: Bundle, source: BundleSource): void;
  /** Whether every request id of a bundle is done, or its session is; as of now, so to be asked for anew when a slot has run. */
  doneNow(): (bundle: Bundle) => boolean;
  /** Whether a bundle of this session could be executed, as far as this replica knows. */
  isOpen(name: SessionName): boolean;
}

const refused = (code: string, detail: string): Admission => ({ type: "refused", code, detail });

export function createAdmission(options: AdmissionOptions): AdmissionControl {
  return new Gate(options);
}

class Gate implements AdmissionControl {
  readonly #options: AdmissionOptions;
  readonly #sessions: DecodedSessions;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#sessions = options.sessions ?? new DecodedSessions();
  }

  request(connection: ClientConnection, bundle: Bundle): Admission {
    const admission = this.#request(connection, bundle);
    if (admission.type === "refused") count(this.#options.counters.refused, admission.code);
    return admission;
  }

  relayed(from: ReplicaId, bundle: Bundle): Rejection | undefined {
    const judged = this.#judge(bundle, from);
    if (judged === undefined) return undefined;
    if (judged.type === "refused") {
      return rejection(judged.code === "OVERLOADED" ? "QUEUE_FULL" : "DUPLICATE", `relayed bundle ${bundle.digest}: ${judged.detail}`);
    }
    return rejection("DUPLICATE", `relayed bundle ${bundle.digest} ${judged.type === "waiting" ? "waits already" : "is executed already"}`);
  }

  admit(bundle: Bundle, source: BundleSource): void {
    this.#options.counters.bundlesAdmitted++;
    this.#options.pending.add(bundle, source);
  }

  doneNow(): (bundle: Bundle) => boolean {
    // Those of a client come one after the other, and mostly have one session.
    let last: { readonly of: SessionName; readonly access: SessionAccess } | undefined;
    return (bundle) => {
      if (last === undefined || last.of.client !== bundle.client || last.of.session !== bundle.session) last = { of: bundle, access: this.#session(bundle) };
      const { access } = last;
      return access.type === "session" ? allExecuted(access.session, bundle.ridFirst, bundle.operationCount) : access.type === "evicted";
    };
  }

  isOpen(name: SessionName): boolean {
    return this.#session(name).type === "session";
  }

  /** As the next slot will see it. */
  #session(name: SessionName): SessionAccess {
    const { state, parameters, executedSeq } = this.#options;
    const { sessionWindow } = parameters;
    return findSession(state, name, executedSeq() + 1, sessionWindow, this.#sessions.read(state, name, sessionWindow));
  }

  #request(connection: ClientConnection, bundle: Bundle): Admission {
    const { connections, verifier } = this.#options;
    const judged = this.#judge(bundle, connection);
    if (judged !== undefined) {
      // The bytes are right, but anybody may have them, out of a block: they do not prove whose connection it is.
      if (judged.type !== "refused") connections.attach(connection, bundle.client, false);
      return judged;
    }
    const verified = verifier.bundle(bundle);
    if (!verified.ok) {
      connections.offence(connection);
      return refused(verified.rejection.code, verified.rejection.detail);
    }
    connections.attach(connection, bundle.client, true);
    this.admit(bundle, connection);
    return { type: "order", bundle: verified.bundle };
  }

  /** What can be said without the signature; undefined when that is what is left to check. */
  #judge(bundle: Bundle, source: BundleSource): Admission | undefined {
    const { state, pending } = this.#options;
    const halted = this.#options.halted();
    if (halted !== undefined) return refused(halted.code, halted.reason);
    if (pending.has(bundle.digest)) return { type: "waiting" };
    const access = this.#session(bundle);
    switch (access.type) {
      case "evicted":
        return refused("EVICTED", `session ${bundle.session} is not open any more; open another one`);
      case "unknown": {
        // Perhaps this replica is behind. A slot it will execute soon must not be missed for that.
        const anchor = sessionAnchor(bundle.session);
        const known = this.#options.executedSeq() + this.#options.parameters.logWindow;
        if (anchor > known) return refused("SESSION_UNKNOWN", `session ${bundle.session} is anchored at slot ${anchor}, and none above ${known} can be known here`);
        break;
      }
      case "session": {
        const { session } = access;
        if (allExecuted(session, bundle.ridFirst, bundle.operationCount)) {
          const record = readReply(state, session, bundle);
          if (record !== undefined) return { type: "reply", record };
          return refused("ALREADY_EXECUTED", "its request ids are executed, and no result is kept for this bundle");
        }
        // As execution will see it: ids up to ackLow are done by then.
        const low = Math.max(session.low, Math.min(bundle.ackLow, bundle.ridFirst - 1));
        const last = bundle.ridFirst + bundle.operationCount - 1;
        if (last > low + session.window) {
          return refused("OUT_OF_WINDOW", `request id ${last} is above ${low} + ${session.window}: wait for the replies to lower ones`);
        }
      }
    }
    const full = pending.full(bundle, source);
    return full === undefined ? undefined : refused("OVERLOADED", full);
  }
}
