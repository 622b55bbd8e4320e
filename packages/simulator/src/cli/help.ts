/** What `--help` says besides the options: how one begins, and what the exit codes mean. */
import { EXIT } from "./exit.ts";
import { PROGRAM } from "./program.ts";

const EXAMPLES: readonly (readonly [string, string])[] = [
  ["--app ./my-app.ts --seed 42 --faults byzantine", "an application of yours under one seed"],
  ["--app ./my-app.ts --seeds 1000", "a thousand seeds on all cores: goes on where it was interrupted"],
  ["--app ./my-app.ts --seed 42 --chart out.svg --from 200 --to 260", "the messages of a window, as SVG"],
  ["42 --trace 100", "a built-in application; the last lines of the trace"],
  ["7 --n 4 --byzantine 2 --faults byzantine", "negative control: more than f liars, so an oracle may fire"],
  ["minimise 7 --n 4 --byzantine 2 --faults byzantine --out bug.json", "a failing seed made small, as a file"],
  ["replay bug.json", "the same, from the file"],
];

const EXIT_CODES: readonly (readonly [number, string])[] = [
  [EXIT.ok, "all well"],
  [EXIT.crash, "crash: an exception or a broken invariant in a correct replica"],
  [EXIT.safety, "safety: an oracle saw replicas or answers that contradict each other"],
  [EXIT.liveness, "liveness: what was promised did not come in time after healing"],
  [EXIT.coverage, "nothing failed, but the run did not test what it should"],
  [EXIT.usage, "wrong usage, or a file that cannot be read, written or loaded"],
  [EXIT.tool, "the simulator itself failed"],
  [EXIT.interrupted, "interrupted: what is done is kept, the same command goes on"],
];

export const HELP_AFTER: string = [
  "", "Examples:",
  ...EXAMPLES.map(([args, what]) => `  ${PROGRAM} ${args}\n      ${what}`),
  "", "Exit codes:",
  ...EXIT_CODES.map(([code, what]) => `  ${String(code).padStart(3)}  ${what}`),
].join("\n");
