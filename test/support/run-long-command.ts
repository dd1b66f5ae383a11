import { runCommand } from "@decnet/engine/docker/run-command";

/** Runs a program that says its process id and goes on, as a daemon runs compose; says it too. */
await runCommand("sh", ["-c", "echo $$; exec sleep 600"], {
  timeoutMs: 600_000,
  signal: new AbortController().signal,
  onLine: (line) => console.log(line),
  endsWithUs: true,
});
