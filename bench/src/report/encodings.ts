/** Pieces of Vega-Lite that the plots share. */
const DECADES = Array.from({ length: 13 }, (_, i) => 10 ** (i - 4));
const FINE = DECADES.flatMap((decade) => [decade, 2 * decade, 5 * decade]);

/** A logarithmic axis with a line for each power of ten and nothing in between; `fine` for what spans two or three of them. */
export const logAxis = (field: string, title: string, format = "~s", { fine = false }: { readonly fine?: boolean } = {}): object => ({
  field, type: "quantitative", title: `${title} (log)`, scale: { type: "log", nice: true }, axis: { format, values: fine ? FINE : DECADES },
});

export const linearAxis = (field: string, title: string, format = "~s"): object => ({ field, type: "quantitative", title, axis: { format } });

/** Legend symbols as strokes: what they stand for are lines. */
const STROKES = { symbolType: "stroke", symbolSize: 300 } as const;

/** Lines told apart by colour, in the order in which the values first occur. */
export const colour = (field: string, title: string | null, values: readonly object[]): object => ({
  field, type: "nominal", title, legend: STROKES, sort: [...new Set(values.map((value) => (value as Record<string, unknown>)[field]))],
});

/** Lines with a point at each value; in layers, since a legend of dashes needs marks without points. */
export const lines = (values: readonly object[], encoding: object): object => {
  const { strokeDash: _, ...pointEncoding } = encoding as Record<string, unknown>;
  return { data: { values }, layer: [{ mark: { type: "line", strokeWidth: 2 }, encoding }, { mark: { type: "point", filled: true, size: 42, opacity: 1 }, encoding: pointEncoding }] };
};
