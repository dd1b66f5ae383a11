import { spawn } from "node:child_process";
import { dockerLines, eventually } from "./use-master.ts";

/** An open TCP connection to sshd, made inside the decky's namespace; it ends when sshd goes away. */
export async function holdSession(decky: string, docker: (args: string[]) => Promise<string[]> = dockerLines) {
  const [pid = ""] = await docker(["inspect", "--format", "{{.State.Pid}}", decky]);
  const program = "exec 3<>/dev/tcp/127.0.0.1/22; read -r greeting <&3; echo held; cat <&3 >/dev/null; echo over";
  const child = spawn("nsenter", ["-t", pid, "-n", "bash", "-c", program], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  await eventually(async () => said.includes("held"));
  return {
    isOpen: () => !said.includes("over"),
    close: () => {
      if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), "SIGKILL");
    },
  };
}
