// The package in Node: the same engine in a worker thread.

import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";

import { bytesOf, fetched, isBytes, pixelsOf } from "./bytes.js";
import { DestsegError, noImage } from "./error.js";
import { inspectorFor } from "./inspector.js";

export { DestsegError };

function start({ hear, fail }) {
  const worker = new Worker(new URL("./node-worker.js", import.meta.url));
  worker.on("message", hear);
  worker.on("error", fail);
  return worker;
}

/** A file on this machine by its path or `file:` address, or one that is fetched. */
async function fileBytes(place, signal) {
  const address = String(place);
  if (/^(https?|data):/i.test(address)) return fetched(address, signal);
  try {
    return new Uint8Array(await readFile(/^file:/i.test(address) ? new URL(address) : address));
  } catch (error) {
    throw new DestsegError("download", `The file ${address} cannot be read (${error.code ?? error.message}): check the path.`);
  }
}

async function modelBytes(model, signal) {
  if (typeof model === "string" || model instanceof URL) return fileBytes(model, signal);
  if (model instanceof Blob) return new Uint8Array(await model.arrayBuffer());
  if (isBytes(model)) return bytesOf(model, "model");
  throw new DestsegError("model", "This is no model: give the path, the address or the bytes of a model file.");
}

function picture(image) {
  if (typeof image === "string" || image instanceof URL) return fileBytes(image).then((file) => ({ file }));
  if (image instanceof Blob) return image.arrayBuffer().then((file) => ({ file: new Uint8Array(file) }));
  if (isBytes(image)) return { file: bytesOf(image, "image") };
  if (image?.data && "width" in image) return pixelsOf(image);
  throw noImage("This is no image: give the path or the bytes of an image file, or pixels as {data, width, height}.");
}

/** A model that looks at images. index.d.ts describes it. */
export const Inspector = inspectorFor({ start, modelBytes, picture });
