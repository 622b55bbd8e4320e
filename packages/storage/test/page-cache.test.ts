import { describe, expect, test } from "vitest";
import { PageCache } from "../src/state/page-cache.ts";
import { emptyPage, growth, setValue, type Page } from "../src/state/page.ts";

function page(bucket: number): Page {
  const made = emptyPage(bucket);
  const value = new Uint8Array(1_000);
  setValue(made, { key: "key", at: -1, value, growth: growth(made, "key", undefined, value.length) });
  return made;
}

const held = (cache: PageCache, count: number): number[] =>
  Array.from({ length: count }, (_, i) => i).filter((bucket) => cache.get(bucket) !== undefined);

describe("page cache", () => {
  test("drops unchanged pages above its bytes, those in use last", () => {
    const cache = new PageCache(100, 30_000);
    for (let bucket = 0; bucket < 100; bucket++) {
      cache.add(page(bucket));
      cache.get(7);
    }
    const kept = held(cache, 100);
    expect(kept.length).toBeGreaterThan(15);
    expect(kept.length).toBeLessThan(30);
    expect(kept).toContain(7);
  });

  test("never drops a changed page before it is frozen, and drops it like any other after", () => {
    const cache = new PageCache(100, 5_000);
    for (let bucket = 0; bucket < 50; bucket++) {
      cache.add(page(bucket));
      cache.markDirty(bucket);
    }
    for (let bucket = 50; bucket < 100; bucket++) cache.add(page(bucket));
    expect(held(cache, 50)).toHaveLength(50);
    cache.freeze();
    expect(held(cache, 100).length).toBeLessThan(6);
  });

  test("counts a page once, however often it is frozen", () => {
    const cache = new PageCache(100, 30_000);
    for (let bucket = 0; bucket < 10; bucket++) cache.add(page(bucket));
    for (let round = 0; round < 50; round++) {
      cache.markDirty(round % 10);
      cache.freeze();
    }
    cache.add(page(99));
    expect(held(cache, 10)).toHaveLength(10);
  });
});
