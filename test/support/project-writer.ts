import { writeProject } from "@decnet/engine/execute/project-files";
import { projectOf } from "./test-projects.ts";

/** Writes the project FOLDER in two versions by turns, as fast as it can, and says so after each; until it is killed. */
const [, , folder = "", name = ""] = process.argv;
for (let round = 0; ; round += 1) {
  await writeProject(folder, projectOf(`${name}${round % 2}`));
  process.stdout.write(`${round}\n`);
}
