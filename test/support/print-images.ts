import { debianBase } from "@decnet/engine/tables/distros";
import { prepareImages } from "./images.ts";

/**
 * Prints the tags of the images that the tests start containers of, one a line; scripts/matrix.sh carries them to other
 * engines.
 */
process.stdout.write(`${[debianBase, ...(await prepareImages())].join("\n")}\n`);
