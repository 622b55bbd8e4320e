/** What a process that is a replica and little else sets of its JavaScript engine. */
import { setFlagsFromString } from "node:v8";

/**
 * How much the heap may grow over what was alive at the last collection. By itself V8 lets so small a heap grow by little more than half before it
 * marks all of it again: a replica under load makes garbage so fast that a fifth of its CPU time goes into marking (`bench/README.md`).
 */
const HEAP_GROWING_PERCENT = 200;

/** The flag, as V8 knows it. */
export const HEAP_GROWING_FLAG: string = `--heap-growing-percent=${HEAP_GROWING_PERCENT}`;

/**
 * Trades some 20 MB of memory for a quarter less CPU time of a loaded replica. For the whole process, at any time: a library must not decide it,
 * so a daemon calls it before `startReplica`.
 */
export function tuneProcess(): void {
  setFlagsFromString(HEAP_GROWING_FLAG);
}
