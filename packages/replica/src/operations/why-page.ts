/** A {@link WhyReport} that came over the network, checked; and any of them as a page of text. */
import * as z from "zod";
import { NarsesError } from "@narses/core";
import type { WhyReport } from "./why.ts";
import { bytesText, counted, listed, printable, seconds } from "./words.ts";

/** Longest text and list taken from a replica: it may be anybody's. */
const TEXT_MAX = 4_096;
const ITEMS_MAX = 256;

const text = z.string().max(TEXT_MAX).transform(printable);
const int = z.int();
const list = <T extends z.ZodType>(item: T): z.ZodArray<T> => z.array(item).max(ITEMS_MAX);
// Not strict: a newer replica may say more.
const schema = z.object({
  replica: int, cluster: text, source: z.enum(["live", "vote-log"]), halted: text.nullable(), headline: text, findings: list(text),
  view: int, active: z.boolean(), primary: int, executedSeq: int, stableSeq: int, highWatermark: int, behind: int, openSlots: int,
  slots: list(z.object({
    seq: int, phase: text, digest: text.exactOptional(), have: list(int), needed: int, missing: list(z.object({ replica: int, reason: text })),
  })),
  timer: z.object({ name: text, view: int, inMs: z.number() }).nullable(),
  peers: list(z.object({
    replica: int, connected: z.boolean(), problem: text.nullable(), executedSeq: int.nullable(), lag: int.nullable(), silentMs: z.number().nullable(),
    queuedBytes: z.number(), dropped: z.number(),
  })),
  waiting: z.object({
    bundles: int, bytes: z.number(), oldestMs: z.number().nullable(),
    clients: list(z.object({ client: text, bundles: int, oldestMs: z.number() })),
  }),
  rejections: list(z.object({
    from: int.exactOptional(), message: text, code: text, verdict: z.enum(["ignore", "misbehaviour"]), detail: text, count: int, ageMs: z.number(),
  })),
  problems: list(z.object({ level: z.enum(["warn", "error"]), code: text.exactOptional(), message: text, count: int, ageMs: z.number() })),
});

