/** A fetched state takes the place of the live one: page by page beside it, then at once, whatever the moment of a crash. */
import { join } from "node:path";
import { NULL_DIGEST, seqNum, type BlockHeader } from "@narses/core";
import { describe, expect, test } from "vitest";
import { FetchPlan, isTop, memoryStateStore, openStateStore, type AuthenticatedState, type FetchPiece, type MemoryState, type StateCheckpoint, type StateStaging } from "../src/index.ts";
import { MemoryBackend } from "../src/state/memory-backend.ts";
import { finishInstall } from "../src/state/install.ts";
import { copyOfFiles, expectCode, hasher, temporaryDirectory, utf8 } from "./helpers.ts";

const BITS = 6;

async function filled(state: AuthenticatedState, seq: number, entries: Readonly<Record<string, string | null>>): Promise<StateCheckpoint> {
  for (const [key, value] of Object.entries(entries)) if (value === null) state.delete(key);
  else state.put(key, utf8(value));
  await state.checkpoint(seqNum(seq));
  const checkpoint = state.checkpoints.at(-1);
  if (checkpoint === undefined) throw new TypeError("no checkpoint");
  return checkpoint;
}

const many = (count: number, mark: string): Record<string, string> => Object.fromEntries(Array.from({ length: count }, (_, i) => [`key ${i}`, `${mark} ${i}`]));
const headerOf = ({ seq, root }: StateCheckpoint): BlockHeader => ({
  seq, parent: "ab".repeat(32) as BlockHeader["parent"], timestampMs: 7, batchDigest: NULL_DIGEST, bundleRoot: NULL_DIGEST, resultRoot: NULL_DIGEST, stateRoot: root,
});

function planOf(donor: StateCheckpoint, staging: StateStaging): FetchPlan {
  const { bits } = donor.nodes;
  const top = donor.nodes.node(Math.ceil(bits / 4), 0);
  return new FetchPlan({ hasher, root: donor.root, bits, top, live: staging.live, staged: staging.staged });
}

/** Fetches until `enough`; returns the pages that were asked for. */
async function fetchAll(plan: FetchPlan, donor: StateCheckpoint, staging: StateStaging, enough = (): boolean => false): Promise<readonly number[]> {
  const pages: number[] = [];
  for (let piece: FetchPiece | undefined; !enough() && (piece = plan.next(3, 5)) !== undefined; ) {
    for (const index of piece.indexes) {
      if (piece.kind === "nodes") expect(plan.deliverNode(piece.level, index, donor.nodes.children(piece.level, index).slice())).toBe(true);
      else {
        const page = await donor.page(index);
        expect(plan.isPage(index, page)).toBe(true);
        await staging.put(new Map([[index, page]]));
        plan.deliverPage();
        pages.push(index);
      }
    }
  }
  return pages;
}

const contents = async (state: AuthenticatedState): Promise<readonly (readonly [string, string])[]> =>
  (await state.keys("", 1_000)).map((key) => [key, Buffer.from(state.get(key) ?? []).toString()]);

async function donorAndReceiver(): Promise<{ donor: StateCheckpoint; from: MemoryState; receiver: MemoryState }> {
  const [from, receiver] = [await memoryStateStore({ hasher, bucketBits: BITS }), await memoryStateStore({ hasher, bucketBits: BITS })];
  const donor = await filled(from, 8, { ...many(200, "new"), added: "yes" });
  await filled(receiver, 2, { ...many(200, "new"), "key 3": "old", "only here": "x" });
  receiver.put("not durable", utf8("gone"));
  return { donor, from, receiver };
}

