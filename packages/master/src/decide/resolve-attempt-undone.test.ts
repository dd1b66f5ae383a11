import { expect, it } from "vitest";
import {
  away,
  cancelled,
  failed,
  firstDeploy,
  interrupted,
  op,
  type Row,
  refused,
  resolve,
  situationOf,
  tell,
  undoing,
} from "./resolve-attempt.test.support.ts";
import type { Undo } from "./undo.ts";

const undoRows: Partial<Readonly<Record<Undo["kind"], readonly Row[]>>> = {
  removed: [
    [
      "a first deploy fails",
      { ...firstDeploy, open: [op(1, "deploy_decky", 1)] },
      failed("ssh"),
      "r2: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r2, leaving true · again",
    ],
    [
      "a first deploy is interrupted",
      { ...firstDeploy, open: [op(1, "deploy_decky", 1, "", cancelled)] },
      interrupted,
      "r2: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r2, leaving true · again",
    ],
    [
      "a decky was moved before its first deploy, which fails",
      {
        ...firstDeploy,
        decky: { ...firstDeploy.decky, host: "edge-1" },
        revisions: ["ssh", "ssh"],
        open: [op(1, "deploy_decky", 1), op(2, "move_decky", 2)],
      },
      failed("ssh"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r3, leaving true · again",
    ],
  ],
  stays: [
    [
      "a teardown is interrupted",
      { decky: { leaving: true }, revisions: ["ssh", "ssh"], open: [op(1, "teardown_decky", 2, "", cancelled)] },
      interrupted,
      "r3: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r3, leaving false · again",
    ],
  ],
  back: [
    [
      "a move fails: the decky goes back to where it ran",
      { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2)] },
      failed("ssh"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3, host edge-1, removals [edge-2] · again",
    ],
    [
      "a move with other services fails: it goes back with its old ones",
      { decky: away, revisions: ["ssh", "ssh redis"], open: [op(1, "move_decky", 2)] },
      failed(),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3, host edge-1, removals [edge-2] · again",
    ],
    [
      "a move is interrupted",
      { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2, "", cancelled)] },
      interrupted,
      "r3: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r3, host edge-1, removals [edge-2] · again",
    ],
    [
      "a move fails while another change waits, which goes along",
      {
        decky: away,
        revisions: ["ssh", "ssh", "ssh redis"],
        open: [op(1, "move_decky", 2), op(2, "add_service", 3, "redis")],
        began: { desiredRevision: 2 },
      },
      failed(),
      "r4: undo of op-1 [ssh redis] · op-1 undoing APPLY_FAILED · op-2 running" +
        " · desired r4, host edge-1, removals [edge-2] · again",
    ],
  ],
  reverted: [
    [
      "an added service fails",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
      failed("redis"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a removed service fails",
      { revisions: ["ssh redis=1", "ssh"], open: [op(1, "remove_service", 2, "redis")] },
      failed("redis"),
      "r3: undo of op-1 [ssh redis=1] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "new settings fail",
      { revisions: ["redis=1 ssh", "redis=2 ssh"], open: [op(1, "update_service_config", 2, "redis")] },
      failed("redis"),
      "r3: undo of op-1 [redis=1 ssh] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a service change is interrupted",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", cancelled)] },
      interrupted,
      "r3: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r3 · again",
    ],
    [
      "one of several waiting changes is interrupted: the others go on",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis", cancelled), op(2, "add_service", 3, "http")],
      },
      interrupted,
      "r4: undo of op-1 [ssh http] · op-1 undoing OPERATION_CANCELLED · desired r4 · again",
    ],
    [
      "one of several waiting changes fails: the others go on",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
      },
      failed("redis"),
      "r4: undo of op-1 [ssh http] · op-1 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a step fails that belongs to no service: all that differs goes back",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
      },
      failed(),
      "r4: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a change of the fleet fails at one service: that one alone goes back",
      { revisions: ["ssh=1 redis=1", "ssh=2 redis=2"], open: [op(1, "change_decky", 2)] },
      failed("redis"),
      "r3: undo of op-1 [ssh=2 redis=1] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a service that nobody asked for fails: what was asked for is taken back",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
      failed("ssh"),
      "r3: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a change fails while a later one of another service waits",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
        began: { desiredRevision: 2 },
      },
      failed("redis"),
      "r4: undo of op-1 [ssh http] · op-1 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a change fails while a teardown waits, which goes on",
      {
        decky: { leaving: true },
        revisions: ["ssh", "ssh redis", "ssh redis"],
        open: [op(1, "add_service", 2, "redis"), op(2, "teardown_decky", 3)],
        began: { desiredRevision: 2, leaving: false },
      },
      failed("redis"),
      "r4: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · desired r4 · again",
    ],
    [
      "a change is interrupted while a teardown waits, which goes on",
      {
        decky: { leaving: true },
        revisions: ["ssh", "ssh redis", "ssh redis"],
        open: [op(1, "add_service", 2, "redis", cancelled), op(2, "teardown_decky", 3)],
        began: { desiredRevision: 2, leaving: false },
      },
      interrupted,
      "r4: undo of op-1 [ssh] · op-1 undoing OPERATION_CANCELLED · desired r4 · again",
    ],
    [
      "a first deploy fails while a teardown waits, which goes on",
      {
        decky: { ...firstDeploy.decky, leaving: true },
        revisions: ["ssh", "ssh"],
        open: [op(1, "deploy_decky", 1), op(2, "teardown_decky", 2)],
        began: { desiredRevision: 1, leaving: false },
      },
      failed("ssh"),
      "r3: undo of op-1 [] · op-1 undoing APPLY_FAILED · desired r3 · again",
    ],
    [
      "a change and the teardown after it fail together: neither of them counts",
      {
        decky: { leaving: true },
        revisions: ["ssh", "ssh redis", "ssh redis"],
        open: [op(1, "add_service", 2, "redis"), op(2, "teardown_decky", 3)],
      },
      failed(),
      "r4: undo of op-1 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r4, leaving false · again",
    ],
    [
      "a change fails in the middle of the undo of another: both end with the new revision",
      {
        revisions: ["ssh", "ssh redis", "ssh", "ssh http"],
        open: [op(1, "add_service", 3, "redis", undoing), op(2, "add_service", 4, "http")],
      },
      failed("http"),
      "r5: undo of op-2 [ssh] · op-1 undoing APPLY_FAILED · op-2 undoing APPLY_FAILED · desired r5 · again",
    ],
    [
      "the plan is no longer the one that was agreed to",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
      refused,
      "r3: undo of op-1 [ssh] · op-1 undoing PLAN_CHANGED · desired r3 · again",
    ],
  ],
};

for (const [kind, rows] of Object.entries(undoRows))
  it.each(rows)(`${kind}: %s`, (_name, given, end, text) => {
    const resolution = resolve(given, end);
    expect(tell(situationOf(given), resolution)).toBe(text);
    expect(resolution.why).toBe(kind);
  });
