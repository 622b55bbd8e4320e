/**
 * What the clients of a run saw: one entry per operation, on the virtual clock. Recorded at the clients, so it says nothing about
 * how the cluster came to its answers; the two checkers beside this file judge it.
 */

export interface HistoryEntry<Input = unknown, Output = unknown> {
  /** Names the operation: unique in a run. */
  readonly id: string;
  readonly input: Input;
  /** Virtual time of submission. */
  readonly invokedAt: number;
  /** Undefined: no answer was accepted. The operation may have taken effect, may yet, or never will. */
  readonly returned: { readonly at: number; readonly output: Output } | undefined;
}

/** Collects entries as clients submit and accept. */
export class History<Input, Output> {
  private readonly byId = new Map<string, HistoryEntry<Input, Output>>();

  /** A retry of the same operation keeps its first time. */
  invoke(id: string, input: Input, at: number): void {
    if (!this.byId.has(id)) this.byId.set(id, { id, input, invokedAt: at, returned: undefined });
  }

  /** The first accepted answer counts; a later one for the same operation is another matter (exactly-once), and kept by its oracle. */
  accept(id: string, output: Output, at: number): void {
    const entry = this.byId.get(id);
    if (entry !== undefined && entry.returned === undefined) this.byId.set(id, { ...entry, returned: { at, output } });
  }

  get entries(): readonly HistoryEntry<Input, Output>[] {
    return [...this.byId.values()];
  }
}
