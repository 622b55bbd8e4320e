/** Vega-Lite to SVG to PNG, without a browser. */
import { Resvg } from "@resvg/resvg-js";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { Plot } from "../result.ts";

const WIDTH = 700;
const HEIGHT = 380;

/** Colour-blind safe, in this order (Okabe and Ito). */
export const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b8a000", "#332288"] as const;

const CONFIG = {
  background: "white",
  font: "DejaVu Sans, Verdana, sans-serif",
  title: { fontSize: 15, anchor: "start", subtitleFontSize: 11, subtitleColor: "#555", offset: 12 },
  axis: { gridColor: "#e6e6e6", labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", domainColor: "#999", tickColor: "#999" },
  // Below the plot, so that long names cost no width; lines are shown as lines, so that dashes show.
  legend: { orient: "bottom", columns: 2, columnPadding: 24, rowPadding: 4, titleFontSize: 11, labelFontSize: 11, labelLimit: 0, symbolStrokeWidth: 2.5, layout: { bottom: { direction: "vertical", anchor: "start", margin: 10 } } },
  range: { category: [...PALETTE] },
  view: { stroke: null },
} as const;

export interface Rendered {
  readonly svg: string;
  readonly png: Uint8Array;
}

export async function renderPlot({ title, spec }: Plot): Promise<Rendered> {
  const whole: object = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: WIDTH, height: HEIGHT, padding: 14, config: CONFIG, title, ...spec };
  const view = new View(parse(compile(whole as TopLevelSpec).spec), { renderer: "none" });
  try {
    const svg = await view.toSVG();
    const png = new Resvg(svg, { fitTo: { mode: "zoom", value: 1.5 }, background: "white", font: { loadSystemFonts: true, defaultFontFamily: "DejaVu Sans" } }).render().asPng();
    return { svg, png };
  } finally {
    view.finalize();
  }
}
