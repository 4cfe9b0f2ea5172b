// A project with TypeScript and a bundler.

import { DestsegError, Inspector } from "destseg";
import type { Result } from "destseg";
import "destseg/element";

async function inspected(model: string, photo: string): Promise<object> {
  const inspector = await Inspector.load(model);
  const image: Blob = await (await fetch(photo)).blob();
  const result: Result = await inspector.inspect(image, { heatMap: true });
  inspector.close();
  // @ts-expect-error a result is for reading
  result.score = 0;
  const { verdict, score, map, heatMap, regions } = result;
  const picture = heatMap && new ImageData(heatMap.data, heatMap.width, heatMap.height);
  const failure = await inspector.inspect(image).catch((error: unknown) => error);
  const element = document.querySelector("destseg-inspector");
  element?.addEventListener("failure", (event) => console.warn(event.detail.error.code));
  element?.addEventListener("result", ({ detail }) => console.log(detail.result.verdict));
  await element?.open(model);
  const shown = await element?.show(image);
  return {
    verdict,
    score: shown?.score ?? score,
    map: map.data.length,
    picture: picture?.width,
    regions: regions.length,
    closed: failure instanceof DestsegError ? failure.code : String(failure),
  };
}

Object.assign(window, { inspected });
