/** A message chart of a window of a trace, as SVG: a lane for each replica and client, time from left to right, an arrow for each message. */
import { type Arrow, type Mark, readTrace } from "./read.ts";

export interface ChartWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

const COLOURS: Readonly<Record<string, string>> = {
  "pre-prepare": "#1f5fbf", prepare: "#2a9d5c", commit: "#b8860b", checkpoint: "#7a7a7a", "view-change": "#c0392b", "new-view": "#8e44ad", status: "#cfcfcf",
  decision: "#00868b", stable: "#5f6a6a", forward: "#d35400", "fetch-batch": "#16a085", "fetch-bundles": "#16a085", batch: "#16a085",
  recall: "#a0522d", recalled: "#d4a017",
};
const OTHER = "#555555";
/** Arrows and marks drawn, at most: beyond, the window is too wide to be read. The title says so. */
export const ARROWS_MAX = 3_000;
const LABEL_LETTERS_MAX = 26;
/** Room that a label takes, in pixels. */
const LETTER_WIDTH = 4.6;
const LABEL_HEIGHT = 10;
const MARKS_MAX = 400;

const WIDTH = 1_600;
const LEFT = 90;
const RIGHT = 30;
const TOP = 96;
const LANE = 92;

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;");
const kindOf = (text: string): string => /^[a-z-]+/.exec(text)?.[0] ?? "";
const round = (value: number): string => value.toFixed(1);

interface Frame {
  readonly x: (ms: number) => number;
  readonly y: (lane: string) => number | undefined;
}

/** Where a label fits without covering one that is there already: the rest is said when the pointer rests on the arrow. */
class Room {
  private readonly taken: (readonly [number, number, number])[] = [];

  take(x: number, y: number, letters: number): boolean {
    const end = x + letters * LETTER_WIDTH;
    if (this.taken.some(([left, right, at]) => x < right && end > left && Math.abs(y - at) < LABEL_HEIGHT)) return false;
    this.taken.push([x, end, y]);
    return true;
  }
}

function drawArrow({ x, y }: Frame, arrow: Arrow, room: Room): string {
  const [y1, y2] = [y(arrow.from), y(arrow.to)];
  if (y1 === undefined || y2 === undefined) return "";
  const kind = kindOf(arrow.text);
  const colour = COLOURS[kind] ?? OTHER;
  const [x1, x2] = [x(arrow.sentAt), x(arrow.arrivedAt)];
  const title = `<title>${escape(`${arrow.from} → ${arrow.to}: ${arrow.text}, ${arrow.sentAt.toFixed(3)} → ${arrow.arrivedAt.toFixed(3)} ms`)}</title>`;
  const width = kind === "status" ? 0.7 : 1.3;
  const line = `<line x1="${round(x1)}" y1="${y1}" x2="${round(x2)}" y2="${y2}" stroke="${colour}" stroke-width="${width}" marker-end="url(#tip)">${title}</line>`;
  const label = arrow.text.slice(0, LABEL_LETTERS_MAX);
  const places = [0.3, 0.5, 0.7, 0.15].map((along) => [x1 + (x2 - x1) * along + 3, y1 + (y2 - y1) * along] as const);
  const place = places.find(([left, at]) => room.take(left, at, label.length));
  return place === undefined ? line : `${line}<text x="${round(place[0])}" y="${round(place[1])}" fill="${colour}" font-size="9">${escape(label)}</text>`;
}

/** Colour, shape, and what it says. */
const MARK_STYLE: Readonly<Record<Mark["kind"], readonly [string, string, string]>> = {
  execute: ["#1e8449", "M0,-5 L5,0 L0,5 L-5,0 Z", "slot executed"], view: ["#8e44ad", "M-5,-5 H5 V5 H-5 Z", "view left or entered"],
  fault: ["#c0392b", "M-5,-5 L5,5 M-5,5 L5,-5", "fault or repair"], client: ["#34495e", "M-4,4 L0,-5 L4,4 Z", "client submits or accepts"],
};
const shape = (kind: Mark["kind"], x: number, y: number): string => {
  const [colour, path] = MARK_STYLE[kind];
  return `<path d="${path}" transform="translate(${round(x)},${y})" fill="${kind === "fault" ? "none" : colour}" stroke="${colour}"/>`;
};

function drawMark({ x, y }: Frame, mark: Mark, bottom: number): string {
  const [colour] = MARK_STYLE[mark.kind];
  const at = x(mark.at);
  const title = `<title>${escape(`${mark.at.toFixed(3)} ms ${mark.who}: ${mark.text}`)}</title>`;
  const lane = y(mark.who);
  // What happens to the world as a whole crosses all lanes.
  if (lane === undefined) {
    return `<g><line x1="${round(at)}" y1="${TOP - 26}" x2="${round(at)}" y2="${bottom}" stroke="${colour}" stroke-dasharray="4 3"/>`
      + `<text x="${round(at + 3)}" y="${TOP - 30}" font-size="10" fill="${colour}">${escape(mark.text.slice(0, 40))}</text>${title}</g>`;
  }
  const labelled = mark.kind === "view" || mark.kind === "fault";
  const label = labelled ? `<text x="${round(at + 6)}" y="${lane - 7}" font-size="9" fill="${colour}">${escape(mark.text.slice(0, 34))}</text>` : "";
  return `<g>${shape(mark.kind, at, lane)}${title}${label}</g>`;
}

