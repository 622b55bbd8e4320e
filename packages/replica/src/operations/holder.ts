/** Whether a process runs on a data directory, without taking its lock: a look must not keep a replica from starting. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { NarsesError } from "@narses/core";
import * as z from "zod";

/** `holder.json`, as the storage package writes it beside the lock. */
const schema = z.object({ pid: z.int().min(1), startTime: z.string().optional() });

/** @throws NarsesError DATA_DIR_LOCKED naming the process. */
export function assertStopped(dataDirectory: string): void {
  const pid = liveHolder(dataDirectory);
  if (pid === undefined) return;
  throw new NarsesError(
    "DATA_DIR_LOCKED",
    `data directory ${dataDirectory} is in use by process ${pid}: ask the running replica instead, or stop it first`,
    { path: dataDirectory, pid },
  );
}

function liveHolder(dataDirectory: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(join(dataDirectory, "holder.json"), "utf8");
  } catch {
    return undefined; // removed when a replica stops
  }
  const holder = schema.safeParse(parse(text));
  if (!holder.success || !isAlive(holder.data.pid)) return undefined;
  const { pid, startTime } = holder.data;
  // After a crash the number may belong to another process by now.
  return startTime === undefined || startTimeOf(pid) === startTime ? pid : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // half written
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // it exists and belongs to another user
  }
}

/** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses and may hold anything; the 22nd is the 20th after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
