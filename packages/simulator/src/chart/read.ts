/** A trace read back: who said what to whom, when it arrived, and what else happened. Works on lines, so also on a saved trace. */

export interface Mark {
  readonly at: number;
  readonly who: string;
  readonly kind: "fault" | "execute" | "view" | "client";
  readonly text: string;
}

export interface Arrow {
  readonly sentAt: number;
  readonly arrivedAt: number;
  readonly from: string;
  readonly to: string;
  readonly text: string;
}

export interface Story {
  /** Lanes, in order. */
  readonly lanes: readonly string[];
  readonly arrows: readonly Arrow[];
  readonly marks: readonly Mark[];
}

const LINE = /^\s*([\d.]+) (\S+)\s+(.*)$/;
/** A message is looked for among those its sender said within this time, milliseconds. */
const FLIGHT_MS_MAX = 2_500;

/** Without what only one side writes: counts in brackets, and votes that shared the frame. */
const essence = (text: string): string => text.replace(/ \(.*?\)/g, "").replace(/, .*/, "").replace(/ by r\d+$/, "").trim();
/** A node without the marks of twins and liars: `r2b!` is replica r2 to others. */
const bare = (who: string): string => who.replace(/[ab]?!$/, "");

interface Said {
  readonly at: number;
  readonly who: string;
}

export function readTrace(lines: readonly string[]): Story {
  const lanes = new Set<string>();
  const arrows: Arrow[] = [];
  const marks: Mark[] = [];
  const said = new Map<string, Said[]>();
  for (const line of lines) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [at, who, rest] = [Number(match[1]), match[2] as string, match[3] as string];
    if (who !== "-") lanes.add(who);
    const body = rest.slice(2);
    if (rest.startsWith("> ")) {
      const key = `${bare(who)} ${essence(body.slice(body.indexOf(":") + 1))}`;
      const held = said.get(key);
      if (held === undefined) said.set(key, [{ at, who }]);
      else held.push({ at, who });
    } else if (rest.startsWith("< r")) {
      const colon = body.indexOf(":");
      if (colon < 0) continue;
      const text = essence(body.slice(colon + 1));
      const from = body.slice(0, colon);
      const candidates = (said.get(`${from} ${text}`) ?? []).filter((one) => one.at <= at && at - one.at <= FLIGHT_MS_MAX);
      const sent = candidates.at(-1);
      arrows.push({ sentAt: sent?.at ?? at, arrivedAt: at, from: sent?.who ?? from, to: who, text });
    } else if (rest.startsWith("= ")) marks.push({ at, who, kind: "execute", text: body });
    else if (rest.startsWith("* ")) marks.push({ at, who, kind: "view", text: body });
    else if (rest.startsWith("# ")) marks.push({ at, who, kind: "fault", text: body });
    else if (rest.startsWith("@ ")) marks.push({ at, who, kind: "client", text: body });
  }
  const number = (lane: string): number => (lane.startsWith("c") ? 1_000 : 0) + Number(/\d+/.exec(lane)?.[0] ?? 0);
  const known = [...lanes].sort((a, b) => number(a) - number(b) || (a < b ? -1 : 1));
  // A sender whose own lines are missing (its lane is marked as a liar's) stands on that lane.
  const laneOf = (who: string): string => (lanes.has(who) ? who : (known.find((lane) => bare(lane) === who) ?? who));
  return { lanes: known, marks, arrows: arrows.map((arrow) => ({ ...arrow, from: laneOf(arrow.from) })) };
}
