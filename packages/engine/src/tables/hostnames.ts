import type { HostnameStyle } from "./distros.ts";

const words = [
  ..."alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike nova oscar".split(" "),
  ..."prod web db mail proxy dev stage backup monitor files".split(" "),
];

/** Makes up a hostname in a distro's style. `random` gives numbers in [0, 1). */
export function makeHostname(style: HostnameStyle, random: () => number): string {
  const word = () => words[Math.floor(random() * words.length)] ?? "alpha";
  const number = () => 10 + Math.floor(random() * 90);
  switch (style) {
    case "generic":
      return `SRV-${word().toUpperCase()}-${number()}`;
    case "rhel":
      return `${word()}${number()}.localdomain`;
    case "minimal":
      return `${word()}-${number()}`;
    case "rolling":
      return `${word()}-${word()}`;
    default:
      return style satisfies never;
  }
}
