/**
 * The superblock: whose data directory this is. Four copies, each in a block of its own with its own checksum; an update
 * rewrites one copy at a time, damaged and outdated ones first, so that a crash at any moment leaves a valid one.
 */
import { crc32 } from "node:zlib";
import { digest, fromHex, replicaId, toHex, view as toView, type Digest, type ReplicaId, type View } from "@narses/core";
import { getU32, getU64, putU32, putU64 } from "./bytes.ts";
import { dataCorrupt, dataVersion } from "./errors.ts";
import { attempt, joinPath, syncParent, type File, type FileSystem } from "./files/file-system.ts";

export const DATA_FORMAT_VERSION = 1;

export interface Superblock {
  readonly clusterId: Digest;
  readonly replica: ReplicaId;
  /** How many processes have held the directory, this one included: ≥ 1, distinct per process. */
  readonly instance: number;
  /** The stores of this directory were made: from now on an empty one is a lost one. */
  readonly initialized: boolean;
  /** The vote log was found lost or damaged, or its directory was: it does not hold everything that was said before. */
  readonly votesLost: boolean;
  /** The last view that this replica left or entered; undefined when a loss has made it unknown. */
  readonly view: View | undefined;
}

const COPIES = 4;
const COPY_BYTES = 4_096;
const FIELDS_BYTES = 76;
const MAGIC = 0x4e52_5342; // "NRSB"
const INITIALIZED = 1;
const VOTES_LOST = 2;

function encode(block: Superblock, update: number, copy: number): Uint8Array {
  const bytes = new Uint8Array(COPY_BYTES);
  putU32(bytes, 0, MAGIC);
  putU32(bytes, 4, DATA_FORMAT_VERSION);
  putU64(bytes, 8, update);
  putU32(bytes, 16, copy);
  bytes.set(fromHex(block.clusterId), 20);
  putU32(bytes, 52, block.replica);
  putU64(bytes, 56, block.instance);
  putU32(bytes, 64, (block.initialized ? INITIALIZED : 0) | (block.votesLost ? VOTES_LOST : 0));
  putU32(bytes, 68, block.view === undefined ? 0 : block.view + 1);
  putU32(bytes, FIELDS_BYTES - 4, crc32(bytes.subarray(0, FIELDS_BYTES - 4)));
  return bytes;
}

interface Copy {
  readonly update: number;
  readonly block: Superblock;
}

interface Newest extends Copy {
  /** The copies, oldest first; damaged ones count as oldest. */
  readonly order: readonly number[];
}

function decode(bytes: Uint8Array, copy: number, path: string): Copy | undefined {
  if (getU32(bytes, 0) !== MAGIC || getU32(bytes, 16) !== copy) return undefined;
  if (getU32(bytes, FIELDS_BYTES - 4) !== crc32(bytes.subarray(0, FIELDS_BYTES - 4))) return undefined;
  const version = getU32(bytes, 4);
  if (version !== DATA_FORMAT_VERSION) throw dataVersion(path, version, DATA_FORMAT_VERSION);
  const block = {
    clusterId: digest(toHex(bytes.subarray(20, 52))),
    replica: replicaId(getU32(bytes, 52)),
    instance: getU64(bytes, 56),
    initialized: (getU32(bytes, 64) & INITIALIZED) !== 0,
    votesLost: (getU32(bytes, 64) & VOTES_LOST) !== 0,
    view: getU32(bytes, 68) === 0 ? undefined : toView(getU32(bytes, 68) - 1),
  };
  return { update: getU64(bytes, 8), block };
}

const superblockPath = (directory: string): string => joinPath(directory, "superblock");

export const superblockExists = (files: FileSystem, directory: string): boolean => files.exists(superblockPath(directory));

/** @throws NarsesError DATA_CORRUPT when no copy is valid, DATA_VERSION, DISK_FAILED. */
export function readSuperblock(files: FileSystem, directory: string): Superblock {
  return readNewest(files, superblockPath(directory)).block;
}

function readNewest(files: FileSystem, path: string): Newest {
  const bytes = attempt("reading", path, () => {
    const file = files.open(path, "existing");
    try {
      const all = new Uint8Array(COPIES * COPY_BYTES);
      file.read(all, 0);
      return all;
    } finally {
      file.close();
    }
  });
  const part = (copy: number): Uint8Array => bytes.subarray(copy * COPY_BYTES, (copy + 1) * COPY_BYTES);
  const copies = Array.from({ length: COPIES }, (_, copy) => decode(part(copy), copy, path));
  const order = copies.map((_, copy) => copy).sort((a, b) => (copies[a]?.update ?? 0) - (copies[b]?.update ?? 0));
  const newest = copies[order.at(-1) ?? 0];
  if (newest === undefined) {
    const remedy = "it is unknown what this replica has promised; give it a new key and an empty data directory";
    throw dataCorrupt(`none of the ${COPIES} copies in ${path} is valid`, remedy, { file: path, offset: 0 });
  }
  return { ...newest, order };
}

/** Durable when it returns. */
export function createSuperblock(files: FileSystem, directory: string, block: Superblock): void {
  const path = superblockPath(directory);
  const temporary = `${path}.tmp`;
  attempt("creation", path, () => {
    if (files.exists(temporary)) files.unlink(temporary);
    withFile(files.open(temporary, "create"), (file) => {
      for (let copy = 0; copy < COPIES; copy++) file.write([encode(block, 1, copy)], copy * COPY_BYTES);
      file.sync();
    });
    files.rename(temporary, path);
    syncParent(files, path);
  });
}

/** Rewrites every copy, damaged ones too. Durable when it returns. */
export function updateSuperblock(files: FileSystem, directory: string, block: Superblock): void {
  const path = superblockPath(directory);
  const { update, order } = readNewest(files, path);
  attempt("update", path, () => withFile(files.open(path, "existing"), (file) => {
    for (const copy of order) {
      file.write([encode(block, update + 1, copy)], copy * COPY_BYTES);
      file.sync();
    }
  }));
}

function withFile(file: File, body: (file: File) => void): void {
  try {
    body(file);
  } finally {
    file.close();
  }
}
