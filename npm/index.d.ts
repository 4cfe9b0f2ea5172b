/** What is said of an image. */
export type Verdict = "good" | "defective" | "unfamiliar";

/** How sure the verdict about a defect is. */
export type Certainty = "clearly-good" | "probably-good" | "close-call" | "probably-defective" | "clearly-defective";

/** How an unfamiliar image differs from the good ones. */
export type Difference = "part" | "turned" | "closer" | "farther" | "framing" | "brighter" | "darker" | "tint";

/**
 * - `model`: the model file cannot be used, for example because a newer destseg wrote it.
 * - `image`: the image cannot be used: damaged, without pixels, too large, of an unknown type, or not allowed to be read.
 * - `download`: an address or path gave no file.
 * - `platform`: the engine cannot run here, or its files are not where they should be.
 * - `closed`: the inspector was closed, also while an inspection was going on.
 * - `stopped`: the engine stopped, for example for lack of memory. Load the model once more.
 */
export type ErrorCode = "model" | "image" | "download" | "platform" | "closed" | "stopped";

/** A failure: a code for programs, and one sentence for people that says what is wrong and what to do. */
export class DestsegError extends Error {
  constructor(code: ErrorCode, message: string);
  readonly name: "DestsegError";
  readonly code: ErrorCode;
}

/** One value for each pixel of the network's input, row by row. The map covers the whole image. */
export interface AnomalyMap {
  /** Values per row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Probabilities from 0 to 1, or distances of 0 or more: see `ModelInfo.unit`. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** The map in colours, with one pixel for each value: to be drawn over the image, enlarged. */
export interface HeatMap {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, opacity. */
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** A connected part of the map above the pixel threshold, in pixels of the image. */
export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Square pixels. */
  readonly area: number;
  /** Highest value in it. */
  readonly peak: number;
  /** Mean value. */
  readonly mean: number;
}

/** What is said of an image, with the names and values of `destseg predict`. */
export interface Result {
  /** `null` where the model has no threshold and the image is not known to be unfamiliar. */
  readonly verdict: Verdict | null;
  /** Image score, in the unit of the map. */
  readonly score: number;
  /** The threshold in force; `null` where the model has none. */
  readonly threshold: number | null;
  /** The score from 0 (surely good) over 0.5 (the threshold) to 1 (surely defective). */
  readonly decisionScore: number | null;
  readonly certainty: Certainty | null;
  /** The share of good images that score as high. */
  readonly pValue: number | null;
  /** `null` where there is no verdict about a defect. */
  readonly defective: boolean | null;
  /** How an unfamiliar image differs; `null` for others. */
  readonly difference: Difference | null;
  /** The same as a sentence that says what to do. */
  readonly note: string | null;
  /** Distance from the good images of the training. */
  readonly distance: number | null;
  /** The distance from which on an image is unfamiliar. */
  readonly distanceLimit: number | null;
  /** Score of the map of distances between teacher and student. */
  readonly destScore: number;
  /** Width of the image in pixels. */
  readonly width: number;
  /** Height of the image in pixels. */
  readonly height: number;
  readonly map: AnomalyMap;
  /** The highest peak first. */
  readonly regions: readonly Region[];
  /** There if it was asked for. */
  readonly heatMap?: HeatMap;
}

/** What is to be known of a model. */
export interface ModelInfo {
  readonly method: "destseg" | "stpm" | "patchcore" | "draem";
  /** Side of the network's square input in pixels. */
  readonly inputSize: number;
  /** What map and score are measured in. */
  readonly unit: "probability" | "distance";
  /** The threshold in force; `null` where the model has none. */
  readonly threshold: number | null;
  /** Name of the folder of good images that it was trained on. */
  readonly part: string | null;
  /** How many they were. */
  readonly trainingImages: number | null;
}

/** Pixels, 8 bits each, row by row: grey, red with green and blue, or these with an opacity. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** A model file: its address (in Node a path, too) or its bytes. */
export type ModelSource = string | URL | Blob | ArrayBuffer | ArrayBufferView;

/** What can be drawn on a canvas: an image, video or canvas element, an `ImageBitmap`, a `VideoFrame`. */
export type Drawable =
  | { readonly width: number; readonly height: number }
  | { readonly displayWidth: number; readonly displayHeight: number };

/**
 * An image: an image file (PNG, JPEG, WebP, BMP, GIF) as `Blob`, bytes, or by its address (in Node a path, too); pixels such as
 * `ImageData`; in a browser also what can be drawn.
 */
export type ImageSource = Blob | ArrayBuffer | ArrayBufferView | Pixels | Drawable | string | URL;

export interface LoadOptions {
  /** Ends the loading, which then fails with the code `closed`. */
  signal?: AbortSignal;
}

export interface InspectOptions {
  /** Whether the result has a picture of the map. */
  heatMap?: boolean;
}

/** A model in a worker of its own. */
export class Inspector {
  private constructor();
  /** Loads a model. Fails with a `DestsegError`. */
  static load(model: ModelSource, options?: LoadOptions): Promise<Inspector>;
  /** What is to be known of the model. */
  readonly model: ModelInfo;
  /**
   * Inspects an image as it is at the call; several are inspected one after the other. Fails with a `DestsegError`.
   */
  inspect(image: ImageSource, options?: InspectOptions): Promise<Result>;
  /** Ends the worker and frees its memory. What is going on fails with the code `closed`. */
  close(): void;
}