describe("staging and install", () => {
  test("only pages that differ are asked for; the result is the donor's state, index and root", async () => {
    const { donor, from, receiver } = await donorAndReceiver();
    const staging = await receiver.stage();
    const plan = planOf(donor, staging);
    const pages = await fetchAll(plan, donor, staging);
    expect(new Set(pages).size).toBe(pages.length);
    expect(pages.length).toBeGreaterThan(0);
    expect(pages.length).toBeLessThanOrEqual(3);
    expect([plan.done, plan.pagesTotal, plan.pagesLeft]).toEqual([true, pages.length, 0]);
    expect(receiver.get("key 3")).toEqual(utf8("old")); // live until the switch
    await staging.install(plan.tree, headerOf(donor), seqNum(1));
    expect([receiver.root(), receiver.durableSeq]).toEqual([donor.root, 8]);
    expect(await contents(receiver)).toEqual(await contents(from));
    expect(receiver.anchor).toEqual({ header: headerOf(donor), blocksKept: 1 });
    expect(receiver.checkpoints.map(({ seq, root }) => [seq, root])).toEqual([[8, donor.root]]);
    const again = await receiver.reopen();
    expect([again.root(), again.durableSeq, again.anchor]).toEqual([donor.root, 8, { header: headerOf(donor), blocksKept: 1 }]);
    expect(await contents(again)).toEqual(await contents(from));
    again.put("on", utf8("it goes"));
    await again.checkpoint(seqNum(9));
    expect([again.anchor, (await again.reopen()).anchor]).toEqual([undefined, undefined]);
  });

  test("pages staged before a crash are not asked for again, nor after a change of target", async () => {
    const { donor, from, receiver } = await donorAndReceiver();
    const empty = await memoryStateStore({ hasher, bucketBits: BITS });
    await filled(empty, 0, {});
    const first = await empty.stage();
    const half = planOf(donor, first);
    const before = await fetchAll(half, donor, first, () => first.staged.size >= 20);
    const restarted = await empty.reopen();
    expect(restarted.durableSeq).toBe(0);
    const second = await restarted.stage();
    const later = await filled(from, 12, { "key 9": "later", "key 10": null });
    const plan = planOf(later, second);
    const after = await fetchAll(plan, later, second);
    const changed = after.filter((bucket) => before.includes(bucket));
    expect(changed.length).toBeLessThanOrEqual(2);
    await second.install(plan.tree, headerOf(later), seqNum(0));
    expect(await contents(restarted)).toEqual(await contents(from));
    expect(receiver.durableSeq).toBe(2);
  });

  test("a crash between the switch and the end of the move is finished by the next open; before the switch the old state stays", async () => {
    const { donor, from, receiver } = await donorAndReceiver();
    const staging = await receiver.stage();
    const plan = planOf(donor, staging);
    await fetchAll(plan, donor, staging);
    const before = await receiver.reopen();
    expect([before.durableSeq, before.get("key 3")]).toEqual([2, utf8("old")]);
    let writes = 0;
    const crash = new Error("crash");
    const write = MemoryBackend.prototype.write;
    for (let survive = 1; survive <= 3; survive++) {
      const victim = await before.reopen();
      const again = await victim.stage();
      const target = planOf(donor, again);
      await fetchAll(target, donor, again);
      writes = 0;
      MemoryBackend.prototype.write = function (this: MemoryBackend, ...args): Promise<void> {
        return writes++ < survive ? write.apply(this, args) : Promise.reject(crash);
      };
      try {
        await again.install(target.tree, headerOf(donor), seqNum(0));
      } catch (error) {
        expect(error).toBe(crash);
        await expectCode("UNAVAILABLE", () => victim.get("key 3"));
      } finally {
        MemoryBackend.prototype.write = write;
      }
      const restarted = await victim.reopen();
      expect([restarted.durableSeq, restarted.root()]).toEqual([8, donor.root]);
      expect(await contents(restarted)).toEqual(await contents(from));
    }
  });

  test("what nobody takes up can be removed", async () => {
    const { donor, receiver } = await donorAndReceiver();
    const staging = await receiver.stage();
    await fetchAll(planOf(donor, staging), donor, staging);
    const again = await receiver.reopen();
    await again.unstage();
    expect([(await again.stage()).staged.size, again.get("key 3")]).toEqual([0, utf8("old")]);
  });

  test("nothing is installed while a page is missing, or under another root", async () => {
    const { donor, receiver } = await donorAndReceiver();
    const staging = await receiver.stage();
    const plan = planOf(donor, staging);
    await fetchAll(plan, donor, staging, () => plan.mapped);
    expect(plan.done).toBe(false);
    await expect(staging.install(plan.tree, headerOf(donor), seqNum(0))).rejects.toThrow(/page \d+ of block 8 is not here/);
    await expect(staging.install(plan.tree, { ...headerOf(donor), stateRoot: NULL_DIGEST }, seqNum(0))).rejects.toThrow(RangeError);
    expect(receiver.get("key 3")).toEqual(utf8("old"));
  });

  test("staged bytes that rotted after the switch are DATA_CORRUPT, not a state", async () => {
    const backend = new MemoryBackend();
    await backend.write({ staged: new Map([[1, utf8("rotten")]]) });
    const { encodeAnchor } = await import("../src/state/anchor.ts");
    const header = { ...headerOf({ seq: seqNum(4), root: NULL_DIGEST } as StateCheckpoint) };
    await expectCode("DATA_CORRUPT", () => finishInstall(hasher, backend, encodeAnchor({ header, blocksKept: seqNum(0) }, BITS)));
  });

  test("on LevelDB: staged pages and the installed state survive a kill", async () => {
    const { donor, from } = await donorAndReceiver();
    const directory = join(temporaryDirectory(), "state");
    const state = await openStateStore({ directory, hasher, bucketBits: BITS });
    await filled(state, 0, { "only here": "x" });
    const staging = await state.stage();
    await fetchAll(planOf(donor, staging), donor, staging, () => staging.staged.size >= 10);
    const killed = await openStateStore({ directory: copyOfFiles(directory), hasher });
    const resumed = await killed.stage();
    expect(resumed.staged.size).toBe(staging.staged.size);
    const plan = planOf(donor, resumed);
    await fetchAll(plan, donor, resumed);
    await resumed.install(plan.tree, headerOf(donor), seqNum(0));
    expect(await contents(killed)).toEqual(await contents(from));
    await killed.close();
    await state.close();
  });
});

