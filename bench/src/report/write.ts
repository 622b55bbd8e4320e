/** A result as files: result.json, report.md, report.html, and each plot as SVG and PNG. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchResult, StoredResult } from "../result.ts";
import { renderPlot } from "./plot.ts";
import { renderHtml, renderMarkdown } from "./render.ts";

/** Plots stay out of the JSON: their data is in the tables. */
const withoutPlots = (result: BenchResult): StoredResult => ({
  ...result, checks: { total: result.checks.length, failed: result.checks.filter((check) => !check.ok) },
  sections: result.sections.map(({ plots: _, ...section }) => section),
});

export async function writeResult(result: BenchResult, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const svg = new Map<string, string>();
  for (const plot of result.sections.flatMap((section) => section.plots ?? [])) {
    const rendered = await renderPlot(plot);
    svg.set(plot.id, rendered.svg);
    writeFileSync(join(directory, `${plot.id}.svg`), rendered.svg);
    writeFileSync(join(directory, `${plot.id}.png`), rendered.png);
  }
  writeFileSync(join(directory, "result.json"), `${JSON.stringify(withoutPlots(result), undefined, 1)}\n`);
  writeFileSync(join(directory, "report.md"), renderMarkdown(result));
  writeFileSync(join(directory, "report.html"), renderHtml(result, svg));
}
