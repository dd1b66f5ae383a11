/** The services of a decky change by themselves every so often. */
export interface RotationSetting {
  readonly everySeconds: number;
  /** Slugs to choose from; empty: the archetype's, or the whole catalog without one. */
  readonly services: readonly string[];
}

/** What operators said about single services since the rotation began. */
export interface RotationWishes {
  /** They added or configured it: it stays. */
  readonly pinned: readonly string[];
  /** They removed it: it does not come back by itself. */
  readonly barred: readonly string[];
}

/** How the rotation of a decky stands. */
export interface Rotation extends RotationWishes {
  readonly deckyId: string;
  readonly setting: RotationSetting;
  readonly nextAt: Date;
  readonly lastAt: Date | null;
  /** In a row. */
  readonly failures: number;
  /** Why the last one failed, or why there is none; empty when that goes without saying. */
  readonly message: string;
}

/** The actor of rotations that nobody asked for. */
export const rotationActor = "rotation";

export const rotationRange = { leastSeconds: 60, mostSeconds: 365 * 86_400 } as const;
