/**
 * One process, one data directory, one replica. The lock is LevelDB's: a kernel (fcntl) lock on a file, which ends with the
 * process however it ends, so there is no stale lock to judge and no race in taking one over. Beside it lies `holder.json`,
 * which only serves to name the holder; it is believed if its process exists and was started when the file says.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { NarsesError, type Digest, type ReplicaId, type View } from "@narses/core";
import { ClassicLevel } from "classic-level";
import { dataCorrupt } from "./errors.ts";
import { attempt, errnoOf, joinPath, syncParent } from "./files/file-system.ts";
import { nodeFileSystem } from "./files/node-file-system.ts";
import { openLevel, type Level } from "./level.ts";
import { createSuperblock, readSuperblock, superblockExists, updateSuperblock, type Superblock } from "./superblock.ts";

export interface Identity {
  readonly clusterId: Digest;
  readonly replica: ReplicaId;
}

/** A data directory this process holds, until `release` or its end. */
export interface DataDirectory extends Identity {
  readonly path: string;
  /** Where the stores belong. */
  readonly votes: string;
  readonly state: string;
  readonly blocks: string;
  /** How many processes have held the directory, this one included; never the same twice. */
  readonly instance: number;
  /** The stores were made before: pass it as `mustExist` when you open them. */
  readonly initialized: boolean;
  /** The vote log does not hold everything that was said before. */
  readonly votesLost: boolean;
  /** The last view that was left or entered, as far as the superblock knows. */
  readonly view: View | undefined;
  /** Once every store was opened: from now on an empty store is a lost one. `view`: nothing was ever said in a later one. Durable when it returns. */
  markInitialized(view?: View): void;
  /** Before another log takes the place of a lost or damaged one. Durable when it returns. */
  markVotesLost(): void;
  /** Before VIEW-CHANGE for `view` is said, and before the first vote in it. Durable when it returns. */
  noteView(view: View): void;
  release(): Promise<void>;
}

/** A holder that has the lock writes its name within this many tries. */
const HOLDER_TRIES = 20;
const HOLDER_TRY_MS = 25;
const STORES = ["votes", "state", "blocks"] as const;

interface Holder {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot; absent where there is no /proc. */
  readonly startTime?: string;
}

/**
 * Makes the directory (mode 0700) when missing, locks it, and checks whose it is.
 * @throws NarsesError DATA_DIR_LOCKED (`pid` in its data), DATA_DIR_FOREIGN, DATA_CORRUPT, DATA_VERSION, DISK_FAILED.
 */
export async function lockDataDirectory(directory: string, identity: Identity): Promise<DataDirectory> {
  const files = nodeFileSystem;
  const lockPath = joinPath(directory, "lock");
  attempt("creation", directory, () => {
    files.makeDirectory(lockPath);
    files.syncDirectory(directory);
    syncParent(files, directory);
  });
  const lock = await takeLock(directory, lockPath);
  try {
    const holderPath = joinPath(directory, "holder.json");
    const startTime = processStartTime(process.pid);
    const holder: Holder = startTime === undefined ? { pid: process.pid } : { pid: process.pid, startTime };
    attempt("writing", holderPath, () => writeFileSync(holderPath, JSON.stringify(holder), { mode: 0o600 }));
    return new Held(directory, lock, enter(directory, identity));
  } catch (error) {
    await lock.close();
    throw error;
  }
}

class Held implements DataDirectory {
  readonly path: string;
  readonly votes: string;
  readonly state: string;
  readonly blocks: string;
  #block: Superblock;
  readonly #lock: Level;

  constructor(path: string, lock: Level, block: Superblock) {
    this.path = path;
    this.votes = joinPath(path, "votes");
    this.state = joinPath(path, "state");
    this.blocks = joinPath(path, "blocks");
    this.#lock = lock;
    this.#block = block;
  }

  get clusterId(): Digest {
    return this.#block.clusterId;
  }

  get replica(): ReplicaId {
    return this.#block.replica;
  }

  get instance(): number {
    return this.#block.instance;
  }

  get initialized(): boolean {
    return this.#block.initialized;
  }

  get votesLost(): boolean {
    return this.#block.votesLost;
  }

