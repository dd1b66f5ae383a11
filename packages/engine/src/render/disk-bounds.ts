/** What the engine of this host refuses to write beyond a size. Both want project quotas of the file system under it. */
export interface DiskBounds {
  /** The layers of containers. */
  readonly layers: boolean;
  readonly volumes: boolean;
  /** Bytes for each place where a service can write, instead of the catalog's; 0: the catalog's. */
  readonly bytes: number;
}

const mebibyte = 1 << 20;

/**
 * A decoy is told that its disk is full an eighth above what it may take, so that who comes there has already gone too far for
 * the watch, whose policy follows.
 */
export function boundOf(budgetBytes: number): string {
  return `${Math.ceil((budgetBytes * 9) / 8 / mebibyte)}m`;
}

/** Of a service in compose's words. A root that nobody can write to needs no bound. */
export function boundLayer(
  entry: { readonly readOnlyRoot: boolean; readonly limits: { readonly diskMb: number } },
  bounds: DiskBounds | undefined,
): { readonly storage_opt?: { readonly size: string } } {
  if (bounds?.layers !== true || entry.readOnlyRoot) return {};
  return { storage_opt: { size: boundOf(bytesOf(entry, bounds)) } };
}

/** Of a volume in compose's words; one that is there already stays as it is. */
export function boundVolume(
  entry: { readonly limits: { readonly diskMb: number } },
  bounds: DiskBounds | undefined,
): { readonly driver_opts?: { readonly size: string } } {
  if (bounds?.volumes !== true) return {};
  return { driver_opts: { size: boundOf(bytesOf(entry, bounds)) } };
}

function bytesOf({ limits }: { readonly limits: { readonly diskMb: number } }, { bytes }: DiskBounds): number {
  return bytes > 0 ? bytes : limits.diskMb * mebibyte;
}
