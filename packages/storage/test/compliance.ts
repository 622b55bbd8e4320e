/** What every implementation of a storage port must do; run by the tests of each. */
import { seqNum, type BlockStore, type VoteLog } from "@narses/core";
import { describe, expect, test } from "vitest";
import { verifyProof, type AuthenticatedState } from "../src/index.ts";
import { block, expectCode, hasher, hexes, payload, utf8 } from "./helpers.ts";

export type End = "close" | "kill" | "power-cut";

export interface Harness<T> {
  open(): Promise<T>;
  /** Ends the store as told and opens it again. */
  reopen(store: T, end: End): Promise<T>;
  /** What this implementation can be put through. */
  readonly ends: readonly End[];
}

export function voteLogCompliance(name: string, make: () => Harness<VoteLog>): void {
  describe(`VoteLog: ${name}`, () => {
    test("a new log is empty", async () => {
      expect((await make().open()).recovered).toEqual([]);
    });

    for (const end of make().ends) {
      test(`what was synced survives ${end}, in order`, async () => {
        const harness = make();
        const log = await harness.open();
        log.append(payload(1), seqNum(1));
        log.append(payload(2, 0), undefined);
        log.sync();
        log.append(payload(3, 5_000), seqNum(2));
        log.sync();
        expect(hexes((await harness.reopen(log, end)).recovered)).toEqual(hexes([payload(1), payload(2, 0), payload(3, 5_000)]));
      });

      test(`after ${end} the log goes on where it was`, async () => {
        const harness = make();
        let log = await harness.open();
        for (let id = 1; id <= 5; id++) {
          log.append(payload(id), seqNum(id));
          log.sync();
          log = await harness.reopen(log, end);
          expect(hexes(log.recovered)).toEqual(hexes(Array.from({ length: id }, (_, i) => payload(i + 1))));
        }
      });

      test(`truncate leaves base, later pinned records and higher slots, after ${end}`, async () => {
        const harness = make();
        const log = await harness.open();
        log.append(payload(1), seqNum(1));
        log.append(payload(2), undefined);
        log.append(payload(3), seqNum(2));
        log.append(payload(4), seqNum(3));
        log.truncate(seqNum(2), [payload(100), payload(101)]);
        log.append(payload(5), undefined);
        log.append(payload(6), seqNum(4));
        log.sync();
        const again = await harness.reopen(log, end);
        expect(hexes(again.recovered)).toEqual(hexes([payload(100), payload(101), payload(4), payload(5), payload(6)]));
        again.truncate(seqNum(4), [payload(102)]);
        expect(hexes((await harness.reopen(again, end)).recovered)).toEqual(hexes([payload(102)]));
      });

      test(`truncate to an empty base empties the log, after ${end}`, async () => {
        const harness = make();
        const log = await harness.open();
        log.append(payload(1), undefined);
        log.append(payload(2), seqNum(7));
        log.truncate(seqNum(7), []);
        expect((await harness.reopen(log, end)).recovered).toEqual([]);
      });
    }

    test("what was flushed survives a killed process; what was only appended does not", async () => {
      const harness = make();
      const log = await harness.open();
      log.append(payload(1), seqNum(1));
      log.flush();
      log.append(payload(2), seqNum(2));
      expect(hexes((await harness.reopen(log, "kill")).recovered)).toEqual(hexes([payload(1)]));
    });

    test("a closed log refuses use, and closing twice is nothing", async () => {
      const log = await make().open();
      await log.close();
      await log.close();
      await expectCode("CLOSED", () => log.append(payload(1), undefined));
      await expectCode("CLOSED", () => log.sync());
      await expectCode("CLOSED", () => log.truncate(seqNum(1), []));
    });
  });
}

