/**
 * The state in LevelDB. Keys: "m", "i" and "a" the small records, "h" ‖ u32 sixteen leaf hashes, "p" ‖ u32 a page, "q" ‖ u32 a
 * staged page, "k/" ‖ key the ordered index (no value). Every write is one batch, synced.
 */
import { setImmediate as turn } from "node:timers/promises";
import { getUtf8, putU32, putUtf8, utf8Length } from "../bytes.ts";
import { levelFailed, openLevel, plain, type Level } from "../level.ts";
import type { BackendSnapshot, RecordKind, StateBackend, StateWrite } from "./backend.ts";

const RECORDS: Readonly<Record<RecordKind, Uint8Array>> = { meta: Uint8Array.of(0x6d), install: Uint8Array.of(0x69), anchor: Uint8Array.of(0x61) };
const LEAVES = 0x68;
const PAGE = 0x70;
const STAGED = 0x71;
const INDEX = "k/";
const NOTHING = new Uint8Array(0);
/** The loop goes on after so many entries of a checkpoint were handed over. */
const ENTRIES_PER_TURN = 256;
const WRITE_BUFFER_BYTES = 8 << 20;

function numbered(kind: number, index: number): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = kind;
  putU32(key, 1, index);
  return key;
}

function indexed(key: string): Uint8Array {
  const bytes = new Uint8Array(INDEX.length + utf8Length(key));
  putUtf8(bytes, putUtf8(bytes, 0, INDEX), key);
  return bytes;
}

class LevelBackend implements StateBackend {
  readonly name: string;
  readonly #db: Level;

  constructor(directory: string, db: Level) {
    this.name = directory;
    this.#db = db;
  }

  record(kind: RecordKind): Promise<Uint8Array | undefined> {
    return this.#rethrow("reading", async () => plain(await this.#db.get(RECORDS[kind])));
  }

  leaves(): AsyncGenerator<readonly [number, Uint8Array]> {
    return this.#numbered(LEAVES);
  }

  staged(): AsyncGenerator<readonly [number, Uint8Array]> {
    return this.#numbered(STAGED);
  }

  async *#numbered(kind: number): AsyncGenerator<readonly [number, Uint8Array]> {
    const range = { gte: numbered(kind, 0), lte: numbered(kind, 0xffff_ffff) };
    try {
      for await (const [key, value] of this.#db.iterator(range)) {
        yield [new DataView(key.buffer, key.byteOffset).getUint32(1), plain(value) ?? NOTHING];
      }
    } catch (error) {
      throw levelFailed("reading", this.name, error);
    }
  }

  page(bucket: number): Uint8Array | undefined {
    try {
      return plain(this.#db.getSync(numbered(PAGE, bucket)));
    } catch (error) {
      throw levelFailed("reading", this.name, error);
    }
  }

  async write(write: StateWrite): Promise<void> {
    await this.#rethrow("writing", async () => {
      const batch = this.#db.batch();
      let entries = 0;
      for (const entry of operations(write)) {
        if (entry.value === undefined) batch.del(entry.key);
        else batch.put(entry.key, entry.value);
        if (++entries % ENTRIES_PER_TURN === 0) await turn();
      }
      await batch.write({ sync: true });
    });
  }

  snapshot(): BackendSnapshot {
    const snapshot = this.#db.snapshot();
    return {
      page: (bucket) => this.#rethrow("reading", async () => plain(await this.#db.get(numbered(PAGE, bucket), { snapshot }))),
      close: () => snapshot.close(),
    };
  }

  async keys(prefix: string, limit: number): Promise<readonly string[]> {
    const from = indexed(prefix);
    // No UTF-8 byte is 0xff, so this is above every key with the prefix.
    const below = new Uint8Array(from.length + 1).fill(0xff);
    below.set(from);
    const keys = await this.#rethrow("reading", () => this.#db.keys({ gte: from, lt: below, limit }).all());
    return keys.map((key) => getUtf8(key, INDEX.length, key.length) ?? "");
  }

  async close(): Promise<void> {
    await this.#db.close();
  }

  async #rethrow<T>(operation: string, body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      throw levelFailed(operation, this.name, error);
    }
  }
}

/** Without a value: the key is deleted. */
interface Operation {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

function* operations({ records, pages, leaves, keys, staged }: StateWrite): Generator<Operation> {
  for (const [bucket, page] of pages ?? []) yield { key: numbered(PAGE, bucket), value: page.length === 0 ? undefined : page };
  for (const [parent, hashes] of leaves ?? []) yield { key: numbered(LEAVES, parent), value: hashes };
  for (const [key, present] of keys ?? []) yield { key: indexed(key), value: present ? NOTHING : undefined };
  for (const [bucket, page] of staged ?? []) yield { key: numbered(STAGED, bucket), value: page };
  for (const [kind, value] of records ?? []) yield { key: RECORDS[kind], value };
}

export async function openLevelBackend(directory: string, mustExist: boolean): Promise<StateBackend> {
  return new LevelBackend(directory, await openLevel(directory, { writeBufferSize: WRITE_BUFFER_BYTES }, mustExist));
}
