/** `#key-file` in Node: key files on disk. Synchronous: they are read once, at start. */
import { randomBytes } from "node:crypto";
import { closeSync, constants, fstatSync, fsyncSync, linkSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { fromHex, NarsesError, toHex } from "@narses/core";
import {
  describeKey,
  KEY_FILE_BYTES_MAX,
  KEY_FILE_VERSION,
  keyInvalid,
  openKeyFile,
  parseKeyFile,
  type CreateKeyOptions,
  type KeyFile,
  type KeyFileJson,
  type LoadKeyOptions,
} from "./key-file-format.ts";
import { decryptSeed, encryptSeed } from "./seed-encryption.ts";
import { generateSeed } from "./seeds.ts";

const codeOf = (error: unknown): string | undefined => (error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined);
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function writeDurably(path: string, text: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes the name durable. Windows cannot open a directory and needs no such call. */
function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  const directory = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** The name appears with all of its content or not at all, and never replaces a file: link(2) fails when the name is taken. */
function createExclusively(path: string, text: string): void {
  const temporary = `${path}.${toHex(randomBytes(6))}.tmp`;
  try {
    writeDurably(temporary, text);
    linkSync(temporary, path);
  } finally {
    try {
      unlinkSync(temporary);
    } catch {
      // Never created, or left behind: the error that matters is the one under way.
    }
  }
  syncDirectory(dirname(path));
}

/**
 * Writes a new key file, mode 0600.
 * @throws NarsesError KEY_EXISTS when there is a file of that name (it is left alone), DISK_FAILED when it cannot be written.
 * @throws RangeError when the seed has not 32 bytes or the passphrase is empty.
 */
export function createKeyFile(path: string, options: CreateKeyOptions): KeyFile {
  const { kind, passphrase } = options;
  if (passphrase === "") throw new RangeError("the passphrase is empty: give one, or none for a file that is not encrypted");
  const key = describeKey(kind, options.seed ?? generateSeed());
  const { seed, ...names } = key;
  const secret = passphrase === undefined ? { seed: toHex(seed) } : { encrypted: encryptSeed(seed, passphrase) };
  const json: KeyFileJson = { version: KEY_FILE_VERSION, ...names, ...secret };
  try {
    createExclusively(path, `${JSON.stringify(json, undefined, 2)}\n`);
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") {
      throw new NarsesError("KEY_EXISTS", `key file ${path} exists and is never overwritten; give another name, or move it away first`, { path }, { cause });
    }
    throw new NarsesError("DISK_FAILED", `key file ${path} cannot be written: ${reasonOf(cause)}; check the directory and its permissions`, { path }, { cause });
  }
  return key;
}

function readKeyFile(path: string): string {
  let file: number;
  try {
    // O_NONBLOCK: a name that is a pipe must not hang the process.
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") throw keyInvalid(path, "there is no such file; create a key, or correct the path", cause);
    throw keyInvalid(path, `cannot be opened: ${reasonOf(cause)}; check its owner and permissions`, cause);
  }
  try {
    // The open file is examined, not its name, so that it cannot be exchanged in between.
    const { mode, size } = fstatSync(file);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw keyInvalid(path, "is not a regular file; correct the path");
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(3, "0");
      throw keyInvalid(path, `mode ${octal} lets other users read or change it; run: chmod 600 ${path}`);
    }
    if (size > KEY_FILE_BYTES_MAX) throw keyInvalid(path, `has ${size} bytes, more than the ${KEY_FILE_BYTES_MAX} a key file may have; correct the path`);
    const bytes = Buffer.alloc(KEY_FILE_BYTES_MAX);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) read = readSync(file, bytes, length, bytes.length - length, null);
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(file);
  }
}

/**
 * Reads a key file and checks that its public keys belong to its seed.
 * @throws NarsesError KEY_INVALID when it is missing, readable by others, damaged or edited; KEY_PASSPHRASE when it is
 * encrypted and the passphrase is missing or wrong.
 */
export function loadKeyFile(path: string, options: LoadKeyOptions = {}): KeyFile {
  const file = parseKeyFile(path, readKeyFile(path));
  if ("seed" in file) return openKeyFile(path, file, fromHex(file.seed));
  if (options.passphrase === undefined) throw new NarsesError("KEY_PASSPHRASE", `key file ${path} is encrypted: give its passphrase`, { path });
  return openKeyFile(path, file, decryptSeed(path, file.encrypted, options.passphrase));
}
