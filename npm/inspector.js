// The class `Inspector`, for browsers and Node: a model in a worker, and the requests that wait for its answers.

import { DestsegError } from "./error.js";

/** The smallest module with an instruction of wasm SIMD. */
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

/** Throws where the engine's code cannot run. */
function checkPlatform() {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) {
    throw new DestsegError(
      "platform",
      "There is no WebAssembly with SIMD here: use a current Chrome, Edge, Firefox or Safari, or Node 20.",
    );
  }
}

const closed = () => new DestsegError("closed", "The inspector was closed: load the model again.");

/** A worker with an engine. */
class Engine {
  #worker;
  #waiting = new Map();
  #last = 0;
  /** Why there will be no more answers. */
  #gone = null;

  /** `start({hear, fail})` gives a worker that calls these with answers and failures. */
  constructor(start) {
    this.#worker = start({
      hear: (answer) => this.#hear(answer),
      fail: () =>
        this.end(
          new DestsegError("stopped", "The engine's worker stopped or could not be started: load the model again."),
        ),
    });
  }

  ask(request, transfer = []) {
    if (this.#gone) return Promise.reject(this.#gone);
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      // Node ends when nothing is waited for any more
      this.#worker.ref?.();
      this.#worker.postMessage({ id, ...request }, transfer);
    });
  }

  #hear({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref?.();
    if (!error) {
      waiting?.resolve(result);
      return;
    }
    const failure = new DestsegError(error.code, error.message);
    waiting?.reject(failure);
    // after a crash the engine's memory cannot be trusted
    if (error.code === "stopped") this.end(failure);
  }

  /** Ends the worker; whoever waits is told why. */
  end(reason) {
    if (this.#gone) return;
    this.#gone = reason;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}

/**
 * The class for a platform. `start` starts a worker as `Engine` wants it, `modelBytes(model)` gives a `Uint8Array`, and
 * `picture(image)` gives `{file}` or `{pixels, width, height}` and whether the buffer is ours to transfer (`own`).
 */
export function inspectorFor({ start, modelBytes, picture }) {
  return class Inspector {
    #engine;
    #model;

    constructor(engine, model) {
      if (!(engine instanceof Engine)) throw new TypeError("use `await Inspector.load(model)`");
      this.#engine = engine;
      this.#model = Object.freeze(model);
    }

    static async load(model) {
      checkPlatform();
      const bytes = await modelBytes(model);
      const engine = new Engine(start);
      try {
        return new Inspector(engine, await engine.ask({ model: bytes }));
      } catch (error) {
        engine.end(closed());
        throw error;
      }
    }

    get model() {
      return this.#model;
    }

    async inspect(image, { heatMap = false } = {}) {
      const { own, ...content } = await picture(image);
      return this.#engine.ask({ ...content, heatMap }, own ? [own] : []);
    }

    close() {
      this.#engine.end(closed());
    }
  };
}
