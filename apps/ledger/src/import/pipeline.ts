/** Keeps a cluster busy: a few chunks of work in flight, each submitted in one turn so that it travels as one bundle. */

export interface PipelineOptions {
  readonly chunk: number;
  readonly chunksInFlight: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before each chunk; a pace-maker waits in it. */
  readonly before?: ((started: number) => Promise<void>) | undefined;
}

/**
 * Runs `task` for each item, `chunk × chunksInFlight` at once at most, started in order. The first failure stops the start
 * of further chunks and is thrown when those in flight have ended; so is the reason of the signal.
 */
export async function pipeline<T>(items: readonly T[], task: (item: T) => Promise<void>, options: PipelineOptions): Promise<void> {
  let next = 0;
  let failure: { readonly reason: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const start = next;
      next += options.chunk;
      await options.before?.(start);
      if (options.signal?.aborted === true) failure ??= { reason: options.signal.reason };
      if (failure !== undefined) return;
      const results = await Promise.allSettled(items.slice(start, start + options.chunk).map(task));
      const failed = results.find((result) => result.status === "rejected");
      if (failed?.status === "rejected") failure ??= { reason: failed.reason };
    }
  };
  await Promise.all(Array.from({ length: options.chunksInFlight }, worker));
  if (failure !== undefined) throw failure.reason;
}
