/** Helps the compiler to infer the types of a state machine; does nothing at run time. */
import type { StateMachine } from "@narses/core";

export function defineStateMachine<Op = unknown, Result = unknown, Question = unknown, Answer = unknown>(
  machine: StateMachine<Op, Result, Question, Answer>,
): StateMachine<Op, Result, Question, Answer> {
  return machine;
}
