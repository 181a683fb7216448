/** A text as a QR code, for another device's camera. */
import { encode } from "uqr";

/** Rows of modules, true where dark; square, without the quiet zone of 4 modules that belongs around it. */
export type QrModules = readonly (readonly boolean[])[];

/** @throws RangeError for more text than a code holds, about 2,300 bytes */
export function qrModules(text: string): QrModules {
  return encode(text, { ecc: "M", boostEcc: true, border: 0 }).data;
}
