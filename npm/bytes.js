// Bytes in memory and at addresses.

import { DestsegError } from "./error.js";

/** Whether a value holds bytes. */
export const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);

/** These bytes, not copied. */
export const bytesOf = (value) =>
  ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);

/** The content at an address. */
export async function fetched(address) {
  const failed = (reason) =>
    new DestsegError("download", `The download of ${address} failed (${reason}): check the address and the connection.`);
  let response;
  try {
    response = await fetch(address);
  } catch {
    throw failed("no answer");
  }
  if (!response.ok) throw failed(`the server answered ${response.status}`);
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw failed("it broke off");
  }
}
