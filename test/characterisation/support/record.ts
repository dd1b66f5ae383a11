import { afterAll, beforeAll, expect, it } from "vitest";
import { createSituation, type Situation } from "./situation.ts";
import { openStage, type Stage } from "./stage.ts";

/** Names a situation, plays it and compares what was recorded. */
export type RecordSituation = (title: string, play: (situation: Situation, stage: Stage) => Promise<void>) => void;

/** Where a situation is recorded, from the folder of the tests. */
export function fileOf(title: string): string {
  return `./recorded/${title.replaceAll(/[^a-z0-9]+/gi, "-").replaceAll(/^-|-$/g, "")}.txt`;
}

/** One stage for all situations of a test file; each begins and ends with an empty fleet. */
export function useStage(workers: readonly string[] = []): RecordSituation {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage(workers);
  });
  afterAll(() => stage?.dispose());
  return (title, play) =>
    it(title, async () => {
      const situation = createSituation(stage);
      try {
        await situation.begin();
        await play(situation, stage);
        await expect(await situation.tell(title)).toMatchFileSnapshot(fileOf(title));
      } finally {
        await stage.clear();
      }
    });
}
