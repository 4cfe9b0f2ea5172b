// The package in a browser.

import { bytesOf, fetched, isBytes } from "./bytes.js";
import { DestsegError } from "./error.js";
import { inspectorFor } from "./inspector.js";

export { DestsegError };

/** A module worker; bundlers know this way of writing it. */
function start({ hear, fail }) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  worker.onmessage = (event) => hear(event.data);
  worker.onerror = fail;
  return worker;
}

async function modelBytes(model) {
  if (typeof model === "string" || model instanceof URL) return fetched(model);
  if (model instanceof Blob) return new Uint8Array(await model.arrayBuffer());
  if (isBytes(model)) return bytesOf(model);
  throw new DestsegError("model", "This is no model: give the address or the bytes of a model file.");
}

const noImage = (message) => new DestsegError("image", message);

/** The bytes of an image file as they are, so that they are decoded as everywhere in destseg; else the pixels. */
async function picture(image) {
  if (image instanceof Blob) {
    const file = await image.arrayBuffer();
    return { file, own: file };
  }
  if (isBytes(image)) return { file: bytesOf(image) };
  if (typeof image === "string" || image instanceof URL) return { file: await fetched(image) };
  if (image?.data && image.width >= 0) return { pixels: image.data, width: image.width, height: image.height };
  const { data, width, height } = await drawn(image);
  return { pixels: data.buffer, width, height, own: data.buffer };
}

/** The pixels of what can be drawn. */
async function drawn(image) {
  let width = image?.videoWidth ?? image?.naturalWidth ?? image?.displayWidth ?? image?.width;
  let height = image?.videoHeight ?? image?.naturalHeight ?? image?.displayHeight ?? image?.height;
  if (typeof width !== "number") {
    throw noImage("This is no image: give an image file, ImageData, or an image, video or canvas element.");
  }
  if ("naturalWidth" in image) {
    try {
      await image.decode();
    } catch {
      throw noImage("The image element shows no image: check its address.");
    }
    ({ naturalWidth: width, naturalHeight: height } = image);
  }
  if (width === 0 || height === 0) {
    throw noImage("The image has no pixels yet: wait until it is loaded, a video for its event `loadeddata`.");
  }
  try {
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(image, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  } catch (error) {
    throw noImage(
      error.name === "SecurityError"
        ? "The image comes from another site, which does not allow to read it: load it with `crossorigin` and CORS."
        : `The image cannot be read (${error.message}): make it smaller, or give the image file.`,
    );
  }
}

/** A model that looks at images. index.d.ts describes it. */
export const Inspector = inspectorFor({ start, modelBytes, picture });