  get view(): View | undefined {
    return this.#block.view;
  }

  markInitialized(view?: View): void {
    if (!this.#block.initialized) this.#update({ initialized: true, view });
  }

  markVotesLost(): void {
    if (!this.#block.votesLost) this.#update({ votesLost: true });
  }

  /** What is unknown stays unknown: an earlier view may have been a later one. */
  noteView(view: View): void {
    const known = this.#block.view;
    if (known !== undefined && view > known) this.#update({ view });
  }

  #update(change: Partial<Superblock>): void {
    const block = { ...this.#block, ...change };
    updateSuperblock(nodeFileSystem, this.path, block);
    this.#block = block;
  }

  async release(): Promise<void> {
    if (this.#lock.status !== "open") return;
    rmSync(joinPath(this.path, "holder.json"), { force: true });
    await this.#lock.close();
  }
}

/** Whose directory is it? Counts this instance. */
function enter(directory: string, identity: Identity): Superblock {
  const files = nodeFileSystem;
  if (!superblockExists(files, directory)) {
    const store = STORES.find((name) => files.exists(joinPath(directory, name)));
    if (store !== undefined) {
      const remedy = "it is unknown whose data this is; restore the file, or give the replica a new key and an empty directory";
      throw dataCorrupt(`${directory} holds "${store}" but no superblock`, remedy, { file: joinPath(directory, "superblock") });
    }
    const block: Superblock = { ...identity, instance: 1, initialized: false, votesLost: false, view: undefined };
    createSuperblock(files, directory, block);
    return block;
  }
  const block = readSuperblock(files, directory);
  const { clusterId, replica } = identity;
  if (block.clusterId !== clusterId || block.replica !== replica) {
    const found = { clusterId: block.clusterId, replica: block.replica };
    throw new NarsesError(
      "DATA_DIR_FOREIGN",
      `${directory} belongs to replica ${found.replica} of cluster ${found.clusterId}, but this is replica ${replica} of cluster ${clusterId}: ` +
        "use another directory",
      { path: directory, found, expected: { clusterId, replica } },
    );
  }
  const next = { ...block, instance: block.instance + 1 };
  updateSuperblock(files, directory, next);
  return next;
}

async function takeLock(directory: string, lockPath: string): Promise<Level> {
  const open = (): Promise<Level> => openLevel(lockPath, { writeBufferSize: 64 << 10, cacheSize: 64 << 10, maxOpenFiles: 8 });
  try {
    return await open();
  } catch (error) {
    if (error instanceof NarsesError && error.code === "DATA_DIR_LOCKED") throw await lockedBy(directory, error);
    if (!(error instanceof NarsesError && error.code === "DATA_CORRUPT")) throw error;
    // The lock database holds no data, so damage in it must not keep a replica from starting.
    await ClassicLevel.destroy(lockPath);
    return open();
  }
}

async function lockedBy(directory: string, cause: unknown): Promise<NarsesError> {
  let holder = liveHolder(directory);
  for (let tries = 1; tries < HOLDER_TRIES && holder === undefined; tries++) {
    await delay(HOLDER_TRY_MS);
    holder = liveHolder(directory);
  }
  const who = holder === undefined ? "another process" : `process ${holder.pid}${holder.pid === process.pid ? " (this one)" : ""}`;
  const message = `data directory ${directory} is in use by ${who}: stop it first, or use another directory`;
  return new NarsesError("DATA_DIR_LOCKED", message, { path: directory, pid: holder?.pid }, { cause });
}

/** The holder that holder.json names, unless that process is gone or another one has its number by now. */
function liveHolder(directory: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(joinPath(directory, "holder.json"), "utf8")) as Partial<Holder> | null;
    if (typeof holder?.pid !== "number") return undefined;
    const { pid, startTime } = holder;
    if (!isAlive(pid)) return undefined;
    if (startTime === undefined) return { pid };
    return processStartTime(pid) === startTime ? { pid, startTime } : undefined;
  } catch {
    return undefined; // no file, or half a file
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === "EPERM"; // it exists and belongs to another user
  }
}

function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses and may hold anything; the 22nd is the 20th after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
