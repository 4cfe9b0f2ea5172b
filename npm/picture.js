// Images in all forms that a browser has: as `{file}`, the bytes of an image file, so that they are decoded as everywhere in
// destseg, or as `{pixels, width, height}`.

import { bytesOf, fetched, isBytes, pixelsOf } from "./bytes.js";
import { noImage } from "./error.js";

/** What the image holds at this moment, or a promise where it must be loaded first. */
export function picture(image) {
  if (image instanceof Blob) return image.arrayBuffer().then((file) => ({ file: new Uint8Array(file) }), unreadable);
  if (isBytes(image)) return { file: bytesOf(image, "image") };
  if (typeof image === "string" || image instanceof URL) return fetched(image).then((file) => ({ file }));
  if (image?.data && "width" in image) return pixelsOf(image);
  if (image && "naturalWidth" in Object(image)) return decoded(image);
  return drawn(image, image?.videoWidth ?? image?.displayWidth ?? image?.width, image?.videoHeight ?? image?.displayHeight ?? image?.height);
}

function unreadable(error) {
  throw noImage(`The file cannot be read (${error.message}): choose it once more.`);
}

async function decoded(image) {
  try {
    await image.decode();
  } catch {
    throw noImage("The image element shows no image: check its address.");
  }
  return drawn(image, image.naturalWidth, image.naturalHeight);
}

/** The pixels of what can be drawn. */
function drawn(image, width, height) {
  const none = "This is no image: give an image file, ImageData, or an image, video or canvas element.";
  if (typeof width !== "number" || typeof height !== "number") throw noImage(none);
  if (width === 0 || height === 0) {
    throw noImage(
      "The image has no pixels: wait until it is loaded, a video for its event `loadeddata`, and do not close it before.",
    );
  }
  try {
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(image, 0, 0, width, height);
    return pixelsOf(context.getImageData(0, 0, width, height));
  } catch (error) {
    if (error instanceof TypeError) throw noImage(none);
    throw noImage(
      error.name === "SecurityError"
        ? "The image comes from another site, which does not allow to read it: load it with `crossorigin` and CORS."
        : `The image cannot be read (${error.message}): make it smaller, or give the image file.`,
    );
  }
}
