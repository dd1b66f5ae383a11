import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { dockerLines } from "./use-master.ts";

/** A catalog folder of the test's own with one service that greets on its port. `build` is an extra line of its Dockerfile. */
export async function useOwnCatalog(port: number, build = "") {
  const folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
  const slug = `own_${randomBytes(3).toString("hex")}`;
  const program = [
    `$s = IO::Socket::INET->new(LocalPort => ${port}, Listen => 5, ReuseAddr => 1) or die;`,
    "while ($c = $s->accept) { print $c ($ENV{GREETING} // 'hello'); close $c }",
  ].join(" ");
  await mkdir(join(folder, slug, "image"), { recursive: true });
  await writeFile(
    join(folder, slug, "service.yaml"),
    [
      "title: Own",
      "summary: The operator's own service.",
      `ports: [{ number: ${port}, protocol: tcp }]`,
      "settle_seconds: 5",
      "fields: [{ key: greeting, label: Greeting, type: string, env: GREETING }]",
      "",
    ].join("\n"),
  );
  const entrypoint = JSON.stringify(["perl", "-MIO::Socket::INET", "-e", program]);
  const dockerfile = ["ARG BASE_IMAGE", "FROM $BASE_IMAGE", build, `ENTRYPOINT ${entrypoint}`, ""];
  await writeFile(join(folder, slug, "image/Dockerfile"), dockerfile.join("\n"));
  return {
    folder,
    slug,
    async dispose() {
      await rm(folder, { recursive: true });
      const images = await dockerLines(["image", "ls", "-q", `decnet/${slug}`]);
      if (images.length > 0) await execa("docker", ["image", "rm", ...images]);
    },
  };
}