export function stateCompliance(name: string, make: () => Harness<AuthenticatedState>): void {
  describe(`StateStore: ${name}`, () => {
    test("get, put, delete", async () => {
      const state = await make().open();
      expect(state.get("a")).toBeUndefined();
      state.put("a", utf8("1"));
      state.put("b", new Uint8Array(0));
      expect([state.get("a"), state.get("b")]).toEqual([utf8("1"), new Uint8Array(0)]);
      state.put("a", utf8("2"));
      state.delete("b");
      state.delete("never there");
      expect([state.get("a"), state.get("b")]).toEqual([utf8("2"), undefined]);
      await state.close();
    });

    test("the value put is a copy", async () => {
      const state = await make().open();
      const value = utf8("1");
      state.put("a", value);
      value[0] = 0;
      expect(state.get("a")).toEqual(utf8("1"));
      await state.close();
    });

    test("rollback undoes everything since begin, commit keeps it", async () => {
      const state = await make().open();
      state.put("a", utf8("1"));
      const before = state.root();
      state.begin();
      state.put("a", utf8("2"));
      state.put("b", utf8("3"));
      state.delete("a");
      state.put("a", utf8("4"));
      state.rollback();
      expect([state.get("a"), state.get("b"), state.root()]).toEqual([utf8("1"), undefined, before]);
      state.begin();
      state.delete("a");
      state.commit();
      expect(state.get("a")).toBeUndefined();
      expect(() => state.commit()).toThrow(TypeError);
      state.begin();
      expect(() => state.begin()).toThrow(TypeError);
      expect(() => state.root()).toThrow(TypeError);
      state.rollback();
      await state.close();
    });

    test("keys and values out of bounds are refused", async () => {
      const state = await make().open();
      expect(() => state.put("", utf8("1"))).toThrow(RangeError);
      expect(() => state.put("é".repeat(257), utf8("1"))).toThrow(RangeError);
      expect(() => state.put("\ud800", utf8("1"))).toThrow(RangeError);
      expect(() => state.get("x".repeat(513))).toThrow(RangeError);
      expect(() => state.put("a", new Uint8Array((1 << 20) + 1))).toThrow(RangeError);
      state.put("é".repeat(256), utf8("1"));
      await state.close();
    });

    test("a fresh state says so until its first checkpoint, which may be 0", async () => {
      const harness = make();
      const state = await harness.open();
      expect([state.fresh, state.durableSeq]).toEqual([true, 0]);
      state.put("genesis", utf8("1"));
      const root = await state.checkpoint(seqNum(0));
      expect([state.fresh, state.durableSeq, state.root()]).toEqual([false, 0, root]);
      await expect(state.checkpoint(seqNum(0))).rejects.toThrow(RangeError);
      const again = await harness.reopen(state, "kill");
      expect([again.fresh, again.durableSeq, again.root(), again.get("genesis")]).toEqual([false, 0, root, utf8("1")]);
      await again.close();
    });

    for (const end of make().ends) {
      test(`after ${end} the state is that of the last checkpoint`, async () => {
        const harness = make();
        const state = await harness.open();
        for (let i = 0; i < 300; i++) state.put(`key ${i}`, utf8(`value ${i}`));
        await state.checkpoint(seqNum(128));
        for (let i = 0; i < 100; i++) state.delete(`key ${i}`);
        const root = await state.checkpoint(seqNum(256));
        state.put("key 0", utf8("lost"));
        state.put("key 200", utf8("lost"));
        state.root();
        const again = await harness.reopen(state, end);
        expect([again.durableSeq, again.root()]).toEqual([256, root]);
        expect([again.get("key 0"), again.get("key 200")]).toEqual([undefined, utf8("value 200")]);
        expect(await again.keys("key 29", 20)).toEqual(Array.from({ length: 10 }, (_, i) => `key 29${i}`));
        await again.close();
      });
    }

    test("writes go on while a checkpoint is under way, and are not in it", async () => {
      const harness = make();
      const state = await harness.open();
      state.put("a", utf8("1"));
      state.put("b", utf8("1"));
      const frozen = state.root();
      const first = state.checkpoint(seqNum(1));
      state.put("a", utf8("2"));
      state.delete("b");
      const second = state.checkpoint(seqNum(2));
      state.put("a", utf8("3"));
      expect([await first, await second === frozen]).toEqual([frozen, false]);
      expect(state.get("a")).toEqual(utf8("3"));
      const [one, two] = state.checkpoints;
      if (one === undefined || two === undefined) throw new TypeError("two checkpoints are kept");
      expect(one.root).toBe(frozen);
      expect(verifyProof(hasher, one.root, "a", await one.prove("a"))).toEqual({ ok: true, value: utf8("1") });
      expect(verifyProof(hasher, two.root, "b", await two.prove("b"))).toEqual({ ok: true, value: undefined });
      await state.close();
    });

    test("keys knows what a checkpoint under way holds", async () => {
      const state = await make().open();
      for (const key of ["a", "b", "c"]) state.put(key, utf8("1"));
      await state.checkpoint(seqNum(1));
      state.delete("a");
      state.put("d", utf8("1"));
      const second = state.checkpoint(seqNum(2));
      const keys = state.keys("", 10);
      state.put("e", utf8("1"));
      const third = state.checkpoint(seqNum(3));
      state.delete("d");
      const later = state.keys("", 10);
      state.put("f", utf8("1"));
      expect([await keys, await later]).toEqual([["b", "c", "d"], ["b", "c", "e"]]);
      await Promise.all([second, third]);
      await state.close();
    });

    test("only the last two checkpoints stay readable", async () => {
      const state = await make().open();
      state.put("a", utf8("1"));
      await state.checkpoint(seqNum(1));
      const [oldest] = state.checkpoints;
      for (const seq of [2, 3]) {
        state.put("a", utf8(`${seq}`));
        await state.checkpoint(seqNum(seq));
      }
      expect(state.checkpoints.map(({ seq }) => seq)).toEqual([2, 3]);
      await expectCode("CLOSED", () => oldest?.prove("a"));
      await state.close();
    });

    test("keys come in byte order, from disk and from memory alike", async () => {
      const state = await make().open();
      // U+FFFF sorts below U+10000 in UTF-8, above it in UTF-16.
      for (const key of ["p/\u{10000}", "p/a", "p/z", "p", "p0", "q/1"]) state.put(key, utf8("1"));
      await state.checkpoint(seqNum(1));
      state.put("p/\uffff", utf8("1"));
      state.put("p/b", utf8("1"));
      state.delete("p/z");
      expect(await state.keys("p/", 10)).toEqual(["p/a", "p/b", "p/\uffff", "p/\u{10000}"]);
      expect(await state.keys("p/", 2)).toEqual(["p/a", "p/b"]);
      expect(await state.keys("", 2)).toEqual(["p", "p/a"]);
      state.delete("p/a");
      state.delete("p/b");
      state.delete("p/\uffff");
      expect(await state.keys("p/", 1)).toEqual(["p/\u{10000}"]);
      await expect(state.keys("p", 0)).rejects.toThrow(RangeError);
      await state.close();
    });
  });
}

