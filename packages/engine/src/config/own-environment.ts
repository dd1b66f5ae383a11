/** What a program needs of the environment that the daemon was started with. */
const inherited = ["PATH", "TMPDIR"];

/**
 * A daemon's environment holds what somebody needed for something else: proxies with passwords, another engine, a platform,
 * switches of compose. None of it reaches a program of ours, and so no decoy.
 */
export function ownEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = inherited.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), LC_ALL: "C.UTF-8", HOME: "/nonexistent", ...more };
}
