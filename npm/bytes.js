// Bytes in memory and at addresses, and pixels in memory.

import { DestsegError, closed, noImage } from "./error.js";

/** Without isolation from other sites, pages have such memory but not the name of its class. */
const isShared = (value) => Object.prototype.toString.call(value) === "[object SharedArrayBuffer]";

/** Whether a value holds bytes. */
export const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value) || isShared(value);

/** A copy of these bytes, in memory of its own: what happens to the original later does not matter. */
export function bytesOf(value, code) {
  try {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
    return new Uint8Array(bytes);
  } catch {
    throw new DestsegError(code, "The bytes are gone, because their buffer was sent elsewhere: send a copy of it there.");
  }
}

/** A copy of pixels that are given as `{data, width, height}`. */
export function pixelsOf({ data, width, height }) {
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw noImage("The pixels have no 8 bits each: give their `data` as Uint8Array or Uint8ClampedArray.");
  }
  const isSize = (side) => Number.isInteger(side) && side >= 0 && side < 2 ** 32;
  if (!isSize(width) || !isSize(height)) {
    throw noImage(`An image of ${width} x ${height} pixels cannot be: give \`width\` and \`height\` as whole numbers.`);
  }
  return { pixels: bytesOf(data, "image"), width, height };
}

/** The content at an address. */
export async function fetched(address, signal) {
  const failed = (reason) =>
    signal?.aborted
      ? closed()
      : new DestsegError("download", `The download of ${address} failed (${reason}): check the address and the connection.`);
  let response;
  try {
    response = await fetch(address, { signal });
  } catch {
    throw failed("no answer, or the site does not allow it");
  }
  if (!response.ok) throw failed(`the server answered ${response.status}`);
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw failed("it broke off");
  }
}
