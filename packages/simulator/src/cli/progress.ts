/** A progress bar on a terminal; elsewhere a line now and then, so that logs stay short. Writes to stderr: stdout is for results. */
import process from "node:process";

/** Between two lines when nobody watches, milliseconds. */
const QUIET_INTERVAL_MS = 30_000;
const LIVE_INTERVAL_MS = 100;
const BAR_COLUMNS = 28;

export interface Progress {
  /** `done` of the total given; `note` stands behind the bar. */
  update(done: number, note: string): void;
  /** A line above the bar. */
  say(line: string): void;
  end(): void;
}

export const clock = (ms: number): string => {
  const seconds = Math.round(ms / 1000);
  return seconds < 3600 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
};

/** @param already work done in an earlier session: not counted for the estimate of what is left. */
export function createProgress(total: number, what: string, already: number = 0): Progress {
  const live = process.stderr.isTTY === true && process.env["TERM"] !== "dumb";
  const started = process.hrtime.bigint();
  let last = Number.NEGATIVE_INFINITY;
  const elapsed = (): number => Number(process.hrtime.bigint() - started) / 1e6;
  const clear = (): void => {
    if (live) process.stderr.write("\r\u001b[2K");
  };
  const line = (done: number, note: string): string => {
    const fresh = done - already;
    const left = fresh > 0 && done < total ? `, ${clock((elapsed() / fresh) * (total - done))} left` : "";
    const filled = Math.floor((BAR_COLUMNS * done) / Math.max(1, total));
    const bar = live ? `[${"█".repeat(filled)}${"·".repeat(BAR_COLUMNS - filled)}] ` : "";
    const share = Math.floor((100 * done) / Math.max(1, total));
    return `${bar}${done.toLocaleString("en")} of ${total.toLocaleString("en")} ${what} (${share} %), ${clock(elapsed())}${left}${note === "" ? "" : `; ${note}`}`;
  };
  return {
    update: (done, note) => {
      const now = elapsed();
      if (now - last < (live ? LIVE_INTERVAL_MS : QUIET_INTERVAL_MS) && done < total) return;
      last = now;
      clear();
      const text = line(done, note);
      process.stderr.write(live ? text.slice(0, Math.max(20, (process.stderr.columns ?? 100) - 1)) : `${text}\n`);
    },
    say: (text) => {
      clear();
      process.stderr.write(`${text}\n`);
      last = Number.NEGATIVE_INFINITY;
    },
    end: clear,
  };
}
