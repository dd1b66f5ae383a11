export type HostnameStyle = "generic" | "rhel" | "minimal" | "rolling";

/** What a decky pretends to be. `image` is the base container's, `buildBase` what service images are built from. */
export interface Distro {
  readonly slug: string;
  readonly title: string;
  readonly image: string;
  readonly buildBase: string;
  readonly hostnameStyle: HostnameStyle;
}

/** Made or pulled by the set-up command. */
export const debianBase = "decnet/base-debian:bookworm";

const distro = (slug: string, title: string, image: string, hostnameStyle: HostnameStyle, builds: boolean): Distro => ({
  slug,
  title,
  image,
  buildBase: builds ? image : debianBase,
  hostnameStyle,
});

export const distros: readonly Distro[] = [
  distro("debian", "Debian 12", debianBase, "generic", true),
  distro(
    "ubuntu22",
    "Ubuntu 22.04",
    "ubuntu@sha256:962f6cadeae0ea6284001009daa4cc9a8c37e75d1f5191cf0eb83fe565b63dd7",
    "generic",
    true,
  ),
  distro(
    "ubuntu20",
    "Ubuntu 20.04",
    "ubuntu@sha256:8feb4d8ca5354def3d8fce243717141ce31e2c428701f6682bd2fafe15388214",
    "generic",
    true,
  ),
  distro(
    "rocky9",
    "Rocky 9",
    "rockylinux@sha256:305de618a5681ff75b1d608fd22b10f362867dff2f550a4f1d427d21cd7f42b4",
    "rhel",
    false,
  ),
  distro("centos7", "CentOS 7", "centos@sha256:be65f488b7764ad3638f236b7b515b3678369a5124c47b8d32916d6487418ea4", "rhel", false),
  distro(
    "alpine",
    "Alpine 3.19",
    "alpine@sha256:6baf43584bcb78f2e5847d1de515f23499913ac9f12bdf834811a3145eb11ca1",
    "minimal",
    false,
  ),
  distro("fedora", "Fedora 39", "fedora@sha256:d63d63fe593749a5e8dbc8152427d40bbe0ece53d884e00e5f3b44859efa5077", "rhel", false),
  distro(
    "kali",
    "Kali rolling",
    "kalilinux/kali-rolling@sha256:1fd0364490011f245688c6ed9fee498a11cd779badfbb0b1d3a721d0f49f2d15",
    "rolling",
    true,
  ),
  distro("arch", "Arch", "archlinux@sha256:5ba8bb318666baef4d33afefc0e65db80f38b23503cb8e7b150d315cc2d4d5da", "rolling", false),
];

export function findDistro(slug: string): Distro | undefined {
  return distros.find((candidate) => candidate.slug === slug);
}
