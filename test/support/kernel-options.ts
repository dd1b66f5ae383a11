import { execa } from "execa";

/** Whether this kernel was made with an option such as CONFIG_XFS_QUOTA; one that does not tell was, as distributions' are. */
export async function kernelHas(option: string): Promise<boolean> {
  const { stdout } = await execa("sh", ["-c", "zcat /proc/config.gz 2>/dev/null || cat /boot/config-$(uname -r)"], {
    reject: false,
  });
  return stdout === "" || new RegExp(`^${option}=[ym]$`, "m").test(stdout);
}
