import { expect, it } from "vitest";
import {
  away,
  cancelled,
  failed,
  firstDeploy,
  interrupted,
  keep,
  kept,
  op,
  type Row,
  resolve,
  situationOf,
  tell,
  undoing,
} from "./resolve-attempt.test.support.ts";
import type { Undo } from "./undo.ts";

const undoRows: Partial<Readonly<Record<Undo["kind"], readonly Row[]>>> = {
  kept: [
    [
      "a service change fails and is kept",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", keep)] },
      failed("redis"),
      `op-1 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "a first deploy fails and is kept",
      { ...firstDeploy, open: [op(1, "deploy_decky", 1, "", keep)] },
      failed("ssh"),
      `op-1 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "a move fails and is kept",
      { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2, "", keep)] },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "on edge-2: no", repair paused true, failures 1 · again',
    ],
    [
      "one of several that failed together keeps: all of them are kept",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http", keep)],
      },
      failed(),
      `op-1 failed APPLY_FAILED · op-2 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "another one keeps: the failed one is kept alone",
      {
        revisions: ["ssh", "ssh redis", "ssh redis http"],
        open: [op(1, "add_service", 2, "redis", keep), op(2, "add_service", 3, "http")],
      },
      failed("redis"),
      `op-1 failed APPLY_FAILED · ${kept}`,
    ],
    [
      "a change that keeps failures is interrupted",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis", { ...keep, ...cancelled })] },
      interrupted,
      'op-1 cancelled OPERATION_CANCELLED · state unknown, message "cancelled", repair paused true, failures 1 · again',
    ],
  ],
  undo_failed: [
    [
      "the undo of a service change fails",
      { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", undoing)] },
      failed("redis"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "the undo of a cancelled change fails",
      { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", { ...undoing, ...cancelled })] },
      failed("redis"),
      'op-1 cancelled APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "the removal of a failed first deploy fails",
      {
        decky: { ...firstDeploy.decky, leaving: true },
        revisions: ["ssh", "ssh"],
        open: [op(1, "deploy_decky", 2, "", undoing)],
      },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "the way back of a move fails",
      {
        decky: { host: "edge-1", lastHost: "edge-1", pendingRemovals: ["edge-2"], renderedRevision: 0 },
        revisions: ["ssh", "ssh", "ssh"],
        open: [op(1, "move_decky", 3, "", undoing)],
      },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "on edge-1: no", failures 1 · again',
    ],
  ],
  nothing: [
    [
      "a teardown fails: the decky stays on its way out",
      { decky: { leaving: true }, revisions: ["ssh", "ssh"], open: [op(1, "teardown_decky", 2)] },
      failed("ssh"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a repair fails: what is wanted is what ran",
      { revisions: ["ssh"], open: [op(1, "repair", 1)] },
      failed("ssh"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a change is interrupted that has nothing to revert",
      { revisions: ["ssh", "ssh"], open: [op(1, "restore_revision", 2, "", cancelled)] },
      interrupted,
      'op-1 cancelled OPERATION_CANCELLED · state unknown, message "cancelled", failures 1 · again',
    ],
    [
      "a failed service was changed again meanwhile: the later change goes on",
      {
        revisions: ["redis=1", "redis=2", "redis=3"],
        open: [op(1, "update_service_config", 2, "redis"), op(2, "update_service_config", 3, "redis")],
        began: { desiredRevision: 2 },
      },
      failed("redis"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a move fails whose decky was moved again meanwhile",
      {
        decky: { ...away, host: "edge-3", pendingRemovals: ["edge-1", "edge-2"] },
        revisions: ["ssh", "ssh", "ssh"],
        open: [op(1, "move_decky", 2), op(2, "move_decky", 3)],
        began: { host: "edge-2", desiredRevision: 2 },
      },
      failed(),
      'op-1 failed APPLY_FAILED · state degraded, message "on edge-2: no", failures 1 · again',
    ],
    [
      "a repair of what is wanted and was never seen fails: it is wanted still",
      { revisions: ["ssh", "ssh redis"], open: [op(1, "repair", 2)] },
      failed("redis"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 1 · again',
    ],
    [
      "a teardown is tried again and fails again",
      { decky: { leaving: true, failures: 1 }, revisions: ["ssh redis", "ssh"], open: [op(1, "repair", 2)] },
      failed("ssh"),
      'op-1 failed APPLY_FAILED · state degraded, message "no", failures 2 · again',
    ],
  ],
};

for (const [kind, rows] of Object.entries(undoRows))
  it.each(rows)(`${kind}: %s`, (_name, given, end, text) => {
    const resolution = resolve(given, end);
    expect(tell(situationOf(given), resolution)).toBe(text);
    expect(resolution.why).toBe(kind);
  });
