import { Stage } from "./src/load/stage.ts";
const s = await Stage.open({ n: 4, clients: 1, bundlesInFlight: 32 });
try { await new Promise(r=>setTimeout(r,1500));
 const cpu = async () => Promise.all(s.replicas.map(async r => { const x = await r.call("sample") as any; return [x.cpuUs, x.status.counters.turns, x.status.counters.sent.status]; }));
 const a = await cpu(); await new Promise(r=>setTimeout(r,5000)); const b = await cpu();
 console.log("idle CPU ms/s per replica, turns/s, status/s", b.map((x,i)=>x.map((v: number,j: number)=>((v-a[i][j])/(j===0?5000:5)).toFixed(1)).join(" ")));
} finally { await s.close(); }
