import { create } from "@bufbuild/protobuf";
import { ListOrphansResponseSchema } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { expect, it } from "vitest";
import { formatOrphans } from "./orphans.ts";

const installation = "11111111-2222-3333-4444-555555555555";

it.each<[string, Parameters<typeof create<typeof ListOrphansResponseSchema>>[1], string, string[]]>([
  ["nothing", {}, "", ["nothing on edge-03 that belongs to nothing"]],
  [
    "what there is, with how to remove it, and what was not looked at",
    {
      orphans: [{ key: "container/4f1c", kind: "container", name: "db\u001b[2J", reason: "was made for db" }],
      unseen: ["rules of DOCKER-USER: not permitted"],
    },
    "",
    [
      "KIND       NAME       WHY",
      String.raw`container  db\x1b[2J  was made for db`,
      "to remove it: decnet host orphans edge-03 --remove",
      "  ! not looked at: rules of DOCKER-USER: not permitted",
    ],
  ],
  [
    "other installations, and how to see what may be removed",
    {
      others: [
        { installation, count: 2, standing: "whose data is not on this host any more", kept: false },
        { installation: "x", count: 1, standing: "whose data is in /data", kept: true },
      ],
    },
    "",
    [
      "nothing on edge-03 that belongs to nothing",
      "  2 things of another installation, whose data is not on this host any more; to see them: " +
        `decnet host orphans edge-03 --installation ${installation}`,
      "  one thing of another installation, whose data is in /data",
    ],
  ],
  [
    "too many to show, of another installation",
    { orphans: [{ kind: "network", name: "lan", reason: "belongs to another" }], leftOut: 7 },
    installation,
    [
      "KIND     NAME  WHY",
      "network  lan   belongs to another",
      "and 7 more",
      `to remove all 8: decnet host orphans edge-03 --installation ${installation} --remove`,
    ],
  ],
])("says %s", (_, found, of, lines) => {
  expect(formatOrphans("edge-03", of, create(ListOrphansResponseSchema, found)).split("\n")).toEqual(lines);
});
