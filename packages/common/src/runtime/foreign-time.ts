import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** The last second that a timestamp may name, in the year 9999. */
const lastSecond = 253_402_300_799;

/** Whether a timestamp is one: other machines can send any number. */
export function isInTime({ seconds, nanos }: Pick<Timestamp, "seconds" | "nanos">): boolean {
  return seconds >= 0n && seconds <= lastSecond && nanos >= 0 && nanos < 1e9;
}

/** When something was, as another machine says it; now when it says no time. */
export function dateOf(at: Timestamp | undefined): Date {
  return at === undefined || !isInTime(at) ? new Date() : timestampDate(at);
}
