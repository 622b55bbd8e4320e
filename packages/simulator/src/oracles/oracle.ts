/** What an oracle may watch. Only correct replicas are shown to it; it keeps its own books and throws a Violation. */
import type { Bundle, Effect, EngineStatus, Input, ReplicaId, Signed, SignedBody, StableCheckpoint } from "@narses/core";
import type { Answer, SimBlock, State } from "../app.ts";
import type { WatchedDisk, WatchedLog } from "../node.ts";
import { Violation } from "../violation.ts";

export interface Watched {
  readonly id: ReplicaId;
  readonly name: string;
}

export interface Oracle {
  readonly name: string;
  onInput?(replica: Watched, input: Input): void;
  /** Before the effect happens, in the order of the effect list. */
  onEffect?(replica: Watched, effect: Effect): void;
  onSigned?(replica: Watched, signed: Signed<SignedBody>): void;
  onExecuted?(replica: Watched, block: SimBlock, state?: State): void;
  /** A replica comes up, with what its disk still holds. */
  onStart?(replica: Watched, disk: WatchedDisk): void;
  /** A replica took over the state as of a certified checkpoint, and executes on from there. */
  onTransferred?(replica: Watched, stable: StableCheckpoint): void;
  /** After every turn. */
  onTurnEnd?(replica: Watched): void;
  /** After some turns: status is costly to ask for. */
  onTurn?(replica: Watched, status: EngineStatus, disk: WatchedLog): void;
  onSubmitted?(bundle: Bundle): void;
  onAccepted?(bundle: Bundle, answer: Answer): void;
  /** A line of the trace that is no message, input or effect: faults, repairs, lives. */
  onNote?(text: string, who: string | undefined): void;
  /** Once, when the run is over and nothing else has fired. */
  atEnd?(): void;
}

export const fail = (oracle: string, message: string): never => {
  throw new Violation("safety", oracle, message);
};