/** The answer of a replica to the control call `why`. @throws NarsesError CALL_FAILED when it is something else. */
export function parseWhyReport(value: unknown): WhyReport {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new NarsesError("CALL_FAILED", `the answer to "why" is not a report: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** The report as text, the first thing to know first. Sections that have nothing to say are left out. */
export function renderWhy(report: WhyReport): string {
  const { source, findings } = report;
  const unreadable = source === "vote-log" && report.halted !== null;
  const shown = report.slots.length;
  const more = findings.slice(1).map((finding) => `  - ${finding}`);
  const sections = [
    report.headline,
    section(unreadable ? "By what can be read of the log, it would be waiting for" : "Also waiting for", more),
    section(unreadable ? "State, by what can be read of the log" : "State", state(report)),
    section(`Open slots (${shown < report.openSlots ? `the lowest ${shown} of ` : ""}${report.openSlots})`, slots(report)),
    source === "live" ? section("Peers", peers(report)) : "",
    section("Requests that wait", waiting(report)),
    section("Messages rejected lately", rejections(report)),
    section("Warnings and errors lately", problems(report)),
  ];
  return sections.filter((part) => part !== "").join("\n\n");
}

const section = (title: string, lines: readonly string[]): string => (lines.length === 0 ? "" : `${title}\n${lines.join("\n")}`);

function state({ view, active, primary, executedSeq, stableSeq, highWatermark, behind, timer, replica }: WhyReport): readonly string[] {
  const who = primary === replica ? "this replica" : `replica ${primary}`;
  const lines = [
    `  view        ${view}${active ? "" : " (not active: a view change is under way)"}, primary is ${who}`,
    `  executed    slot ${executedSeq}${behind > 0 ? `, ${counted(behind, "slot")} behind` : ""}`,
    `  watermarks  ${stableSeq} (stable checkpoint) to ${highWatermark}`,
  ];
  if (timer !== null) {
    const what = timer.name === "request" ? `leaves view ${timer.view} (requests not executed in time)` : `gives up on view ${timer.view}`;
    lines.push(`  timer       in ${seconds(timer.inMs)} this replica ${what}`);
  }
  return lines;
}

const slots = ({ slots: open }: WhyReport): readonly string[] =>
  open.map(({ seq, phase, have, needed, missing, digest }) => {
    const votes = needed === 0 ? "" : `  has ${have.length} of ${needed}${have.length === 0 ? "" : ` from ${listed(have)}`}`;
    const absent = missing.length === 0 ? "" : `, missing ${listed(missing.map(({ replica }) => replica))}`;
    return `  ${seq}  ${phase}${votes}${absent}${digest === undefined ? "" : `  batch ${digest.slice(0, 12)}…`}`;
  });

const peers = ({ peers: all }: WhyReport): readonly string[] =>
  all.map(({ replica, connected, problem, executedSeq, lag, silentMs, queuedBytes, dropped }) => {
    const last = silentMs === null ? "" : `, last heard ${seconds(silentMs)} ago`;
    if (!connected) return `  ${replica}  down       ${problem ?? "not connected"}${last}`;
    const parts = [executedSeq === null ? "said nothing yet" : `executed slot ${executedSeq}${lagText(lag)}`];
    if (silentMs !== null) parts.push(`heard ${seconds(silentMs)} ago`);
    if (queuedBytes > 0) parts.push(`${bytesText(queuedBytes)} queued for it`);
    if (dropped > 0) parts.push(`${counted(dropped, "frame")} for it dropped`);
    return `  ${replica}  connected  ${parts.join(", ")}`;
  });

function lagText(lag: number | null): string {
  if (lag === null || lag === 0) return "";
  return lag > 0 ? ` (${lag} behind this one)` : ` (${-lag} ahead of this one)`;
}

function waiting({ waiting: w }: WhyReport): readonly string[] {
  if (w.bundles === 0) return [];
  const oldest = w.oldestMs === null ? "" : `, the oldest for ${seconds(w.oldestMs)}`;
  const clients = w.clients.map(({ client, bundles, oldestMs }) =>
    `  client ${client.slice(0, 12)}…  ${counted(bundles, "bundle")}, the oldest for ${seconds(oldestMs)}`);
  return [`  ${counted(w.bundles, "bundle")}, ${bytesText(w.bytes)}${oldest}`, ...clients];
}

const times = (count: number): string => (count === 1 ? "" : ` ×${count}`);

/** What came twice, too late, or unasked for: every retransmission brings some. In the page they are only counted. */
const HARMLESS: ReadonlySet<string> = new Set(["DUPLICATE", "VIEW_OLD", "SEQ_BELOW_WINDOW", "UNSOLICITED"]);

function rejections({ rejections: all }: WhyReport): readonly string[] {
  const lines = all.filter(({ code }) => !HARMLESS.has(code)).map(({ from, message, code, verdict, detail, count, ageMs }) => {
    const who = from === undefined ? "a client" : `replica ${from}`;
    return `  ${seconds(ageMs)} ago  ${message} from ${who}: ${code}${verdict === "misbehaviour" ? " (misbehaviour)" : ""}${times(count)}: ${detail}`;
  });
  const harmless = all.reduce((sum, { code, count }) => sum + (HARMLESS.has(code) ? count : 0), 0);
  return harmless === 0 || lines.length === 0 ? lines : [...lines, `  and ${counted(harmless, "message")} that came twice or too late, as retransmission brings them`];
}

const problems = ({ problems: all }: WhyReport): readonly string[] =>
  all.map(({ level, code, message, count, ageMs }) => `  ${seconds(ageMs)} ago  ${level}${code === undefined ? "" : ` ${code}`}${times(count)}: ${message}`);
