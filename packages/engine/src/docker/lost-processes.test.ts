import { expect, it } from "vitest";
import { endingLost, endProcesses, endUnlessStarted } from "./lost-processes.ts";

const id = "f".repeat(64);
const lost = "cannot remove container: could not kill: tried to kill container, but did not receive an exit event";
/** A call that is refused so often, and how often it was made. */
const refused = (times: number, message: string, statusCode = 500) => {
  const made = { calls: 0 };
  const call = async () => {
    made.calls += 1;
    if (made.calls <= times) throw Object.assign(new Error(message), { statusCode });
    return "removed";
  };
  return { made, call };
};

it("ends the processes of a container that the engine has lost, and calls again", async () => {
  const { made, call } = refused(1, lost);
  expect(await endingLost(id, call, () => 1)).toBe("removed");
  expect(made.calls).toBe(2);
});

it.each([
  ["there is no process", refused(1, lost), 0],
  ["it is refused for something else", refused(1, "no space left on device"), 1],
  ["the refusal is another one", refused(1, lost, 409), 1],
])("passes the refusal on when %s", async (_, { made, call }, processes) => {
  await expect(endingLost(id, call, () => processes)).rejects.toThrow();
  expect(made.calls).toBe(1);
});

it("ends nothing by less than a whole id", () => {
  expect(endProcesses("")).toBe(0);
  expect(endProcesses("fff")).toBe(0);
});

it("ends what runs of a container that was restarted and still waits for its restart, and leaves one that started", async () => {
  const ended: string[] = [];
  const end = (each: string) => ended.push(each);
  const looks = [true, true, false];
  await endUnlessStarted(id, async () => looks.shift() ?? true, end);
  expect(ended).toEqual([]);
  await endUnlessStarted(id, async () => true, end);
  expect(ended).toEqual([id]);
});
