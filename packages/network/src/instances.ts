/**
 * Which processes have shown themselves with one replica's key. A process takes a random number at its start, and never takes it again:
 * one that was replaced and comes back was never gone, so two live processes use the key (a copied home directory, a restored
 * virtual machine). Protocol-wise that is a faulty replica; here it is told, since the cure is to stop one of them.
 */

/** Processes that were replaced by another one are remembered up to this many; then the oldest is forgotten. */
const INSTANCES_REMEMBERED_MAX = 8;
/** A replaced process must come back this often before it is told: a connection that was on its way proves nothing. */
const RETURNS_TOLD = 2;

export class Instances {
  readonly #replaced = new Set<string>();
  #current: string | undefined;
  #returns = 0;

  /** True once for a key: two processes with it are alive. */
  seen(instance: string): boolean {
    if (instance === this.#current) return false;
    if (this.#current !== undefined) this.#replaced.add(this.#current);
    this.#current = instance;
    const came = this.#replaced.delete(instance);
    for (const oldest of this.#replaced) {
      if (this.#replaced.size <= INSTANCES_REMEMBERED_MAX) break;
      this.#replaced.delete(oldest);
    }
    if (!came) return false;
    return ++this.#returns === RETURNS_TOLD;
  }
}
