/** Instants as the store takes them. */

/** Epoch ms → RFC 3339 UTC. */
export function instantIso(ms: number): string {
  return new Date(ms).toISOString();
}

/** The same, with null for none. */
export function instantIsoOrNull(ms: number | null): string | null {
  return ms === null ? null : instantIso(ms);
}

/** PostgreSQL's text, or RFC 3339 → epoch ms; null stays null. */
export function instantMs(text: string | null): number | null {
  return text === null ? null : Date.parse(text);
}