describe("a plan", () => {
  test("takes nothing that does not hash to what its parent said", async () => {
    const { donor, receiver } = await donorAndReceiver();
    const staging = await receiver.stage();
    const plan = planOf(donor, staging);
    const piece = plan.next(1, 1);
    expect(piece).toEqual({ kind: "nodes", level: 2, indexes: [0] });
    const children = donor.nodes.children(2, 0).slice();
    for (const wrong of [children.subarray(32), new Uint8Array(children.length), Buffer.concat([children, children])]) expect(plan.deliverNode(2, 0, wrong)).toBe(false);
    expect([plan.deliverNode(1, 0, children), plan.deliverNode(9, 0, children), plan.deliverNode(2, 1, children)]).toEqual([false, false, false]);
    expect(plan.isPage(0, Uint8Array.of(1))).toBe(false);
    expect(plan.next(1, 1)).toBeUndefined();
    if (piece !== undefined) plan.giveBack(piece);
    expect(plan.next(1, 1)).toEqual(piece);
    expect(plan.deliverNode(2, 0, children)).toBe(true);
    expect(plan.deliverNode(2, 0, children)).toBe(false);
  });

  test("of an equal state is done at once; another number of bits is no plan", async () => {
    const { donor, from } = await donorAndReceiver();
    const staging = await from.stage();
    const plan = planOf(donor, staging);
    expect([plan.done, plan.pagesTotal, plan.tree.root()]).toEqual([true, 0, donor.root]);
    const top = donor.nodes.node(2, 0);
    expect([isTop(hasher, donor.root, BITS, top), isTop(hasher, donor.root, BITS + 1, top), isTop(hasher, donor.root, 99, top), isTop(hasher, donor.root, BITS, top.subarray(1))])
      .toEqual([true, false, false, false]);
    const other = await memoryStateStore({ hasher, bucketBits: 5 });
    const small = await other.stage();
    expect(() => planOf(donor, small)).toThrow(RangeError);
  });
});
