import { rmSync } from "node:fs";
import { seqNum } from "@narses/core";
import { hasher } from "@narses/crypto";
import { openVoteLog, memoryStateStore, openStateStore } from "../src/index.ts";
const q = (t: number[], f: number) => t[Math.floor(t.length * f)]!.toFixed(1);
rmSync("/tmp/narses-bench-st", { recursive: true, force: true });
for (const bytes of [10_000, 300]) {
const log = await openVoteLog({ directory: "/tmp/narses-bench-st/v" + bytes });
const rec = new Uint8Array(bytes).fill(5); const times: number[] = [], flush: number[] = [];
const c0 = process.cpuUsage();
for (let i = 0; i < 4000; i++) { const t = performance.now(); log.append(rec, seqNum(i)); log.sync(); times.push((performance.now() - t) * 1e3); if (i % 128 === 0) log.truncate(seqNum(Math.max(0, i - 128)), []); }
const c = process.cpuUsage(c0);
for (let i = 0; i < 4000; i++) { const t = performance.now(); log.append(rec, seqNum(i)); log.flush(); flush.push((performance.now() - t) * 1e3); }
times.sort((a, b) => a - b); flush.sort((a, b) => a - b); console.log("sync", bytes, "p10", q(times, .1), "p50", q(times, .5), "p99", q(times, .99), "CPU", ((c.user + c.system) / 4000).toFixed(1), "flush p50", q(flush, .5));
await log.close();
}
const state = await openStateStore({ hasher, directory: "/tmp/narses-bench-st/state" });
const val = (i: number) => Buffer.from(`{"balance":${i},"owner":"someone with a name ${i}"}`);
for (let i = 0; i < 200_000; i++) state.put(`account/${i}`, val(i));
state.root();
let x = 1; const rnd = () => (x = (Math.imul(x, 1103515245) + 12345) >>> 0) % 200_000;
for (const dirty of [1, 10, 300, 2000]) {
  const times: number[] = [], puts: number[] = [];
  const rounds = dirty > 1000 ? 60 : 400;
  for (let r = 0; r < rounds; r++) {
    const a = performance.now();
    for (let i = 0; i < dirty; i++) state.put(`account/${rnd()}`, val(r * 1000 + i));
    const b = performance.now(); state.root(); times.push((performance.now() - b) * 1e3); puts.push((b - a) * 1e3);
  }
  times.sort((a, b) => a - b); puts.sort((a, b) => a - b);
  console.log("root", dirty, "p10", q(times, .1), "p50", q(times, .5), "| puts p50", q(puts, .5));
}
let t = performance.now(); const p = state.checkpoint(seqNum(1)); console.log("freeze ms", (performance.now() - t).toFixed(1)); await p; console.log("durable ms", (performance.now() - t).toFixed(0)); await state.close();
t = performance.now(); const s2 = await openStateStore({ hasher, directory: "/tmp/narses-bench-st/state" }); console.log("open ms", (performance.now() - t).toFixed(0));
t = performance.now(); for (let i = 0; i < 10_000; i++) s2.get(`account/${rnd()}`); console.log("cold get µs", ((performance.now() - t) / 10).toFixed(1)); await s2.close();
rmSync("/tmp/narses-bench-st", { recursive: true, force: true });
