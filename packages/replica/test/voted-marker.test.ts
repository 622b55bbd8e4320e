/** The marker beside the key: what it says when it is whole, and that nothing less than its absence says "has not voted". */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digest, replicaId, view } from "@narses/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { markVoted, readMark, refuseLostData, viewMarker, type Voter } from "../src/voted-marker.ts";

let home = "";
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "narses-marker-"));
});
afterEach(() => rm(home, { recursive: true }));

const voter = (id = 3, cluster = "ab"): Voter => ({ home, self: replicaId(id), clusterId: digest(cluster.repeat(32)) });
const path = (): string => join(home, "replica.voted");
const lost = { directory: "data", initialized: false };

test("says that the key has voted, and the last view; never an earlier one", async () => {
  expect(await readMark(voter())).toBeUndefined();
  await markVoted(voter(), view(2));
  const mark = viewMarker(voter(), view(2));
  for (const last of [5, 4]) mark(view(last));
  await markVoted(voter(), view(0));
  expect(await readMark(voter())).toEqual({ path: path(), view: 5 });
  expect(await readdir(home)).toEqual(["replica.voted"]);
  for (const other of [voter(2), voter(3, "cd")]) expect(await readMark(other)).toBeUndefined();
});

test("cut short or damaged it still says that the key may have voted: an empty data directory is refused", async () => {
  await markVoted(voter(), view(2));
  const whole = await readFile(path(), "utf8");
  for (const damaged of ["", whole.slice(0, 30), whole.replace("cluster", "clu\0ter"), whole.slice(0, -3)]) {
    await writeFile(path(), damaged);
    const mark = await readMark(voter());
    expect(mark).toEqual({ path: path(), view: undefined });
    expect(() => refuseLostData(voter(), mark, lost)).toThrow("--rejoin");
  }
  await markVoted(voter(), view(6));
  expect(await readMark(voter())).toEqual({ path: path(), view: 6 });
});

test("there and not readable, the replica does not start: it could say anything", async () => {
  await mkdir(path());
  await expect(readMark(voter())).rejects.toMatchObject({ code: "DISK_FAILED", message: expect.stringContaining("cannot read") as string });
});

test("a marker of an earlier version is replaced whole, or stays as it was", async () => {
  const earlier = `replica 3 of cluster ${"ab".repeat(32)} has voted\n`;
  await writeFile(path(), earlier);
  await mkdir(join(home, "replica.voted.tmp"));
  await expect(markVoted(voter(), view(4))).rejects.toMatchObject({ code: "DISK_FAILED" });
  expect(await readFile(path(), "utf8")).toBe(earlier);
  await rm(join(home, "replica.voted.tmp"), { recursive: true });
  await writeFile(join(home, "replica.voted.tmp"), "of an attempt that was interrupted");
  await markVoted(voter(), view(4));
  expect(await readMark(voter())).toEqual({ path: path(), view: 4 });
});
