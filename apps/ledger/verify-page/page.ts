/** The page an auditor opens: files in, verdicts out. Text reaches the document as text only, never as markup. */
import { clusterIdOf, parseClusterFile } from "@narses/client";
import type { ClusterConfig } from "@narses/core";
import { FILE_BYTES_MAX, readDropped, type Dropped, type ReceiptLine } from "./documents.ts";
import { judge, type Row, type Verdict } from "./verdict.ts";

/** Valid receipts shown in full; beyond it they are only counted. Every invalid one is shown. */
const VALID_SHOWN_MAX = 200;

interface Page {
  cluster: ClusterConfig | undefined;
  readonly lines: ReceiptLine[];
  /** Files that are neither. */
  readonly problems: Verdict[];
}

const page: Page = { cluster: undefined, lines: [], problems: [] };

function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new TypeError(`the page has no element ${id}`);
  return found;
}

function element(tag: string, className: string, content: string | readonly Node[]): HTMLElement {
  const made = document.createElement(tag);
  if (className !== "") made.className = className;
  if (typeof content === "string") made.textContent = content;
  else made.append(...content);
  return made;
}

const rowNodes = (rows: readonly Row[]): readonly Node[] => rows.flatMap(({ name, value, hex }) => [element("dt", "", name), element("dd", hex ? "hex" : "", value)]);

function card({ valid, title, from, rows }: Verdict): HTMLElement {
  const mark = element("span", "mark", valid ? "valid" : "NOT VALID");
  const heading = element("h2", "", [mark, element("span", "", title), element("span", "from", from)]);
  return element("article", `card ${valid ? "good" : "bad"}`, [heading, element("dl", "", rowNodes(rows))]);
}

function showCluster(cluster: ClusterConfig): void {
  const n = cluster.replicas.length;
  const rows: readonly Row[] = [
    { name: "cluster id", value: clusterIdOf(cluster), hex: true },
    { name: "replicas", value: `${n}, of which f = ${cluster.f} may be faulty; a receipt needs W = ${cluster.f + 1} signatures` },
  ];
  byId("cluster").replaceChildren(element("article", "card", [element("h2", "", [element("span", "", `Cluster “${cluster.name}”`)]), element("dl", "", rowNodes(rows))]));
  byId("cluster").hidden = false;
}

function fill(slot: string, hint: string, value: string): void {
  byId(slot).classList.add("filled");
  byId(hint).textContent = value;
}

function show(): void {
  const { cluster, lines, problems } = page;
  if (cluster !== undefined) showCluster(cluster);
  const verdicts = [...problems, ...(cluster === undefined ? [] : lines.flatMap((line) => judge(line, cluster)))];
  const bad = verdicts.filter(({ valid }) => !valid);
  const good = verdicts.filter(({ valid }) => valid);
  byId("verdicts").replaceChildren(...bad.map(card), ...good.slice(0, VALID_SHOWN_MAX).map(card));
  const waiting = cluster === undefined && lines.length > 0 ? "Receipts are here; the cluster file is missing." : "";
  const hidden = good.length > VALID_SHOWN_MAX ? ` (the first ${VALID_SHOWN_MAX} are shown)` : "";
  byId("summary").textContent = verdicts.length === 0 ? waiting : `${good.length} valid, ${bad.length} not valid${hidden}. ${waiting}`;
}

function take(dropped: Dropped): void {
  switch (dropped.kind) {
    case "cluster":
      page.cluster = parseClusterFile(dropped.text, dropped.file);
      fill("cluster-slot", "cluster-hint", dropped.file);
      break;
    case "receipts":
      page.lines.push(...dropped.lines);
      fill("receipt-slot", "receipt-hint", `${page.lines.length} receipt${page.lines.length === 1 ? "" : "s"}`);
      break;
    case "unknown":
      throw new TypeError(dropped.problem);
  }
}

async function takeFiles(files: Iterable<File>): Promise<void> {
  for (const file of files) {
    try {
      if (file.size > FILE_BYTES_MAX) throw new RangeError(`has ${file.size} bytes, at most ${FILE_BYTES_MAX}: split it by lines`);
      take(readDropped(file.name, await file.text()));
    } catch (error) {
      page.problems.push({ valid: false, title: "file", from: file.name, rows: [{ name: "reason", value: error instanceof Error ? error.message : String(error) }] });
    }
  }
  show();
}

function listen(): void {
  for (const id of ["cluster-input", "receipt-input"]) {
    const input = byId(id) as HTMLInputElement;
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = ""; // so that the same file may be given again
      void takeFiles(files);
    });
  }
  const { body } = document;
  body.addEventListener("dragover", (event) => {
    event.preventDefault();
    body.classList.add("dropping");
  });
  body.addEventListener("dragleave", () => body.classList.remove("dropping"));
  body.addEventListener("drop", (event) => {
    event.preventDefault();
    body.classList.remove("dropping");
    void takeFiles([...(event.dataTransfer?.files ?? [])]);
  });
}

listen();
