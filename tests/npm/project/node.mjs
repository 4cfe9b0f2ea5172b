// What Node says of an image, given as a path, bytes, a Blob and pixels: one line of JSON.

import { readFile } from "node:fs/promises";

import { DestsegError, Inspector } from "destseg";

const [model, photo] = process.argv.slice(2);

async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return error instanceof DestsegError ? [error.code, error.message] : ["untyped", String(error)];
  }
}

const inspector = await Inspector.load(await readFile(model));
const bytes = await readFile(photo);
const { map, heatMap, ...said } = await inspector.inspect(photo, { heatMap: true });
const grey = { data: new Uint8Array(64 * 64).fill(128), width: 64, height: 64 };
const together = await Promise.all([inspector.inspect(bytes), inspector.inspect(new Blob([bytes])), inspector.inspect(grey)]);
const failures = {
  "no image": await failure(() => inspector.inspect(Buffer.from("text"))),
  "a missing image": await failure(() => inspector.inspect("missing.png")),
  "nothing as image": await failure(() => inspector.inspect(null)),
  "a missing model": await failure(() => Inspector.load("missing.safetensors")),
  "no element": await failure(async () => new (await import("destseg/element")).DestsegInspectorElement()),
  "an image as model": await failure(() => Inspector.load(photo)),
};
const scores = together.map(({ score }) => score);
const result = { ...said, map: { ...map, data: [...map.data] } };
console.log(JSON.stringify({ result, scores, failures, heat: heatMap.data.length, model: inspector.model }));
// nothing is closed: the program ends all the same
