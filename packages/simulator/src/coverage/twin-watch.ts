/** Twins have had an effect once the two of one key signed two values for one statement. */
import type { ReplicaId, SignedBody } from "@narses/core";
import { statements } from "../oracles/non-equivocation.ts";

export function twinWatch(effective: () => void): (id: ReplicaId, body: SignedBody) => void {
  const said = new Map<string, string>();
  return (id, body) => {
    for (const [key, value] of statements(body)) {
      const full = `r${id} ${key}`;
      const held = said.get(full);
      if (held === undefined) said.set(full, value);
      else if (held !== value) effective();
    }
  };
}
