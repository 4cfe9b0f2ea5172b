// The package in a browser.

import { bytesOf, fetched, isBytes } from "./bytes.js";
import { DestsegError } from "./error.js";
import { inspectorFor } from "./inspector.js";
import { picture } from "./picture.js";

export { DestsegError };

/** A module worker; bundlers know this way of writing it. */
function start({ hear, fail }) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  worker.onmessage = (event) => hear(event.data);
  worker.onerror = fail;
  return worker;
}

async function modelBytes(model, signal) {
  if (typeof model === "string" || model instanceof URL) return fetched(model, signal);
  if (model instanceof Blob) return new Uint8Array(await model.arrayBuffer());
  if (isBytes(model)) return bytesOf(model, "model");
  throw new DestsegError("model", "This is no model: give the address or the bytes of a model file.");
}

/** A model that looks at images. index.d.ts describes it. */
export const Inspector = inspectorFor({ start, modelBytes, picture });
