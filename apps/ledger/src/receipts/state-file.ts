/** Receipts about state on disk: one small JSON document. Only the `receipt` bytes are believed when verifying. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import type { StaleAnswer } from "@narses/client";
import type { ClusterConfig } from "@narses/core";
import { CommandError, EXIT } from "../cli/failure.ts";

const TYPE = "narses-state-receipt";
/** Files above this size are not read: a page of the state, in base64, and the rest. */
const STATE_FILE_BYTES_MAX: number = 32 << 20;

/** Writes to a new file. */
export function saveStateReceipt(file: string, { key, seq, receipt }: StaleAnswer, cluster: ClusterConfig): void {
  const encoded = Buffer.from(receipt).toString("base64");
  writeFileSync(file, `${JSON.stringify({ type: TYPE, version: 1, cluster: cluster.name, block: seq, key, receipt: encoded })}\n`, { flag: "wx" });
}

/** @throws CommandError RECEIPT_FILE, or the error of the file system. */
export function readStateReceipt(file: string): Uint8Array {
  const unreadable = (problem: string): CommandError => new CommandError("RECEIPT_FILE", EXIT.unverified, `${file}: ${problem}`, { field: "file", file });
  if (statSync(file).size > STATE_FILE_BYTES_MAX) throw unreadable(`is larger than ${STATE_FILE_BYTES_MAX} bytes`);
  let value: { type?: unknown; version?: unknown; receipt?: unknown };
  try {
    value = (JSON.parse(readFileSync(file, "utf8")) ?? {}) as typeof value;
  } catch {
    throw unreadable("is not JSON; it is damaged or no proof");
  }
  if (value.type !== TYPE || value.version !== 1 || typeof value.receipt !== "string") throw unreadable(`is no proof: it needs "type": "${TYPE}", "version": 1 and "receipt"`);
  return new Uint8Array(Buffer.from(value.receipt, "base64"));
}
