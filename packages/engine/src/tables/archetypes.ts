/** A kind of machine: the services it has and what it looks like. */
export interface Archetype {
  readonly slug: string;
  readonly title: string;
  readonly services: readonly string[];
  /** Preferred first. */
  readonly distros: readonly string[];
  readonly osFamily: string;
}

const archetype = (slug: string, title: string, services: string, distros: string, osFamily: string): Archetype => ({
  slug,
  title,
  services: services.split(" "),
  distros: distros.split(" "),
  osFamily,
});

export const archetypes: readonly Archetype[] = [
  archetype("windows-workstation", "Windows workstation", "smb rdp", "debian ubuntu22", "windows"),
  archetype("windows-server", "Windows server", "smb rdp ldap", "debian ubuntu22", "windows_server"),
  archetype("domain-controller", "Domain controller", "ldap smb rdp llmnr", "debian ubuntu22", "windows_server"),
  archetype("linux-server", "Linux server", "ssh http", "debian ubuntu22 rocky9 fedora", "linux"),
  archetype("web-server", "Web server", "http ftp", "debian ubuntu22 ubuntu20", "linux"),
  archetype("database-server", "Database server", "mysql postgres redis", "debian ubuntu22", "linux"),
  archetype("mail-server", "Mail server", "smtp pop3 imap", "debian ubuntu22", "linux"),
  archetype("file-server", "File server", "smb ftp ssh", "debian ubuntu22 rocky9", "linux"),
  archetype("printer", "Printer", "snmp ftp", "alpine debian", "embedded"),
  archetype("iot-device", "IoT device", "mqtt snmp telnet", "alpine", "embedded"),
  archetype("industrial-control", "Industrial controller", "conpot snmp", "debian", "embedded"),
  archetype("voip-server", "VoIP server", "sip", "debian ubuntu22", "linux"),
  archetype("monitoring-node", "Monitoring node", "snmp ssh", "debian rocky9", "linux"),
  archetype("devops-host", "DevOps host", "docker_api ssh k8s", "ubuntu22 debian", "linux"),
  archetype("deaddeck", "Forgotten machine", "ssh", "debian ubuntu22", "linux"),
];

export function findArchetype(slug: string): Archetype | undefined {
  return archetypes.find((candidate) => candidate.slug === slug);
}
