import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { digest, replicaId, view } from "@narses/core";
import { describe, expect, test } from "vitest";
import { lockDataDirectory, MemoryFileSystem } from "../src/index.ts";
import { createSuperblock, readSuperblock, updateSuperblock } from "../src/superblock.ts";
import { expectCode, startChild, temporaryDirectory } from "./helpers.ts";

const CLUSTER = "ab".repeat(32);
const identity = { clusterId: digest(CLUSTER), replica: replicaId(0) };

describe("lock", () => {
  test("a directory is made for its owner alone, and counts the processes that held it", async () => {
    const path = join(temporaryDirectory(), "a", "data");
    const first = await lockDataDirectory(path, identity);
    expect([first.instance, first.initialized, statSync(path).mode & 0o777]).toEqual([1, false, 0o700]);
    first.markInitialized();
    await first.release();
    await first.release();
    const second = await lockDataDirectory(path, identity);
    expect([second.instance, second.initialized, second.votes]).toEqual([2, true, join(path, "votes")]);
    await second.release();
  });

  test("the last view is kept, and never goes back; what a loss has made unknown stays unknown", async () => {
    const path = join(temporaryDirectory(), "data");
    const first = await lockDataDirectory(path, identity);
    expect([first.view, first.votesLost]).toEqual([undefined, false]);
    first.markInitialized(view(0));
    for (const v of [2, 1]) first.noteView(view(v));
    await first.release();
    const second = await lockDataDirectory(path, identity);
    expect([second.view, second.votesLost]).toEqual([2, false]);
    second.markVotesLost();
    await second.release();
    const third = await lockDataDirectory(path, identity);
    expect([third.view, third.votesLost, third.initialized]).toEqual([2, true, true]);
    await third.release();
    const other = await lockDataDirectory(join(temporaryDirectory(), "data"), identity);
    other.markVotesLost();
    other.markInitialized();
    other.noteView(view(5));
    expect([other.view, other.votesLost]).toEqual([undefined, true]);
    await other.release();
  });

  test("another process is refused, and told who holds it; a killed holder is taken over", async () => {
    const path = join(temporaryDirectory(), "data");
    const holder = startChild("./child-lock.ts", {}, path, CLUSTER);
    expect(await holder.line()).toBe("held 1");
    const error = await expectCode("DATA_DIR_LOCKED", () => lockDataDirectory(path, identity));
    expect(error.data["pid"]).toBe(holder.process.pid);
    expect(error.message).toContain(`process ${holder.process.pid}`);
    await holder.kill();
    // holder.json still names the dead process; the kernel's lock is gone with it.
    const mine = await lockDataDirectory(path, identity);
    expect(mine.instance).toBe(2);
    const late = startChild("./child-lock.ts", {}, path, CLUSTER);
    expect(await late.line()).toBe(`DATA_DIR_LOCKED ${process.pid}`);
    await mine.release();
  });

  test("of many processes that start at once after a crash, one gets it", async () => {
    const path = join(temporaryDirectory(), "data");
    const crashed = startChild("./child-lock.ts", {}, path, CLUSTER);
    expect(await crashed.line()).toBe("held 1");
    await crashed.kill();
    const rivals = [1, 2, 3].map(() => startChild("./child-lock.ts", {}, path, CLUSTER));
    const answers = await Promise.all(rivals.map((rival) => rival.line()));
    const winner = rivals[answers.indexOf("held 2")];
    expect(answers.filter((answer) => answer === `DATA_DIR_LOCKED ${winner?.process.pid}`)).toHaveLength(2);
  });

  test("the same process is refused too", async () => {
    const path = temporaryDirectory();
    const mine = await lockDataDirectory(path, identity);
    const error = await expectCode("DATA_DIR_LOCKED", () => lockDataDirectory(path, identity));
    expect(error.message).toContain("this one");
    await mine.release();
  });

  test("a directory of another cluster or replica is refused, naming both, and not held", async () => {
    const path = temporaryDirectory();
    await (await lockDataDirectory(path, identity)).release();
    const other = "cd".repeat(32);
    const error = await expectCode("DATA_DIR_FOREIGN", () => lockDataDirectory(path, { clusterId: digest(other), replica: replicaId(3) }));
    for (const part of [CLUSTER, other, "replica 0", "replica 3"]) expect(error.message).toContain(part);
    const mine = await lockDataDirectory(path, identity);
    expect(mine.instance).toBe(2);
    await mine.release();
  });

  test("stores without a superblock are not adopted; damage to the lock itself is harmless", async () => {
    const path = temporaryDirectory();
    mkdirSync(join(path, "votes"));
    await expectCode("DATA_CORRUPT", () => lockDataDirectory(path, identity));
    rmSync(join(path, "votes"), { recursive: true });
    await (await lockDataDirectory(path, identity)).release();
    writeFileSync(join(path, "lock", "CURRENT"), "MANIFEST-999999\n");
    const mine = await lockDataDirectory(path, identity);
    expect(mine.instance).toBe(2);
    await mine.release();
  });
});

describe("superblock", () => {
  const block = { ...identity, instance: 5, initialized: true, votesLost: false, view: view(3) };
  const PATH = "/data/superblock";

  function made(): Map<string, Uint8Array> {
    const files = new MemoryFileSystem();
    createSuperblock(files, "/data", block);
    return files.contents();
  }

  test("survives damage to all copies but any one, and heals with the next update", () => {
    for (let survivor = 0; survivor < 4; survivor++) {
      const contents = made();
      const bytes = contents.get(PATH);
      for (let copy = 0; copy < 4; copy++) if (copy !== survivor && bytes !== undefined) bytes[copy * 4_096 + 57] = 0xff;
      const files = new MemoryFileSystem({}, contents);
      expect(readSuperblock(files, "/data")).toEqual(block);
      updateSuperblock(files, "/data", { ...block, instance: 6 });
      const healed = files.contents();
      healed.get(PATH)?.fill(0, survivor * 4_096, (survivor + 1) * 4_096);
      expect(readSuperblock(new MemoryFileSystem({}, healed), "/data").instance).toBe(6);
    }
  });

  test("is never lost by a crash in the middle of an update, even when only one copy was left", () => {
    for (let operation = 1; operation <= 12; operation++) {
      for (const survives of [() => true, () => false]) {
        const contents = made();
        contents.get(PATH)?.fill(0, 4_096);
        let count = 0;
        const files = new MemoryFileSystem({ fault: () => (++count === operation ? "EIO" : undefined) }, contents);
        try {
          updateSuperblock(files, "/data", { ...block, instance: 6 });
        } catch {
          // the crash
        }
        expect([5, 6]).toContain(readSuperblock(files.crash(survives), "/data").instance);
      }
    }
  });

  test("all copies damaged, or of another version, stop the replica", async () => {
    const contents = made();
    contents.get(PATH)?.fill(1);
    await expectCode("DATA_CORRUPT", () => readSuperblock(new MemoryFileSystem({}, contents), "/data"));
    const newer = made();
    const bytes = newer.get(PATH) ?? new Uint8Array(0);
    bytes[7] = 2;
    new DataView(bytes.buffer).setUint32(72, crc32(bytes.subarray(0, 72)));
    await expectCode("DATA_VERSION", () => readSuperblock(new MemoryFileSystem({}, newer), "/data"));
  });

  test("the holder's file is readable by its owner alone", async () => {
    const path = temporaryDirectory();
    const mine = await lockDataDirectory(path, identity);
    expect(statSync(join(path, "superblock")).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(join(path, "holder.json"), "utf8"))).toMatchObject({ pid: process.pid });
    await mine.release();
  });
});
