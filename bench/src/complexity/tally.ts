/** What was counted. Phases are the protocol's; a vote frame counts for the phase of its votes, one with both kinds as `mixed`. */
export const PHASES = ["pre-prepare", "prepare", "commit", "mixed", "checkpoint", "view-change", "new-view", "other"] as const;
export type Phase = (typeof PHASES)[number];

export interface PhaseCount {
  messages: number;
  bytes: number;
  /** Signatures made. */
  made: number;
  /** Signatures of received messages, nested ones too, each distinct envelope once per receiver. */
  checked: number;
  /** Of these, the ones that arrived before the receiver's quorum was complete. */
  needed: number;
}

export interface Tally {
  readonly phases: Record<Phase, PhaseCount>;
  readonly requests: { messages: number; bytes: number; checked: number };
  readonly replies: { messages: number; bytes: number; made: number };
  fsyncs: number;
}

const noCount = (): PhaseCount => ({ messages: 0, bytes: 0, made: 0, checked: 0, needed: 0 });

export function newTally(): Tally {
  return {
    phases: Object.fromEntries(PHASES.map((phase) => [phase, noCount()])) as Record<Phase, PhaseCount>,
    requests: { messages: 0, bytes: 0, checked: 0 },
    replies: { messages: 0, bytes: 0, made: 0 },
    fsyncs: 0,
  };
}

export type PhaseField = keyof PhaseCount;

/** Over several phases. */
export const total = (tally: Tally, field: PhaseField, phases: readonly Phase[] = PHASES): number =>
  phases.reduce((sum, phase) => sum + tally.phases[phase][field], 0);

export const NORMAL: readonly Phase[] = ["pre-prepare", "prepare", "commit", "mixed"];

/** What `whole` holds beyond `part`. */
export function difference(whole: Tally, part: Tally): Tally {
  const minus = <T extends object>(a: T, b: T): T => Object.fromEntries(Object.entries(a).map(([key, value]) => [key, value - ((b as Record<string, number>)[key] ?? 0)])) as T;
  return {
    phases: Object.fromEntries(PHASES.map((phase) => [phase, minus(whole.phases[phase], part.phases[phase])])) as Record<Phase, PhaseCount>,
    requests: minus(whole.requests, part.requests), replies: minus(whole.replies, part.replies), fsyncs: whole.fsyncs - part.fsyncs,
  };
}
