import { randomBytes } from "node:crypto";

/** Networks for a topology on an engine that others use at the same time: four of them, which hardly anybody else draws. */
export function drawSubnets(): (at: 0 | 1 | 2 | 3) => string {
  const [second = 0, third = 0] = randomBytes(2);
  return (at) => `10.${100 + (second % 100)}.${third - (third % 4) + at}.0/24`;
}
