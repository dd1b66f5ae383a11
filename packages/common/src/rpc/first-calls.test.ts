import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { createFirstCalls } from "./first-calls.ts";

/** A connection of which a test says what became of its credentials, and the calls on it in the order in which they began. */
function open() {
  let isProven = false;
  let verdict: () => void = () => undefined;
  const connection = {
    isProven: () => isProven,
    onVerdict: (listener: () => void) => {
      verdict = listener;
    },
  };
  const first = createFirstCalls();
  const begun: string[] = [];
  const calls = new EventEmitter();
  const over = new Set<string>();
  const call = (name: string) =>
    first.begin(connection, {
      isOver: () => over.has(name),
      begin: () => void begun.push(name),
      onEnd: (listener) => void calls.once(name, listener),
    });
  const end = (name: string) => {
    over.add(name);
    calls.emit(name);
  };
  const prove = () => {
    isProven = true;
    verdict();
  };
  return { call, end, begun, refuse: () => verdict(), prove };
}

describe("calls that show a credential on a connection of which nobody knows whose it is", () => {
  it("begin one after the other while they are refused", () => {
    const { call, begun, refuse } = open();
    for (const name of ["a", "b", "c"]) call(name);
    expect(begun).toEqual(["a"]);
    refuse();
    expect(begun).toEqual(["a", "b"]);
    refuse();
    refuse();
    expect(begun).toEqual(["a", "b", "c"]);
    call("d");
    expect(begun).toEqual(["a", "b", "c", "d"]);
  });

  it("begin all at once when the first is accepted", () => {
    const { call, begun, prove } = open();
    for (const name of ["a", "b", "c"]) call(name);
    prove();
    expect(begun).toEqual(["a", "b", "c"]);
  });

  it("wait for nobody who is gone, nor for one that ends without a word about its credential", () => {
    const { call, end, begun } = open();
    for (const name of ["a", "b", "c"]) call(name);
    end("b");
    expect(begun).toEqual(["a"]);
    end("a");
    expect(begun).toEqual(["a", "c"]);
    end("c");
    call("d");
    expect(begun).toEqual(["a", "c", "d"]);
  });
});
