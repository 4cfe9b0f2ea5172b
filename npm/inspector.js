// The class `Inspector`, for browsers and Node: a model in a worker, and the requests that wait for its answers.

import { DestsegError, closed } from "./error.js";

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

const stopped = () => new DestsegError("stopped", "The engine's worker stopped: load the model once more.");

function notStarted(reason) {
  const address = new URL("./worker.js", import.meta.url);
  return new DestsegError(
    "platform",
    `The engine's worker could not be started${reason ? ` (${reason})` : ""}: check that ${address} gives the file from the ` +
      "page's own site, that the page's policy allows `worker-src 'self'`, and that a bundler follows the README.",
  );
}

/** A worker with an engine. */
class Engine {
  #worker;
  #waiting = new Map();
  #last = 0;
  /** Whether the worker has ever answered. */
  #runs = false;
  /** Why there will be no more answers. */
  #gone = null;

  /** `start({hear, fail})` gives a worker that calls these with answers and failures. */
  constructor(start) {
    const hear = (answer) => this.#hear(answer);
    const fail = (error) => this.end(this.#runs ? stopped() : notStarted(error?.message));
    try {
      this.#worker = start({ hear, fail });
    } catch (error) {
      throw notStarted(error.message);
    }
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
    this.#runs = true;
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
 * The class for a platform. `start` starts a worker as `Engine` wants it. `modelBytes(model, signal)` gives a `Uint8Array` of
 * its own memory, and `picture(image)` gives `{file}` or `{pixels, width, height}`, likewise: at once where the image is there,
 * because it may change as soon as `inspect` has returned, else a promise.
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

    static async load(model, options) {
      checkPlatform();
      const signal = options?.signal;
      const bytes = await modelBytes(model, signal);
      if (signal?.aborted) throw closed();
      const engine = new Engine(start);
      const stop = () => engine.end(closed());
      signal?.addEventListener("abort", stop);
      try {
        return new Inspector(engine, await engine.ask({ model: bytes }, [bytes.buffer]));
      } catch (error) {
        engine.end(closed());
        throw error;
      } finally {
        signal?.removeEventListener("abort", stop);
      }
    }

    get model() {
      return this.#model;
    }

    inspect(image, options) {
      const heatMap = options?.heatMap === true;
      const ask = (content) => this.#engine.ask({ ...content, heatMap }, [(content.file ?? content.pixels).buffer]);
      try {
        const content = picture(image);
        return content instanceof Promise ? content.then(ask) : ask(content);
      } catch (error) {
        return Promise.reject(error);
      }
    }

    close() {
      this.#engine.end(closed());
    }
  };
}
