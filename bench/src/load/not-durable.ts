/**
 * With NARSES_BENCH_NOT_DURABLE=1 this process waits for no disk: what durability costs is the difference. Never in a program that means it:
 * a replica without it may contradict itself after a power cut. (LevelDB syncs by itself, once a checkpoint; that stays.)
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

export const NOT_DURABLE = "NARSES_BENCH_NOT_DURABLE";

if (process.env[NOT_DURABLE] === "1") {
  fs.fdatasyncSync = () => undefined;
  fs.fsyncSync = () => undefined;
  syncBuiltinESMExports();
}
