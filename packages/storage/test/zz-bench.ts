import { rmSync } from "node:fs";
import { seqNum } from "@narses/core";
import { hasher } from "@narses/crypto";
import { openVoteLog, openStateStore, openBlockStore } from "../src/index.ts";
import { block, jsonCodec } from "./helpers-bench.ts";
const cpu = () => { const u = process.cpuUsage(); return u.user + u.system; };
const stats = (name: string, times: number[], c: number) => { times.sort((a, b) => a - b); console.log(name, "p50", times[times.length >> 1]!.toFixed(0), "mean", (times.reduce((a, b) => a + b) / times.length).toFixed(0), "p99", times[Math.floor(times.length * 0.99)]!.toFixed(0), "µs; CPU", (c / times.length).toFixed(1), "µs"); };
rmSync("/tmp/bench-st", { recursive: true, force: true });
for (const [k, bytes, mode] of [[1, 10_000, "sync"], [1, 1_000, "sync"], [10, 10_000, "sync"], [30, 300, "sync"], [1, 10_000, "flush"], [30, 300, "flush"]] as const) {
  const log = await openVoteLog({ directory: `/tmp/bench-st/v${k}-${bytes}-${mode}` });
  const rec = new Uint8Array(bytes).fill(5);
  const times: number[] = [];
  let seq = 0;
  let c0 = 0;
  const N = k === 10 ? 600 : 1500;
  for (let i = -200; i < N; i++) {
    if (i === 0) c0 = cpu();
    const t = performance.now();
    for (let j = 0; j < k; j++) log.append(rec, seqNum(++seq));
    log[mode]();
    if (i >= 0) times.push((performance.now() - t) * 1e3);
    if (i % 128 === 0) log.truncate(seqNum(Math.max(0, seq - 128)), [rec]);
  }
  stats(`${mode} ${k}×${bytes}`, times, cpu() - c0);
  await log.close();
}
const state = await openStateStore({ directory: "/tmp/bench-st/state", hasher });
const val = (i: number) => Buffer.from(`{"balance":${i},"owner":"someone with a name ${i}"}`);
const t0 = performance.now();
for (let i = 0; i < 200_000; i++) state.put(`account/${i}`, val(i));
console.log("200k puts", ((performance.now() - t0) / 200).toFixed(2), "µs each");
let t1 = performance.now(); state.root(); console.log("root over 200k:", (performance.now() - t1).toFixed(0), "ms");
t1 = performance.now(); let p = state.checkpoint(seqNum(0)); console.log("checkpoint freeze", (performance.now() - t1).toFixed(1), "ms"); await p; console.log("durable after", (performance.now() - t1).toFixed(0), "ms");
let x = 1; const rnd = () => (x = (Math.imul(x, 1103515245) + 12345) >>> 0) % 200_000;
for (const dirty of [1, 10, 300, 2000]) {
  const times: number[] = [], puts: number[] = []; let c = 0;
  for (let r = 0; r < 130; r++) {
    const a = performance.now();
    for (let i = 0; i < dirty; i++) state.put(`account/${rnd()}`, val(r * 1000 + i));
    const b = performance.now(); const c0 = cpu(); state.root(); if (r >= 20) { c += cpu() - c0; times.push((performance.now() - b) * 1e3); puts.push((b - a) * 1e3); }
  }
  stats(`root() ${dirty} dirty`, times, c); stats(`   puts ${dirty}`, puts, 0);
}
t1 = performance.now(); let maxStall = 0, last = performance.now(); let going = true;
const tick = () => { const n = performance.now(); maxStall = Math.max(maxStall, n - last); last = n; if (going) setImmediate(tick); }; setImmediate(tick);
p = state.checkpoint(seqNum(1)); console.log("freeze after ~65k pages dirty", (performance.now() - t1).toFixed(1), "ms"); await p; going = false; console.log("durable after", (performance.now() - t1).toFixed(0), "ms, longest stall", maxStall.toFixed(1));
await state.close();
t1 = performance.now(); const s2 = await openStateStore({ directory: "/tmp/bench-st/state", hasher, cacheBytes: 1 << 20 }); console.log("open", (performance.now() - t1).toFixed(0), "ms");
t1 = performance.now(); for (let i = 0; i < 20_000; i++) s2.get(`account/${rnd()}`); console.log("cold get", ((performance.now() - t1) / 20).toFixed(1), "µs");
await s2.close();
const s3 = await openStateStore({ directory: "/tmp/bench-st/state", hasher });
for (let i = 0; i < 200_000; i++) s3.get(`account/${i}`);
t1 = performance.now(); for (let i = 0; i < 200_000; i++) s3.get(`account/${rnd()}`); console.log("warm get", ((performance.now() - t1) / 200).toFixed(2), "µs");
t1 = performance.now(); for (let i = 0; i < 1000; i++) s3.prove(`account/${rnd()}`); console.log("prove", (performance.now() - t1).toFixed(1), "µs");
t1 = performance.now(); for (let i = 0; i < 20; i++) await s3.keys("account/19", 100); console.log("keys 100", ((performance.now() - t1) * 50).toFixed(0), "µs");
await s3.close();
const blocks = await openBlockStore({ directory: "/tmp/bench-st/blocks", codec: jsonCodec });
for (let i = 0; i < 128; i++) blocks.put(block(i)); t1 = performance.now(); await blocks.sync(); console.log("blocks.sync", (performance.now() - t1).toFixed(2), "ms"); await blocks.close();
