/** The application under simulation: a state machine as it is shipped, and operations for its clients. */
import type { StateMachine } from "@narses/core";
import { counterApp } from "./counter-app.ts";
import type { Random } from "./random.ts";

/** Chance for operations: part of the seed, so that a run can be repeated. */
export type OperationRandom = Pick<Random, "float" | "int" | "chance" | "pick" | "shuffle">;

/** The next operation of client number `client`. Must not use any other source of chance. */
export type NextOperation = (random: OperationRandom, client: number) => unknown;

export interface Application {
  readonly app: StateMachine;
  readonly operation: NextOperation;
  /** Given to `app.genesis`. */
  readonly genesis: unknown;
}

export const COUNTER: Application = { app: counterApp, operation: (random, client) => ({ client, word: random.int(0, 0xffff) }), genesis: null };
