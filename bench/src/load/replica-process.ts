/** A child process: one replica of the benchmark's application. Argument: its home directory. */
import "./not-durable.ts";
import { createPinoLogger, startReplica, tuneProcess } from "@narses/replica";
import { benchApp } from "../app.ts";
import { serve } from "./ipc.ts";
import { sampleProcess } from "./sample.ts";

tuneProcess(); // as a daemon does
const [home = "."] = process.argv.slice(2);
const replica = await startReplica({ home, app: benchApp, logger: createPinoLogger({ level: "error" }) });
void replica.stopped.then((error) => {
  if (error !== undefined) process.exit(1);
});
serve({
  sample: () => ({ ...sampleProcess(), status: replica.status() }),
  stop: () => replica.stop(),
});
