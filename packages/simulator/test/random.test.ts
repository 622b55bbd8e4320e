import { describe, expect, test } from "vitest";
import { hashText, lanes } from "../src/hash.ts";
import { Random } from "../src/random.ts";
import { Scheduler } from "../src/scheduler.ts";

describe("hash", () => {
  test("remembers the first characters of long texts", () => {
    // A hash whose lanes mix non-bijectively forgets them: two batches of equal tails once had one digest.
    const tail = "x".repeat(1_000);
    const seen = new Set(Array.from({ length: 2_000 }, (_, i) => hashText(`${i}|${tail}`)));
    expect(seen.size).toBe(2_000);
  });

  test("every lane differs between texts that differ in one character", () => {
    const [a, b] = [lanes("view-change v1"), lanes("view-change v2")];
    a.forEach((lane, i) => expect(lane).not.toBe(b[i]));
  });

  test("has the shape of a SHA-256 digest", () => {
    expect(hashText("")).toMatch(/^[0-9a-f]{64}$/);
    expect(hashText("a")).not.toBe(hashText("b"));
  });
});

describe("random", () => {
  test("the same path gives the same numbers, another path others", () => {
    const draw = (path: string): number[] => Array.from({ length: 8 }, ((r) => () => r.word())(new Random(path)));
    expect(draw("seed 1")).toEqual(draw("seed 1"));
    expect(draw("seed 1")).not.toEqual(draw("seed 2"));
  });

  test("a child does not depend on what was drawn from its parent", () => {
    const used = new Random("p");
    for (let i = 0; i < 100; i++) used.word();
    expect(used.split("network").word()).toBe(new Random("p").split("network").word());
  });

  test("int covers its whole range, ends included", () => {
    const random = new Random("range");
    const seen = new Set(Array.from({ length: 1_000 }, () => random.int(3, 6)));
    expect([...seen].sort()).toEqual([3, 4, 5, 6]);
  });

  test("shuffle keeps the members; pick from nothing is an error", () => {
    const random = new Random("shuffle");
    expect([...random.shuffle([1, 2, 3, 4, 5])].sort()).toEqual([1, 2, 3, 4, 5]);
    expect(() => random.pick([])).toThrow(RangeError);
  });

  test("exponential has about the mean asked for", () => {
    const random = new Random("exponential");
    const mean = Array.from({ length: 20_000 }, () => random.exponential(50)).reduce((a, b) => a + b, 0) / 20_000;
    expect(mean).toBeGreaterThan(48);
    expect(mean).toBeLessThan(52);
  });
});

describe("scheduler", () => {
  test("runs events in order of time, whatever the order of scheduling", () => {
    const scheduler = new Scheduler(new Random("s"));
    const random = new Random("times");
    const ran: number[] = [];
    for (let i = 0; i < 500; i++) {
      const at = random.int(0, 300);
      scheduler.after(at, () => void ran.push(at));
    }
    while (scheduler.next(1_000));
    expect(ran).toHaveLength(500);
    expect(ran).toEqual([...ran].sort((a, b) => a - b));
  });

  test("ties are broken by the seed", () => {
    const order = (seed: string): string => {
      const scheduler = new Scheduler(new Random(seed));
      let text = "";
      for (const name of "abcdefgh") scheduler.after(5, () => void (text += name));
      while (scheduler.next(10));
      return text;
    };
    expect(order("x")).toBe(order("x"));
    expect(new Set(["1", "2", "3", "4"].map(order)).size).toBeGreaterThan(1);
  });

  test("stops before the limit and goes on later", () => {
    const scheduler = new Scheduler(new Random("s"));
    let runs = 0;
    scheduler.after(10, () => void runs++);
    expect(scheduler.next(9)).toBe(false);
    expect(scheduler.next(10)).toBe(true);
    expect([runs, scheduler.now]).toEqual([1, 10]);
  });
});
