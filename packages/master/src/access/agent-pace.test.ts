import { describe, expect, it } from "vitest";
import { createAgentPace } from "./agent-pace.ts";

describe("calls of a worker", () => {
  const start = () => {
    let time = 0;
    const pace = createAgentPace(() => time);
    const takes = (host: string, count: number) => Array.from({ length: count }, () => pace.take(host));
    return { takes, wait: (ms: number) => (time += ms) };
  };

  it("may be hundreds in a row, and twenty in each second after that", () => {
    const { takes, wait } = start();
    expect(new Set(takes("a", 500))).toEqual(new Set(["in"]));
    expect(takes("a", 1)).toEqual(["refused"]);
    wait(1_000);
    expect(takes("a", 60).filter((each) => each === "in").length).toBe(20);
  });

  it("take nothing from those of another worker", () => {
    const { takes } = start();
    takes("a", 600);
    expect(takes("b", 1)).toEqual(["in"]);
  });

  it("end with the connection of one that goes on although it is refused", () => {
    const { takes } = start();
    takes("a", 500);
    expect(takes("a", 201).at(-1)).toBe("cut");
    expect(takes("b", 1)).toEqual(["in"]);
  });
});
