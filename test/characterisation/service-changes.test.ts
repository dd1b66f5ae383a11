import { useStage } from "./support/stage.ts";

const record = useStage();

record("a service is added", async (s) => {
  await s.deploy({ web: { services: ["redis"] } });
  await s.add("web", "ssh", { password: "first", user: "maria" }, { reason: "ticket 1" });
});

record("a service is removed", async (s) => {
  await s.deploy({ web: { services: ["redis", "http"] } });
  await s.remove("web", "http");
});
