/** libp2p rejects with Errors, AggregateErrors, DOM events and at times with nothing: one line for any of them. */
export function describe(problem: unknown): string {
  if (problem instanceof AggregateError && problem.errors.length > 0) return problem.errors.map(describe).join("; ");
  if (problem instanceof Error) return problem.message === "" ? problem.name : firstLine(problem.message);
  if (typeof problem === "object" && problem !== null) {
    // A StreamResetEvent or StreamCloseEvent
    if ("error" in problem && problem.error !== undefined) return describe(problem.error);
    if ("type" in problem) return `stream ${String(problem.type)}`;
  }
  return problem === undefined ? "no reason given" : firstLine(String(problem));
}

const firstLine = (text: string): string => text.split("\n", 1)[0]?.slice(0, 300) ?? "";

/** Resolves when `work` settles or `ms` have passed, whichever is first; never rejects. */
export async function settledWithin(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.then(ignore, ignore), timeout]);
  clearTimeout(timer);
}

export const ignore = (): void => undefined;

/** Ends a connection, whatever state it is in: libp2p's own abort throws when part of it is closed already. */
export function reset(connection: { abort(reason: Error): void }, reason: string): void {
  try {
    connection.abort(new Error(reason));
  } catch {
    // What threw is that there was nobody left to say farewell to.
  }
}

/** Runs a handler given to us; what it throws surfaces as uncaught, without unwinding through libp2p or losing what is behind. */
export function shielded(handler: () => void): void {
  try {
    handler();
  } catch (problem) {
    queueMicrotask(() => {
      throw problem;
    });
  }
}
