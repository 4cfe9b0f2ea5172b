// What the worker does, in browsers and Node: one model, and images one after the other.

import { Model } from "./wasm/destseg.js";
import { DestsegError } from "./error.js";

/** The teacher that the package carries. */
const TEACHER = "efficientnet-lite0";

/** Names of `destseg predict` as JavaScript writes them. */
const camelCase = (said) =>
  Object.fromEntries(
    Object.entries(said).map(([name, value]) => [name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()), value]),
  );

/** Opens a model; `teacherBytes()` gives the file of the teacher that the package carries. */
async function open(bytes, teacherBytes) {
  const file = new Model(bytes);
  const teacher = file.teacher;
  if (teacher && teacher !== TEACHER) {
    throw new DestsegError(
      "model",
      `The model needs the ${teacher} teacher, which neither its file nor this package has: use a file that carries it.`,
    );
  }
  return file.inspector(teacher ? await teacherBytes() : undefined);
}

function inspect(inspector, { file, pixels, width, height, heatMap }) {
  const found = file
    ? inspector.file(file, heatMap)
    : inspector.pixels(width, height, pixels, heatMap);
  const [json, mapWidth, mapHeight, data, picture] = found;
  const { instances, mapWhite, thresholdSet, ...said } = camelCase(JSON.parse(json));
  const size = { width: mapWidth, height: mapHeight };
  const result = { ...said, map: { ...size, data }, regions: instances };
  if (picture) result.heatMap = { ...size, data: new Uint8ClampedArray(picture.buffer) };
  return { result, transfer: [data.buffer, ...(picture ? [picture.buffer] : [])] };
}

/** What is said of a failure. */
function told(error) {
  if (typeof error?.code === "string" && error.message) return { code: error.code, message: error.message };
  return {
    code: "stopped",
    message: `The engine stopped unexpectedly (${error?.message ?? error}): load the model once more, and try a smaller image.`,
  };
}

/**
 * A function that answers requests: `{id, model}` first, then `{id, file}` or `{id, pixels, width, height}`. `ready` is there
 * once the wasm module is, and `post(answer, transfer)` sends.
 */
export function answering({ ready, teacherBytes, post }) {
  let inspector = null;
  return async ({ id, model, ...image }) => {
    try {
      await ready;
      if (model) {
        inspector = await open(model, teacherBytes);
        post({ id, result: camelCase(JSON.parse(inspector.about)) }, []);
      } else {
        const { result, transfer } = inspect(inspector, image);
        post({ id, result }, transfer);
      }
    } catch (error) {
      post({ id, error: told(error) }, []);
    }
  };
}
