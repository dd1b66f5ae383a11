import type { ProjectFile } from "@decnet/engine/render/render-decky";

/** Files of a project that say in every part which version they are; long enough for a writer to be seen in the middle. */
export function projectOf(version: string, length = 400): ProjectFile[] {
  const parts = Array.from({ length }, (_, index) => ({ index, version, filling: version.repeat(100) }));
  return [
    { path: `secrets/ssh-${version}/password`, content: `secret of ${version}`, owner: 0, mode: 0o400 },
    { path: "compose.yaml", content: `${JSON.stringify({ version, parts }, null, 1)}\n`, owner: 0, mode: 0o600 },
  ];
}
