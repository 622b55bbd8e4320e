/** Evidence only against the guilty: while every replica is correct, nobody is rejected for misbehaviour. */
import { verdict } from "@narses/core";
import { fail, type Oracle } from "./oracle.ts";

export function accusationOracle(): Oracle {
  return {
    name: "accusation",
    onEffect: (replica, effect) => {
      if (effect.type === "rejected" && verdict(effect.rejection) === "misbehaviour") {
        fail("accusation", `${replica.name} accuses correct r${effect.from} over its ${effect.message}: ${effect.rejection.code} (${effect.rejection.detail})`);
      }
    },
  };
}
