/** Exit codes: they name the class of what happened. */
export const EXIT = {
  ok: 0,
  /** An exception or a broken invariant in a correct replica. */
  crash: 1,
  safety: 2,
  liveness: 3,
  /** Nothing failed, but the run did not test what it is there to test: a rule or fault that never happened, a seeded bug that lived. */
  coverage: 4,
  usage: 64,
  /** A fault of this program. */
  tool: 70,
  /** SIGINT or SIGTERM in a campaign: what is done is kept. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
