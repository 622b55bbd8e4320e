import { describe, expect, it } from "vitest";
import { createScreen } from "../src/demo/screen.ts";
import { createPace, createWatch } from "../src/demo/watch.ts";

describe("the watch", () => {
  it("measures the longest silence from the last confirmation before the mark on", () => {
    let now = 0;
    const watch = createWatch(() => now);
    const confirmAt = (at: number): void => {
      now = at;
      watch.confirmed();
    };
    confirmAt(500); // before the mark: does not count
    confirmAt(510);
    watch.mark();
    confirmAt(900);
    confirmAt(905);
    expect([watch.count, watch.longestGapMs]).toEqual([4, 390]);
  });
});

describe("the pace", () => {
  it("holds back what is early and lets pass what is late", async () => {
    let now = 0;
    const pace = createPace(1_000, () => now);
    let passed = false;
    const early = pace(20).then(() => (passed = true));
    await Promise.resolve();
    expect(passed).toBe(false);
    await early;
    now = 100;
    await pace(50); // due at 50
    expect(passed).toBe(true);
  });
});

describe("the screen", () => {
  const draw = (live: boolean): string => {
    let text = "";
    const screen = createScreen({ write: (part) => void (text += part), columns: 20 }, { live });
    screen.show(["a line that is too long for it", "b"]);
    screen.say("said");
    screen.milestone("half");
    screen.clear();
    return text;
  };

  it("redraws its lines below what was said, cut to the width, on a terminal", () => {
    expect(draw(true)).toBe("a line that is too \nb\n\u001b[2A\u001b[0Jsaid\na line that is too \nb\n\u001b[2A\u001b[0J");
  });
  it("prints plain lines elsewhere", () => {
    expect(draw(false)).toBe("said\nhalf\n");
  });
});
