/** One result as Markdown and as one HTML page that needs nothing else. */
import { describeEnvironment } from "../environment.ts";
import { figure, type BenchResult, type Cell, type Check, type Section, type Table, type Target } from "../result.ts";

const text = (cell: Cell): string => (typeof cell === "number" ? figure(cell) : cell);
const mark = (met: boolean | undefined): string => (met === undefined ? "not measured" : met ? "met" : "**missed**");

function verdict(checks: readonly Check[]): string {
  const failed = checks.filter((check) => !check.ok);
  if (checks.length === 0) return "";
  return failed.length === 0 ? `All ${figure(checks.length)} closed forms are met.` : `**${failed.length} of ${figure(checks.length)} closed forms are not met.**`;
}

const mismatches = (checks: readonly Check[]): Table | undefined => {
  const failed = checks.filter((check) => !check.ok).slice(0, 40);
  if (failed.length === 0) return undefined;
  return { title: "Mismatches", columns: ["what", "measured", "theory", "tolerance"], rows: failed.map((c) => [c.name, c.measured, c.expected, c.tolerance === 0 ? "exact" : `${c.tolerance * 100} %`]) };
};

export const targetTable = (targets: readonly Target[]): Table | undefined =>
  targets.length === 0 ? undefined : { title: "Targets", columns: ["what", "target", "measured", ""], rows: targets.map((t) => [t.name, t.target, t.measured, mark(t.met)]) };

/** Sections as they are rendered: the checks and targets first. */
function allSections(result: BenchResult): readonly Section[] {
  const wrong = mismatches(result.checks);
  const targets = targetTable(result.targets);
  return [
    ...(wrong === undefined ? [] : [{ title: "Closed forms that are not met", tables: [wrong] }]),
    ...(targets === undefined ? [] : [{ title: "Targets", tables: [targets] }]),
    ...(result.summary.length === 0 ? [] : [{ title: "Summary", tables: result.summary }]),
    ...result.sections,
  ];
}

const FIGURE = /^[-–\d][\d.,]*(?: ?[×%])?$/;
/** A column of figures, some of them perhaps missing, is aligned to the right. */
const isFigures = (rows: Table["rows"], column: number): boolean =>
  rows.length > 0 && rows.every((row) => typeof row[column] === "number" || FIGURE.test(row[column] ?? "")) && rows.some((row) => row[column] !== "–");

// ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────

export function markdownTable({ title, columns, rows, note }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const align = columns.map((_, i) => (isFigures(rows, i) ? "---:" : "---"));
  return [`**${title}**`, "", line(columns), line(align), ...rows.map((row) => line(row.map(text))), ...(note === undefined ? [] : ["", note])].join("\n");
}

export function renderMarkdown(result: BenchResult): string {
  const parts = [`# ${result.title}`, describeEnvironment(result.environment).map(([name, value]) => `- ${name}: ${value}`).join("\n")];
  const outcome = verdict(result.checks);
  if (outcome !== "") parts.push(outcome);
  for (const section of allSections(result)) {
    parts.push(`## ${section.title}`, ...(section.text ?? []));
    for (const table of section.tables ?? []) parts.push(markdownTable(table));
    for (const plot of section.plots ?? []) parts.push(`![${plot.title}](${plot.id}.svg)\n\n${plot.caption}`);
  }
  return `${parts.join("\n\n")}\n`;
}

// ── HTML ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const escape = (value: string): string => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
/** The little Markdown that texts here use: code and bold. */
const inline = (value: string): string => escape(value).replace(/`([^`]+)`/g, "<code>$1</code>").replace(/\*\*([^*]+)\*\*/g, "<b>$1</b>");

const STYLE = `body{font:15px/1.5 system-ui,"DejaVu Sans",sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.6em}h2{margin-top:2em;border-bottom:1px solid #ddd}table{border-collapse:collapse;margin:.6em 0 1.2em;font-size:13px}
th,td{padding:3px 9px;border-bottom:1px solid #e6e6e6;text-align:left}th{background:#f5f5f5}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.3em 0}figure{margin:1.2em 0}figure svg{max-width:100%;height:auto}figcaption,.note{color:#555;font-size:13px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;font-size:13px}dt{color:#555}dd{margin:0}.scroll{overflow-x:auto}`;

function htmlTable({ title, columns, rows, note }: Table): string {
  const kind = columns.map((_, i) => (isFigures(rows, i) ? ' class="n"' : ""));
  const cells = (tag: string, row: readonly string[]): string => `<tr>${row.map((cell, i) => `<${tag}${kind[i] ?? ""}>${inline(cell)}</${tag}>`).join("")}</tr>`;
  const foot = note === undefined ? "" : `<p class="note">${inline(note)}</p>`;
  return `<div class="scroll"><table><caption>${inline(title)}</caption><thead>${cells("th", columns)}</thead><tbody>${rows.map((row) => cells("td", row.map(text))).join("\n")}</tbody></table></div>${foot}`;
}

/** `svg` by plot id. */
export function renderHtml(result: BenchResult, svg: ReadonlyMap<string, string>): string {
  const body: string[] = [`<h1>${escape(result.title)}</h1>`];
  body.push(`<dl>${describeEnvironment(result.environment).map(([name, value]) => `<dt>${escape(name)}</dt><dd>${inline(value)}</dd>`).join("")}</dl>`);
  const outcome = verdict(result.checks);
  if (outcome !== "") body.push(`<p>${inline(outcome)}</p>`);
  for (const section of allSections(result)) {
    body.push(`<h2>${escape(section.title)}</h2>`, ...(section.text ?? []).map((paragraph) => `<p>${inline(paragraph)}</p>`));
    for (const plot of section.plots ?? []) body.push(`<figure>${svg.get(plot.id) ?? ""}<figcaption>${inline(plot.caption)}</figcaption></figure>`);
    for (const table of section.tables ?? []) body.push(htmlTable(table));
  }
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(result.title)}</title><style>${STYLE}</style></head><body>\n${body.join("\n")}\n</body></html>\n`;
}
