import { Stage } from "./src/load/stage.ts";
const unit = Number(process.env.UNIT ?? 1), n = Number(process.env.N ?? 4);
  const s = await Stage.open({ n, clients: 8, bundlesInFlight: 32, parameters: { bundleOperationsMax: unit, ...JSON.parse(process.env.P ?? "{}") } });
  try {
    for (let i=0;i<5;i++) { const m = await s.measure({ arrival: {type:"closed", inFlight: Number(process.env.F??8)}, unit, payloadBytes: 128, durationMs: 4000 }); console.log(i, m.operationsPerSecond.toFixed(0), "ops/s; cpu", m.usage.cpuPer100k.toFixed(1), "client", m.usage.clientCpuPer100k.toFixed(1), "p50", m.load.latency.p50.toFixed(1), "p99", m.load.latency.p99.toFixed(1),  "ops/batch", m.usage.operationsPerBatch.toFixed(1), "chk/batch", m.usage.signaturesCheckedPerBatch.toFixed(1), "retr", m.load.retransmissions, "rss", (m.usage.rssBytes/1e6).toFixed()); }
  } finally { await s.close(); }
