/** Who the primary probably is: a hint for the first send, never for safety. */
import { primaryOf, view, type Quorums, type ReplicaId, type View } from "@narses/core";

export interface ViewHint {
  /** reported[r]: the highest view replica r has named; 0 until it has. */
  readonly reported: number[];
}

export const createViewHint = (n: number): ViewHint => ({ reported: new Array<number>(n).fill(0) });

export function reportView(hint: ViewHint, from: ReplicaId, reported: View): void {
  hint.reported[from] = Math.max(hint.reported[from] ?? 0, reported);
}

/** The W-th highest report: at least one correct replica has been in it or above, and f liars cannot raise it. */
export function believedView(hint: ViewHint, quorums: Quorums): View {
  const sorted = [...hint.reported].sort((a, b) => b - a);
  return view(sorted[quorums.weak - 1] ?? 0);
}

export const believedPrimary = (hint: ViewHint, quorums: Quorums): ReplicaId => primaryOf(believedView(hint, quorums), quorums.n);
