/** What the demo shows while it runs: on a terminal a few lines that change in place, elsewhere a line for each event. */
import type { Output, Stream } from "../cli/output.ts";

const REDRAW_MS = 100;

export interface Screen {
  /** A line that stays. */
  say(text: string): void;
  /** Lines that change in place; on anything but a terminal, `milestone` lines are printed instead. */
  show(lines: readonly string[]): void;
  milestone(text: string): void;
  /** Takes the changing lines away. */
  clear(): void;
}

export function createScreen(stream: Stream, options: { readonly live: boolean }): Screen {
  let drawn = 0;
  let lines: readonly string[] = [];
  let last = 0;
  const erase = (): void => {
    if (drawn > 0) stream.write(`\u001b[${drawn}A\u001b[0J`);
    drawn = 0;
  };
  const draw = (): void => {
    erase();
    const width = (stream.columns ?? 100) - 1;
    for (const line of lines) stream.write(`${line.slice(0, width)}\n`);
    drawn = lines.length;
    last = performance.now();
  };
  return {
    say: (text) => {
      erase();
      stream.write(`${text}\n`);
      if (lines.length > 0) draw();
    },
    show: (next) => {
      if (!options.live) return;
      lines = next;
      if (performance.now() - last >= REDRAW_MS) draw();
    },
    milestone: (text) => {
      if (!options.live) stream.write(`${text}\n`);
    },
    clear: () => {
      erase();
      lines = [];
    },
  };
}

/** Seconds since the demo began, in front of each line that stays. */
export const stamp = (output: Output, startedMs: number): string =>
  output.style("dim", `${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(5)} s `);
