import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { NarsesError, digest, seqNum, type Block, type Digest, type ErrorCode, type Hasher } from "@narses/core";
import { sha256 } from "@narses/crypto";
import { expect, onTestFinished } from "vitest";
import type { BlockCodec } from "../src/index.ts";

export const hasher: Hasher = { sha256 };

/** A fresh directory, removed after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "narses-storage-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The files of an open database as they are at this moment: what a killed process would leave. */
export function copyOfFiles(directory: string): string {
  const copy = join(temporaryDirectory(), "copy");
  cpSync(directory, copy, { recursive: true });
  return copy;
}

export async function failure(body: () => unknown): Promise<NarsesError> {
  try {
    await body();
  } catch (error) {
    if (error instanceof NarsesError) return error;
    throw error;
  }
  throw new TypeError("expected a NarsesError, nothing was thrown");
}

export async function expectCode(code: ErrorCode, body: () => unknown): Promise<NarsesError> {
  const error = await failure(body);
  expect(error.code).toBe(code);
  return error;
}

/** `length` bytes that differ for every `id`. */
export function payload(id: number, length = 100): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i < 4 ? id >>> (8 * i) : id * 31 + i * 7));
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const hexes = (list: readonly Uint8Array[]): string[] => list.map(hex);
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

const someDigest = (id: number): Digest => digest(id.toString(16).padStart(64, "0"));

export function block(seq: number, mark = 0): Block {
  const roots = { batchDigest: someDigest(1), bundleRoot: someDigest(2), resultRoot: someDigest(3), stateRoot: someDigest(4) };
  const header = { seq: seqNum(seq), parent: someDigest(seq), timestampMs: 1_000 + mark, ...roots };
  return { header, batch: undefined, results: [[payload(seq, 20)]], certificate: undefined };
}

/** The stores treat blocks as opaque: any faithful codec does. */
export const jsonCodec: BlockCodec = {
  encodeBlock: ({ header, results }) => utf8(JSON.stringify({ header, results: results.map((r) => r.map(hex)) })),
  decodeBlock: (bytes) => {
    const { header, results } = JSON.parse(Buffer.from(bytes).toString()) as { header: Block["header"]; results: string[][] };
    const fromHexText = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
    return { header, batch: undefined, results: results.map((r) => r.map(fromHexText)), certificate: undefined };
  },
};

export interface Child {
  readonly process: ChildProcess;
  /** The next line of its output; undefined at the end. Only without `stdout`. */
  line(): Promise<string | undefined>;
  kill(): Promise<void>;
}

/** Runs a script of this folder in a process of its own. */
export function startChild(script: string, options: { readonly stdout?: number }, ...args: readonly string[]): Child {
  const root = new URL("../../..", import.meta.url).pathname;
  const path = new URL(script, import.meta.url).pathname;
  const argv = ["--import", "tsx", "--conditions=@narses/source", path, ...args];
  const child = spawn(process.execPath, argv, { cwd: root, stdio: ["pipe", options.stdout ?? "pipe", "inherit"] });
  const lines = child.stdout === null ? undefined : createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  onTestFinished(kill);
  return { process: child, line: async () => ((await lines?.next()) as { value?: string } | undefined)?.value, kill };
}