function ticks(window: ChartWindow, x: (ms: number) => number, bottom: number): string {
  const span = window.toMs - window.fromMs;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000].find((ms) => span / ms <= 16) ?? span;
  const lines: string[] = [];
  for (let ms = Math.ceil(window.fromMs / step) * step; ms <= window.toMs; ms += step) {
    const at = round(x(ms));
    lines.push(`<line x1="${at}" y1="${TOP - 14}" x2="${at}" y2="${bottom}" stroke="#eeeeee"/>`
      + `<text x="${at}" y="${bottom + 16}" font-size="11" text-anchor="middle" fill="#666666">${Number(ms.toFixed(3))} ms</text>`);
  }
  return lines.join("\n");
}

function legend(kinds: readonly string[]): string {
  return kinds.map((kind, i) => `<g transform="translate(${LEFT + i * 118},46)"><line x1="0" y1="-4" x2="22" y2="-4" stroke="${COLOURS[kind] ?? OTHER}" stroke-width="2"/>`
    + `<text x="27" y="0" font-size="11">${escape(kind)}</text></g>`).join("");
}

const markLegend = (bottom: number): string => (Object.keys(MARK_STYLE) as Mark["kind"][]).map((kind, i) =>
  `${shape(kind, LEFT + 8 + i * 200, bottom + 38)}<text x="${LEFT + 20 + i * 200}" y="${bottom + 42}" font-size="11">${MARK_STYLE[kind][2]}</text>`).join("");

/** @throws RangeError when the window is empty. */
export function drawChart(trace: readonly string[], window: ChartWindow): string {
  if (!(window.toMs > window.fromMs)) throw new RangeError(`a chart needs a window: it ends at ${window.toMs} ms, which is not after ${window.fromMs} ms`);
  const { lanes, arrows, marks } = readTrace(trace);
  const inside = (ms: number): boolean => ms >= window.fromMs && ms <= window.toMs;
  const shown = arrows.filter((arrow) => arrow.arrivedAt >= window.fromMs && arrow.sentAt <= window.toMs);
  const drawn = shown.slice(0, ARROWS_MAX);
  const seen = marks.filter((mark) => inside(mark.at)).slice(0, MARKS_MAX);
  const bottom = TOP + Math.max(0, lanes.length - 1) * LANE + 30;
  const frame: Frame = {
    x: (ms) => LEFT + ((ms - window.fromMs) / (window.toMs - window.fromMs)) * (WIDTH - LEFT - RIGHT),
    y: (lane) => (lanes.includes(lane) ? TOP + lanes.indexOf(lane) * LANE : undefined),
  };
  const kinds = [...new Set(drawn.map(({ text }) => kindOf(text)))].filter((kind) => kind !== "").slice(0, 12);
  const after = arrows.find((arrow) => arrow.sentAt > window.toMs);
  const hint = shown.length > 0 || after === undefined ? "" : `; the next one after is sent at ${after.sentAt.toFixed(1)} ms`;
  const left = shown.length > drawn.length ? `, the first ${ARROWS_MAX} of them drawn: choose a narrower window` : "";
  const room = new Room();
  const height = bottom + 56;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="Helvetica, Arial, sans-serif">`,
    `<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0,0 L8,4 L0,8 Z" fill="#333333"/></marker>`,
    `<clipPath id="window"><rect x="${LEFT}" y="0" width="${WIDTH - LEFT - RIGHT}" height="${height}"/></clipPath></defs>`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="${LEFT}" y="24" font-size="15" font-weight="bold">${window.fromMs} … ${Number(window.toMs.toFixed(1))} ms: ${shown.length} messages${left}${hint}</text>`,
    legend(kinds),
    ticks(window, frame.x, bottom),
    markLegend(bottom),
    ...lanes.map((lane, i) => `<line x1="${LEFT}" y1="${TOP + i * LANE}" x2="${WIDTH - RIGHT}" y2="${TOP + i * LANE}" stroke="#999999"/>`
      + `<text x="${LEFT - 14}" y="${TOP + i * LANE + 5}" font-size="15" text-anchor="end">${escape(lane)}</text>`),
    `<g clip-path="url(#window)">`,
    ...drawn.map((arrow) => drawArrow(frame, arrow, room)),
    "</g>",
    ...seen.map((mark) => drawMark(frame, mark, bottom)),
    "</svg>",
  ].filter((line) => line !== "").join("\n") + "\n";
}