export function blockCompliance(name: string, make: () => Harness<BlockStore>): void {
  describe(`BlockStore: ${name}`, () => {
    test("blocks are readable at once, in order, without gaps", async () => {
      const blocks = await make().open();
      expect([blocks.head, await blocks.get(seqNum(0))]).toEqual([undefined, undefined]);
      expect(() => blocks.put(block(1))).toThrow(RangeError);
      for (let seq = 0; seq < 5; seq++) blocks.put(block(seq));
      expect(blocks.head).toBe(4);
      expect(await blocks.get(seqNum(3))).toEqual(block(3));
      expect(await blocks.get(seqNum(5))).toBeUndefined();
      expect(() => blocks.put(block(6))).toThrow(RangeError);
      await blocks.close();
    });

    test("a block may be put again", async () => {
      const blocks = await make().open();
      blocks.put(block(0));
      blocks.put(block(1));
      await blocks.sync();
      blocks.put(block(0, 7));
      expect([blocks.head, (await blocks.get(seqNum(0)))?.header.timestampMs]).toEqual([1, 1_007]);
      await blocks.close();
    });

    for (const end of make().ends) {
      test(`a gap is there after ${end}: blocks above what is kept are gone, the chain goes on after it`, async () => {
        const harness = make();
        let blocks = await harness.open();
        for (let seq = 0; seq <= 6; seq++) blocks.put(block(seq));
        await blocks.skip(seqNum(3), seqNum(5)); // back, too: blocks above may be wrong
        for (let round = 0; round < 2; round++) {
          expect([blocks.head, blocks.gaps]).toEqual([5, [{ first: 4, last: 5 }]]);
          expect(await Promise.all([3, 4, 5, 6].map(async (seq) => (await blocks.get(seqNum(seq)))?.header.seq))).toEqual([3, undefined, undefined, undefined]);
          blocks = await harness.reopen(blocks, end);
        }
        expect(() => blocks.put(block(7))).toThrow(RangeError);
        blocks.put(block(6));
        blocks.put(block(7));
        await blocks.sync();
        blocks = await harness.reopen(blocks, end);
        expect([blocks.head, (await blocks.get(seqNum(7)))?.header.seq]).toEqual([7, 7]);
        await blocks.skip(seqNum(6), seqNum(20));
        await blocks.skip(seqNum(6), seqNum(20));
        expect(blocks.gaps).toEqual([{ first: 4, last: 5 }, { first: 7, last: 20 }]);
        await blocks.skip(seqNum(20), seqNum(30)); // nothing of what was to be kept is here
        await blocks.skip(seqNum(2), seqNum(40));
        expect([blocks.head, blocks.gaps]).toEqual([40, [{ first: 3, last: 40 }]]);
        await expect(blocks.skip(seqNum(9), seqNum(9))).rejects.toThrow(RangeError);
      });

      test(`a gap is filled from its end, block by block, and stays so after ${end}`, async () => {
        const harness = make();
        let blocks = await harness.open();
        blocks.put(block(0));
        await blocks.skip(seqNum(0), seqNum(5));
        await blocks.fill([block(4), block(3)]); // no gap ends there
        expect([blocks.gaps, await blocks.get(seqNum(4))]).toEqual([[{ first: 1, last: 5 }], undefined]);
        await blocks.fill([block(5), block(4), block(9), block(2)]);
        await blocks.sync();
        blocks.put(block(6));
        await blocks.sync(); // and so is what was written before
        for (let round = 0; round < 2; round++) {
          expect([blocks.head, blocks.gaps]).toEqual([6, [{ first: 1, last: 3 }]]);
          expect(await Promise.all([0, 3, 4, 5, 6].map(async (seq) => (await blocks.get(seqNum(seq)))?.header.seq))).toEqual([0, undefined, 4, 5, 6]);
          blocks = await harness.reopen(blocks, end);
        }
        await Promise.all([blocks.fill([block(3)]), blocks.fill([block(2), block(1)])]);
        blocks.put(block(7));
        await blocks.sync();
        blocks = await harness.reopen(blocks, end);
        expect([blocks.head, blocks.gaps, (await blocks.get(seqNum(1)))?.header.seq]).toEqual([7, [], 1]);
        await blocks.close();
      });

      test(`what was synced survives ${end}`, async () => {
        const harness = make();
        const blocks = await harness.open();
        for (let seq = 0; seq < 20; seq++) blocks.put(block(seq));
        await blocks.sync();
        const again = await harness.reopen(blocks, end);
        expect([again.head, await again.get(seqNum(19))]).toEqual([19, block(19)]);
        await again.close();
      });
    }

    test("a closed store refuses use", async () => {
      const blocks = await make().open();
      await blocks.close();
      await blocks.close();
      await expectCode("CLOSED", () => blocks.put(block(0)));
      await expectCode("CLOSED", () => blocks.sync());
    });
  });
}
