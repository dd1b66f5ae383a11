import { expect, it } from "vitest";
import {
  applied,
  away,
  cancelled,
  firstDeploy,
  op,
  outcome,
  type Row,
  resolve,
  situationOf,
  tell,
  undoing,
} from "./resolve-attempt.test.support.ts";

const appliedRows: readonly Row[] = [
  [
    "a first deploy succeeds",
    { ...firstDeploy, open: [op(1, "deploy_decky", 1)] },
    applied,
    "op-1 succeeded · applied r1, rendered r1, state running",
  ],
  [
    "a service is added",
    { revisions: ["ssh", "ssh redis"], open: [op(1, "add_service", 2, "redis")] },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running",
  ],
  [
    "several waiting changes succeed together",
    {
      revisions: ["ssh", "ssh redis", "ssh redis http"],
      open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
    },
    applied,
    "op-1 succeeded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "a later change took the place of an earlier one",
    {
      revisions: ["redis=1", "redis=2", "redis=3"],
      open: [op(1, "update_service_config", 2, "redis"), op(2, "update_service_config", 3, "redis")],
    },
    applied,
    "op-1 superseded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "a service was added and removed again before either was applied",
    {
      revisions: ["ssh", "ssh redis", "ssh"],
      open: [op(1, "add_service", 2, "redis"), op(2, "remove_service", 3, "redis")],
    },
    applied,
    "op-1 superseded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "an earlier change of everything has nothing that could replace it",
    { revisions: ["ssh", "redis", "redis http"], open: [op(1, "restore_revision", 2), op(2, "add_service", 3, "http")] },
    applied,
    "op-1 succeeded · op-2 succeeded · applied r3, rendered r3, state running",
  ],
  [
    "a change came while the apply ran",
    {
      revisions: ["ssh", "ssh redis", "ssh redis http"],
      open: [op(1, "add_service", 2, "redis"), op(2, "add_service", 3, "http")],
      began: { desiredRevision: 2 },
    },
    applied,
    "op-1 succeeded · applied r2, rendered r2 · again",
  ],
  [
    "an undo was seen",
    { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", undoing)] },
    applied,
    "op-1 failed APPLY_FAILED undone · applied r3, rendered r3, state running",
  ],
  [
    "the undo of a cancelled change was seen",
    { revisions: ["ssh", "ssh redis", "ssh"], open: [op(1, "add_service", 3, "redis", { ...undoing, ...cancelled })] },
    applied,
    "op-1 cancelled APPLY_FAILED undone · applied r3, rendered r3, state running",
  ],
  [
    "a kept failure is mended",
    {
      decky: { repairPaused: true, failures: 2, state: "degraded" },
      revisions: ["redis=1", "redis=2"],
      open: [op(1, "update_service_config", 2, "redis")],
    },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running, repair paused false, failures 0",
  ],
  [
    "a moved decky runs at its new place and is still at the old one",
    { decky: away, revisions: ["ssh", "ssh"], open: [op(1, "move_decky", 2)] },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running · again",
  ],
  [
    "a repair does not help",
    { revisions: ["ssh"], open: [op(1, "repair", 1)] },
    outcome(undefined, "degraded"),
    "op-1 failed APPLY_FAILED · state degraded, failures 1",
  ],
  [
    "a repair of drift helps: the next one is not made at once",
    { decky: { failures: 1 }, revisions: ["ssh"], open: [op(1, "repair", 1, "", { actor: "drift" })] },
    applied,
    "op-1 succeeded · state running, failures 2",
  ],
  [
    "what was tried again succeeds",
    { decky: { failures: 3 }, revisions: ["ssh", "ssh"], open: [op(1, "repair", 2, "", { actor: "retry" })] },
    applied,
    "op-1 succeeded · applied r2, rendered r2, state running, failures 0",
  ],
  [
    "a change that came while the apply ran was cancelled: all is there",
    {
      revisions: ["ssh", "ssh redis", "ssh redis http", "ssh redis"],
      open: [op(1, "add_service", 2, "redis")],
      began: { desiredRevision: 2 },
    },
    applied,
    "op-1 succeeded · applied r4, rendered r2, state running",
  ],
  [
    "a decky is torn down",
    { decky: { leaving: true }, revisions: ["ssh", "ssh"], open: [op(1, "teardown_decky", 2)] },
    applied,
    "op-1 succeeded · web gone",
  ],
  [
    "a decky is torn down before a change that waited was ever applied",
    {
      decky: { leaving: true },
      revisions: ["ssh", "ssh redis", "ssh redis"],
      open: [op(1, "add_service", 2, "redis"), op(2, "teardown_decky", 3)],
    },
    applied,
    "op-1 superseded · op-2 succeeded · web gone",
  ],
  [
    "a decky is torn down whose waiting change removed a service",
    {
      decky: { leaving: true },
      revisions: ["ssh redis", "ssh", "ssh"],
      open: [op(1, "remove_service", 2, "redis"), op(2, "teardown_decky", 3)],
    },
    applied,
    "op-1 succeeded · op-2 succeeded · web gone",
  ],
  [
    "a removed first deploy is gone, with a change that waited for it",
    {
      decky: { ...firstDeploy.decky, leaving: true },
      revisions: ["ssh", "ssh redis", "ssh redis"],
      open: [op(2, "add_service", 2, "redis"), op(1, "deploy_decky", 3, "", undoing)],
    },
    applied,
    "op-2 superseded · op-1 failed APPLY_FAILED undone · web gone",
  ],
  [
    "a removed first deploy is gone, with a change of the decky that waited for it",
    {
      decky: { ...firstDeploy.decky, leaving: true },
      revisions: ["ssh", "ssh", "ssh"],
      open: [op(2, "change_decky", 2), op(1, "deploy_decky", 3, "", undoing)],
    },
    applied,
    "op-2 superseded · op-1 failed APPLY_FAILED undone · web gone",
  ],
  [
    "a decky is torn down before it was changed, and before that was tried",
    {
      decky: { leaving: true },
      revisions: ["ssh", "ssh", "ssh"],
      open: [op(1, "change_decky", 2), op(2, "teardown_decky", 3)],
    },
    applied,
    "op-1 superseded · op-2 succeeded · web gone",
  ],
  [
    "a removed first deploy is gone",
    {
      decky: { ...firstDeploy.decky, leaving: true },
      revisions: ["ssh", "ssh"],
      open: [op(1, "deploy_decky", 2, "", undoing)],
    },
    applied,
    "op-1 failed APPLY_FAILED undone · web gone",
  ],
  [
    "a decky was moved while the apply ran: applied where it no longer belongs",
    {
      decky: { ...away, host: "edge-2" },
      revisions: ["ssh", "ssh redis", "ssh redis"],
      open: [op(1, "add_service", 2, "redis"), op(2, "move_decky", 3)],
      began: { host: "edge-1", desiredRevision: 2 },
    },
    applied,
    "op-1 succeeded · applied r2 · again",
  ],
  [
    "a decky is wanted again after its host removed it: applied where it no longer belongs",
    {
      revisions: ["ssh", "ssh", "ssh"],
      open: [op(1, "teardown_decky", 2, "", undoing), op(2, "restore_revision", 3)],
      began: { leaving: true, desiredRevision: 2 },
    },
    applied,
    "op-1 failed APPLY_FAILED undone · rendered r0 · again",
  ],
];

it.each(appliedRows)("applied: %s", (_name, given, end, text) => {
  expect(tell(situationOf(given), resolve(given, end))).toBe(text);
});
