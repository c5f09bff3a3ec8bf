/**
 * Where the chunks of one file are, as the master last told, until a recall drops it.
 * A chunk is a location, or null for a hole.
 */
import type {
  ChunkLocation,
  Layout as LayoutMessage,
} from '../proto/control/generated/namespace.js';

/** Chunks asked for at once: what a sequential reader needs next comes along. */
const CHUNKS_PER_QUESTION = 64;

export class Layout {
  readonly #chunks = new Map<number, ChunkLocation | null>();
  readonly #asked = new Map<number, Promise<void>>();
  #epoch = 0;

  constructor(private readonly ask: (first: number, count: number) => Promise<LayoutMessage>) {}

  /** The chunk at `index`; asks the master where it is not known. */
  async chunk(index: number): Promise<ChunkLocation | null> {
    const known = this.#chunks.get(index);
    if (known !== undefined) return known;
    const first = index - (index % CHUNKS_PER_QUESTION);
    const answer = new Map<number, ChunkLocation | null>();
    let asked = this.#asked.get(first);
    if (asked) {
      await asked;
      const told = this.#chunks.get(index);
      if (told !== undefined) return told;
    }
    asked = this.#fetch(first, answer);
    this.#asked.set(first, asked);
    try {
      await asked;
    } finally {
      if (this.#asked.get(first) === asked) this.#asked.delete(first);
    }
    return answer.get(index) ?? null;
  }

  /** What is known of the chunk at `index`, without asking. */
  known(index: number): ChunkLocation | null | undefined {
    return this.#chunks.get(index);
  }

  /** A writer learned where a chunk is. */
  remember(location: ChunkLocation): void {
    this.#chunks.set(location.index, location);
  }

  /** This client committed `length` bytes of a chunk: what was asked before tells of less. */
  committed(index: number, chunk: number, length: number): void {
    const known = this.#chunks.get(index);
    const isOther = known !== undefined && known?.chunk !== chunk;
    if (isOther || this.#asked.size > 0) this.drop();
    else if (known && known.length < length) this.#chunks.set(index, { ...known, length });
  }

  /** Nothing known is true any more; answers under way are not kept either. */
  drop(): void {
    this.#epoch += 1;
    this.#chunks.clear();
    this.#asked.clear();
  }

  async #fetch(first: number, answer: Map<number, ChunkLocation | null>): Promise<void> {
    const epoch = this.#epoch;
    const layout = await this.ask(first, CHUNKS_PER_QUESTION);
    for (let index = first; index < first + CHUNKS_PER_QUESTION; index += 1) {
      answer.set(index, null);
    }
    for (const location of layout.chunks) answer.set(location.index, location);
    if (epoch !== this.#epoch || layout.inline !== undefined) return;
    for (const [index, location] of answer) this.#chunks.set(index, location);
  }
}
