// The package in Node: the same engine in a worker thread.

import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";

import { bytesOf, fetched, isBytes } from "./bytes.js";
import { DestsegError } from "./error.js";
import { inspectorFor } from "./inspector.js";

export { DestsegError };

function start({ hear, fail }) {
  const worker = new Worker(new URL("./node-worker.js", import.meta.url));
  worker.on("message", hear);
  worker.on("error", fail);
  return worker;
}

/** A file on this machine by its path or `file:` address, or one that is fetched. */
async function fileBytes(place, code) {
  const address = String(place);
  if (/^https?:/.test(address)) return fetched(address);
  try {
    return new Uint8Array(await readFile(address.startsWith("file:") ? new URL(address) : address));
  } catch (error) {
    throw new DestsegError(code, `The file ${address} cannot be read (${error.code ?? error.message}): check the path.`);
  }
}

async function modelBytes(model) {
  if (typeof model === "string" || model instanceof URL) return fileBytes(model, "download");
  if (model instanceof Blob) return new Uint8Array(await model.arrayBuffer());
  if (isBytes(model)) return bytesOf(model);
  throw new DestsegError("model", "This is no model: give the path, the address or the bytes of a model file.");
}

async function picture(image) {
  if (typeof image === "string" || image instanceof URL) return { file: await fileBytes(image, "image") };
  if (image instanceof Blob) return { file: await image.arrayBuffer() };
  if (isBytes(image)) return { file: bytesOf(image) };
  if (image?.data && image.width >= 0) return { pixels: image.data, width: image.width, height: image.height };
  throw new DestsegError(
    "image",
    "This is no image: give the path or the bytes of an image file, or pixels as {data, width, height}.",
  );
}

/** A model that looks at images. index.d.ts describes it. */
export const Inspector = inspectorFor({ start, modelBytes, picture });
