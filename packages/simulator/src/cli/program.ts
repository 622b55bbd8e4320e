/** How this program was called: repeat commands are for the same caller. */
import { basename } from "node:path";
import process from "node:process";

export const PROGRAM: string = basename(process.argv[1] ?? "").startsWith("narses-sim") ? "npx narses-sim" : "pnpm sim";
