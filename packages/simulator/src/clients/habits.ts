/** Clients that do not do as they should. Each habit is a row of FAULTS.md, and is counted once it had an effect. */

export const HABITS = [
  "two-bundles", "partial", "never-acks", "flood", "far-ahead", "old-sessions", "bad-keys", "largest", "malformed", "calls",
] as const;
export type Habit = (typeof HABITS)[number];

/** Need frames, sessions or control calls: whole replicas have them. */
const BYTES_ONLY: ReadonlySet<Habit> = new Set<Habit>(["far-ahead", "old-sessions", "bad-keys", "largest", "malformed", "calls"]);
export const needsBytes = (habit: Habit): boolean => BYTES_ONLY.has(habit);

/** Clumsy rather than hostile: what such a client asks for is due, and what it is told must be right. */
export const isServed = (habit: Habit | undefined): boolean => habit === undefined || habit === "partial" || habit === "never-acks";

export const habitId = (habit: Habit): string => `client: ${habit}`;
