/** Where events are sent on to. */
export interface Webhook {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  readonly patterns: readonly string[];
  /** Sealed. */
  readonly secret: string;
  /** False: nothing is sent before somebody resumes it. */
  readonly isActive: boolean;
  /** Why it fails or was stopped. */
  readonly message: string;
  /** Everything up to here has been sent, or matches no pattern. */
  readonly position: string;
  /** Counts how often it was resumed: what was begun before then is over. */
  readonly generation: number;
  /** Attempts that failed since the last one that did not. */
  readonly failures: number;
  readonly failingSince: Date | null;
  readonly nextAttemptAt: Date | null;
  readonly lastDeliveryAt: Date | null;
  readonly createdAt: Date;
  readonly createdBy: string;
}

/** What becomes of one that could not be delivered to. */
export interface WebhookPolicy {
  /** It is stopped when nothing could be delivered for so long. */
  readonly giveUpMs: number;
  /** Between attempts; the first pause, and the longest. */
  readonly baseMs: number;
  readonly maxMs: number;
}

export type WebhookProgress = Pick<
  Webhook,
  "isActive" | "message" | "position" | "failures" | "failingSince" | "nextAttemptAt" | "lastDeliveryAt"
>;

/** How an attempt ended. Without an answer its status is 0. */
export type Delivery =
  | { readonly kind: "delivered"; readonly status: number }
  /** `isFinal`: the receiver says that it will never take one again. */
  | { readonly kind: "failed"; readonly status: number; readonly message: string; readonly isFinal: boolean };

export type FailedDelivery = Extract<Delivery, { kind: "failed" }>;

/** What is stored after an attempt that failed: when the next one is, or that there is none. Pure. */
export function afterFailure(
  before: WebhookProgress,
  failed: FailedDelivery,
  { policy, now, random }: { readonly policy: WebhookPolicy; readonly now: Date; readonly random: () => number },
): WebhookProgress {
  const failures = before.failures + 1;
  const failingSince = before.failingSince ?? now;
  const after = { ...before, failures, failingSince, nextAttemptAt: null };
  if (failed.isFinal) return { ...after, isActive: false, message: `the receiver wants no more: ${failed.message}` };
  if (now.getTime() - failingSince.getTime() >= policy.giveUpMs)
    return {
      ...after,
      isActive: false,
      message: `nothing could be delivered since ${failingSince.toISOString()}: ${failed.message}`,
    };
  const full = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(failures - 1, 30));
  // Never later than the moment at which it is given up: that, too, is decided after an attempt.
  const endsAt = failingSince.getTime() + policy.giveUpMs;
  const nextAt = Math.min(now.getTime() + full * (0.5 + random() / 2), endsAt);
  return { ...after, message: failed.message, nextAttemptAt: new Date(nextAt) };
}

/** What is stored once an event was delivered. Pure. */
export function afterDelivery(before: WebhookProgress, position: string, now: Date): WebhookProgress {
  const noTrouble = { message: "", failures: 0, failingSince: null, nextAttemptAt: null };
  return { ...before, ...noTrouble, position, lastDeliveryAt: now };
}

/** What is stored when nothing can be sent any more before somebody does something about it. Pure. */
export function afterStop(before: WebhookProgress, message: string): WebhookProgress {
  return { ...before, isActive: false, nextAttemptAt: null, message };
}
